import { type Keep, keepText } from "../config/keep.ts";
import type { TableName } from "../config/setting_types.ts";
import { type PartLength, PARTS_OF_A_YEAR } from "./part_spans.ts";
import { childrenSql } from "./parts.ts";
import { doBlock, quoteLiteral } from "./pg_text.ts";
import { type QuotedTables, quoteTables } from "./schema.ts";

/** The ending of a part's name, as `to_char` writes it, by its length. */
const ENDINGS: Readonly<Record<PartLength, string>> = { month: "_YYYYMM", day: "_YYYYMMDD" };

/**
 * Makes the parts of now and of a year ahead, and drops those that are too old: the same statement
 * whenever it is run. It is for the owner of a table whose consumer may not. It gives up where
 * somebody holds the table, since the consumers would wait behind it.
 */
export function monthlySql(table: TableName, length: PartLength, keep: Keep): string {
  const tables = quoteTables(table);
  const part = `format('${table.schema === null ? "" : "%1$I."}%2$I', ${
    [table.schema ?? "", table.name].map(quoteLiteral).join(", ")
  } || to_char(n, '${ENDINGS[length]}'))`;
  const bound = (time: string) => `to_char(${time}, 'YYYY-MM-DD"Z"')`;
  return doBlock(`declare
  n timestamp;${keep === "all" ? "" : "\n  past text;\n  begins timestamptz;\n  ends timestamptz;"}
begin
  perform set_config('lock_timeout', '2s', true);
  for i in 0..${PARTS_OF_A_YEAR[length]} loop
    n := date_trunc('${length}', now() at time zone 'UTC') + i * interval '1 ${length}';
    execute format('create table if not exists %s partition of %s for values from (%L) to (%L)', ${part},
      ${quoteLiteral(tables.main)}, ${bound("n")}, ${bound(`n + interval '1 ${length}'`)});
  end loop;${keep === "all" ? "" : dropping(tables, keep)}
end`);
}

/**
 * A part stays as long as a day of it is to be rolled up; it is locked before that is asked for.
 * What has gone is noted: a consumer must not take metrics for it, which would lack their part.
 */
const dropping = ({ main, keep: note, days }: QuotedTables, keep: Exclude<Keep, "all">) => `
  for past, begins, ends in
    select c.part::regclass, c.lower, c.upper from (${childrenSql(`${quoteLiteral(main)}::regclass`)}) c
    where c.upper <= now() - interval '${keep.count} ${keep.unit}s'
  loop
    execute 'lock table ' || past || ' in access exclusive mode';
    if to_regclass(${quoteLiteral(days)}) is not null then
      if exists (select from ${days} d where d.day >= (begins at time zone 'UTC')::date
        and d.day::timestamp at time zone 'UTC' < ends and (d.stale or d.roller is not null))
      then
        raise notice '% stays: a day of it is not rolled up yet', past;
        continue;
      end if;
    end if;
    execute 'drop table ' || past;
    insert into ${note} as k (what, keep, gone_before) values ('rows', '${keepText(keep)}', ends)
      on conflict (what) do update set gone_before = greatest(k.gone_before, excluded.gone_before);
  end loop;`;

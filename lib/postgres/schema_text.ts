import type { TableName } from "../config/setting_types.ts";
import { METRIC_FIELDS } from "../metric.ts";
import { creation, grants, quoteTables } from "./schema.ts";
import { viewName, VIEWS, viewSql } from "./views.ts";

/**
 * The output of `--print-schema`: the SQL that creates tables and views. Comments in it show the
 * grants for a role that may not, and how to part the table by month.
 */
export function schemaSql(table: TableName): string {
  const { schema, main, offsets, rejected } = creation(table);
  const views = VIEWS.map((view) => viewSql(table, view, METRIC_FIELDS));
  const statements = [...schema, ...main, ...offsets, ...rejected, ...views].map((statement) => `${statement};\n`);
  const forRole = [
    ...grants(table, "ROLE"),
    ...VIEWS.map((view) => `grant select on ${viewName(table, view)} to ROLE`),
  ];
  const comments = forRole.map((statement) => `-- ${statement};\n`).join("");
  return `${statements.join("\n")}
-- A role that did not create them needs (its name for ROLE; the views are for people and dashboards):
${comments}
${partitioning(table)}`;
}

/**
 * How to part the table by time. Such a table drops old months at once; deleting their rows would
 * take hours.
 */
function partitioning(table: TableName): string {
  const { main } = quoteTables(table);
  const month = quoteTables({ ...table, name: `${table.name}_2026_01` }).main;
  return `-- To keep months apart, so that an old one can be dropped at once, create the table with
--   partition by range (checked_at)
-- behind its closing parenthesis, and before each month begins
--   create table ${month} partition of ${main} for values from ('2026-01-01Z') to ('2026-02-01Z');
-- To forget a month: drop table ${month};
`;
}

import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { Packing } from "../../lib/postgres/packing.ts";
import { partEnding, spanOf } from "../../lib/postgres/part_spans.ts";
import { newPartSql } from "../../lib/postgres/parts.ts";
import { dayGrants, grants, NO_DELETIONS, quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import { prepareTables } from "../../lib/postgres/tables.ts";
import { serverForTests } from "../support/database_kinds.ts";
import { eventually } from "../support/eventually.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { createRole } from "../support/roles.ts";

const DAY = 86_400_000;
const PATIENCE = { answer: 35_000, connect: 10_000, statement: 30_000, lock: 10_000 };

describe.skipIf(postgresMissing !== null)(`packing ${postgresMissing ?? ""}`, () => {
  let server: TestPostgres;
  let database: Database;
  serverForTests((started, opened) => [server, database] = [started, opened]);

  /** The month that began so many months ago. */
  const monthAgo = (months: number) => {
    const now = new Date();
    return spanOf("month", Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months));
  };

  /** A table with parts of 40,000 rows each, in the order of their times. All days but today are rolled up. */
  async function filled(...months: readonly number[]) {
    const table: TableName = { schema: "public", name: `p_${randomUUID().slice(0, 8)}` };
    const store = await Store.open(database, table);
    const { main, days } = quoteTables(table);
    for (const span of months.map(monthAgo)) {
      await server.sql.unsafe(newPartSql(table, "month", span));
      await server.sql.unsafe(
        `insert into ${main} (address, latency, is_valid, scheduled_at, checked_at, check_id)
         select 'https://h' || h, 1, true, due, due, gen_random_uuid()
         from generate_series(1, 200) t cross join generate_series(1, 200) h
         cross join lateral (select '${
          new Date(span.from).toISOString()
        }'::timestamptz + t * interval '1 minute' as due) d`,
      );
    }
    await server.sql.unsafe(
      `insert into ${days} (day, stale, rolled_up_at) select current_date - n, n = 0, now() from generate_series(0, 100) n`,
    );
    const tables = await prepareTables(database, table);
    const part = (months: number) => `public.${table.name}${partEnding("month", monthAgo(months))}`;
    /** Bytes of the index of a part. */
    const size = async (months: number) => {
      const [row] = await server.sql.unsafe(`select pg_indexes_size('${part(months)}')::int as bytes`);
      return Number(row?.bytes);
    };
    /** The indexes of the table's parts that are invalid: what a try has left. */
    const remains = async () => {
      const rows = await server.sql.unsafe(
        `select x.relname as name from pg_index i join pg_class x on x.oid = i.indexrelid
         where not i.indisvalid and x.relname like '${table.name}%'`,
      );
      return rows.map(({ name }) => String(name).replace(/^.*_/, ""));
    };
    const told: string[] = [];
    const work = { signal: new AbortController().signal, tell: (what: string) => void told.push(what) };
    /** One sweep, in a session of its own, as a consumer makes it. */
    const sweep = async (packing = new Packing(() => tables), patience = PATIENCE) => {
      await using session = openPostgres(server.settings, patience);
      await packing.sweep(session, work);
    };
    let offset = 0;
    const source = { topic: "t", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    /** Stores a metric that is due at a moment. */
    const storeAt = async (moment: number) => {
      const at = new Date(moment).toISOString();
      const content = metricWith({ address: "a", scheduled_at: at, checked_at: at, check_id: randomUUID() });
      const ranges = new Map([[0, { start: offset, next: ++offset }]]);
      const entry = { partition: 0, offset: offset - 1, key: null, value: null, content };
      expect(await store.flush(source, ranges, [entry])).toBe("stored");
    };
    return { store, table, tables, part, size, remains, told, work, sweep, storeAt, days };
  }

  const indexOf = async (part: string) => {
    const [row] = await server.sql.unsafe(
      `select indexrelid::regclass::text as name from pg_index where indrelid = '${part}'::regclass`,
    );
    return String(row?.name);
  };

  /** Somebody who reads a table, in a transaction that stays open until it is disposed of. */
  async function reading(relation: string): Promise<AsyncDisposable> {
    const reader = openPostgres(server.settings);
    await reader.query("begin isolation level repeatable read");
    await reader.query(`select count(*) from ${relation}`);
    return reader;
  }

  it("a part whose days are all rolled up takes less, once and for all, and no other part does", async () => {
    const { part, size, told, sweep, storeAt, days, table } = await filled(2, 1, 0);
    // The last month has a day that is not rolled up.
    const late = new Date(monthAgo(0).from - DAY).toISOString().slice(0, 10);
    await server.sql.unsafe(`update ${days} set stale = true where day = '${late}'`);
    const before = [await size(2), await size(1), await size(0)];
    await sweep();
    expect(told).toEqual([
      expect.stringMatching(`^The index of ${part(2)} is packed: \\d+\\.\\d MiB before, \\d+\\.\\d MiB now$`),
    ]);
    expect(await size(2)).toBeLessThan(0.8 * Number(before[0]));
    expect([await size(1), await size(0)]).toEqual(before.slice(1));
    await server.sql.unsafe(`update ${days} set stale = false where day = '${late}'`);
    await sweep();
    await storeAt(monthAgo(2).from);
    await sweep();
    expect(told.map((what) => what.split(" ")[3])).toEqual([part(2), part(1)]);
    // The flush still finds the index by which it knows a metric that comes again.
    expect((await prepareTables(database, table)).repeatIndexes.size).toBe(1 + 3 + 3);
  });

  it("a consumer that keeps everything packs, beside all else", async () => {
    const { store, part, told, work } = await filled(1);
    await using _packing = store.packIndexes({ open: () => openPostgres(server.settings), tell: work.tell }, 0);
    await eventually(() => told.length > 0, () => "nothing was packed");
    expect(told.map((what) => what.split(" ")[3])).toEqual([part(1)]);
  });

  it("a table without days packs what is a week old", async () => {
    const { tables, part, told, sweep } = await filled(2, 0);
    await sweep(new Packing(() => ({ ...tables, hasDays: false })));
    expect(told.map((what) => what.split(" ")[3])).toEqual([part(2)]);
  });

  it("small indexes, those with a comment of a user's, and parts of another form stay as they are", async () => {
    const { table, part, told, sweep } = await filled(3, 2, 1);
    await server.sql.unsafe(`truncate ${part(3)}`);
    await server.sql.unsafe(`alter table ${part(2)} rename to "${table.name}_mine"`);
    await server.sql.unsafe(`comment on index ${await indexOf(part(1))} is 'mine'`);
    await sweep();
    expect(told).toEqual([]);
  });

  it("behind a pooler nothing is begun: each statement is in a transaction there", async () => {
    const { tables, told, work } = await filled(1);
    await using session = openPostgres(server.settings, PATIENCE);
    const statements: string[] = [];
    const query: Database["query"] = (text, parameters) => {
      statements.push(text);
      return session.query(text, parameters);
    };
    const behind = { query, script: session.script, remark: "a pooler", [Symbol.asyncDispose]: async () => {} };
    await new Packing(() => tables).sweep(behind, work);
    expect(told).toEqual([]);
    expect(statements.filter((text) => !text.startsWith("select") && !text.startsWith("with"))).toEqual([]);
    expect(statements.join()).not.toContain("advisory");
  });

  it("of consumers that look at once one packs each part", async () => {
    const { part, told, sweep } = await filled(3, 2, 1);
    await Promise.all(Array.from({ length: 4 }, () => sweep()));
    await sweep();
    expect(told.map((what) => what.split(" ")[3])).toEqual([part(3), part(2), part(1)]);
  });

  it("a transaction that has been open for long postpones it, rows are stored meanwhile, and nothing is left", async () => {
    const { tables, part, remains, told, sweep, storeAt } = await filled(1);
    await using reader = await reading(tables.main);
    let isOver = false;
    const sweeping = sweep(undefined, { ...PATIENCE, lock: 300 }).finally(() => isOver = true);
    let stored = 0;
    for (; !isOver; stored++) {
      await storeAt(Date.now());
      await server.sql.unsafe(`update ${part(1)} set latency = 2 where address = 'https://h7' and latency < 2`);
    }
    await sweeping;
    expect(stored).toBeGreaterThan(1);
    expect(told).toEqual([
      `An index of ${tables.main} is packed later, others are in its way: ` +
      "PostgreSQL says: canceling statement due to lock timeout",
    ]);
    await reader[Symbol.asyncDispose]();
    await sweep();
    expect(told.slice(1).map((what) => what.split(" ")[3])).toEqual([part(1)]);
    expect(await remains()).toEqual([]);
  });

  it("what a killed try has left goes with the next one; what another has left stays, with its part", async () => {
    const { part, remains, told, sweep } = await filled(2, 1);
    await using reader = await reading(part(1));
    await using hand = openPostgres(server.settings, { ...PATIENCE, lock: 100 });
    await expect(hand.query(`reindex index concurrently ${await indexOf(part(1))}`)).rejects.toThrow("lock timeout");
    expect(await remains()).toEqual(["ccnew"]);
    const killed = sweep().catch((error: Error) => error);
    await eventually(async () => (await remains()).length === 2, () => "nothing was begun");
    await server.sql.unsafe(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'reindex index concurrently%' and state = 'active'",
    );
    expect(await killed).toBeInstanceOf(Error);
    expect(await remains()).toEqual(["ccnew", "ccnew"]);
    await reader[Symbol.asyncDispose]();
    await sweep();
    expect(told.map((what) => what.split(" ")[3])).toEqual([part(2)]);
    expect(await remains()).toEqual(["ccnew"]);
  });

  it("a role that does not own the table is told once what its owner may run, and packs nothing", async () => {
    const { table, tables, part, told, work, size } = await filled(2, 1);
    await using role = await createRole(server);
    const rights = [...grants(table, role.name, NO_DELETIONS, "month"), ...dayGrants(table, role.name)];
    await server.sql.unsafe(rights.join("; "));
    const before = [await size(2), await size(1)];
    const packing = new Packing(() => tables);
    await packing.sweep(role.database, work);
    await packing.sweep(role.database, work);
    expect(told).toEqual([
      expect.stringMatching(
        `^The index of ${part(2)} takes a third less once its owner has run: ` +
          `reindex index concurrently public.${table.name}\\w+, and so for 1 other part$`,
      ),
    ]);
    expect([await size(2), await size(1)]).toEqual(before);
  });
});

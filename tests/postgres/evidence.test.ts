import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Evidence, Metric } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { deleteOldEvidence } from "../../lib/postgres/old_rows.ts";
import { Store } from "../../lib/postgres/store.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { skipped } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { createRole } from "../support/roles.ts";

let server: TestPostgres;
const kinds = databaseKinds((started) => server = started)()
  .filter(({ missing }) => missing === null || skipped(missing));

const EVIDENCE: Evidence = {
  status_line: 'HTTP/1.1 503 "Busy" \\ {x}',
  headers: { server: 'nginx "1", {2} \\ NULL', "x-grün": "日😀" },
  body: '<p>"a" \\ {b}, NULL\n\tü😀</p>',
};
let ids = 0;
const id = () => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`;
const failed = (fields: Partial<Metric> = {}, evidence: Evidence = EVIDENCE): Metric => {
  const metric = metricWith({ status_code: 503, up: false, check_id: id(), ...fields });
  return { ...metric, evidence } as Metric;
};
const source = { topic: "t", topicId: "1" };
/** Messages of partition 0 from an offset on. */
const entriesOf = (metrics: readonly Metric[], from = 0) =>
  metrics.map((content, i) => ({ partition: 0, offset: from + i, key: null, value: Buffer.from("v"), content }));

describe.each(kinds)("on $kind", ({ open }) => {
  let database: Database;
  let names = 0;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  async function newStore(): Promise<{ store: Store; name: string }> {
    const name = `m${++names}`;
    const store = await Store.open(database, { schema: null, name });
    expect(store.warnings).toEqual([]);
    await store.marks.claim(source, new Map([[0, 0]]));
    return { store, name };
  }
  const flush = (store: Store, metrics: readonly Metric[], from = 0) =>
    store.flush(source, new Map([[0, { start: from, next: from + metrics.length }]]), entriesOf(metrics, from));
  const bodies = async (name: string) =>
    (await database.query<{ body: string }>(`select body from ${name}_evidence order by body`)).map(({ body }) => body);

  it("the statement that stores a row stores its evidence, as it is", async () => {
    const { store, name } = await newStore();
    const metrics = [
      metricWith({ check_id: id() }),
      failed({ location: "here" }),
      failed({}, { ...EVIDENCE, body: null }),
    ];
    expect(await flush(store, metrics)).toBe("stored");
    const rows = await database.query(`select * from ${name}_evidence order by body`);
    expect(rows).toMatchObject([
      { address: "https://a.example", location: "here", status_line: EVIDENCE.status_line, body: EVIDENCE.body },
      { location: null, body: null },
    ]);
    expect(await store.reader(database).evidence("https://a.example", 1)).toEqual([
      {
        ...EVIDENCE,
        body: expect.toSatisfy((body) => body === null || body === EVIDENCE.body),
        checked_at: expect.any(Date),
        location: expect.toSatisfy((text) => text === null || text === "here"),
      },
    ]);
    expect(await store.reader(database).evidence("https://b.example", 1)).toEqual([]);
  });

  it("evidence of a batch that comes again is there once", async () => {
    const { store, name } = await newStore();
    const metrics = [failed({}, { ...EVIDENCE, body: "1" }), failed({}, { ...EVIDENCE, body: "2" })];
    for (let times = 0; times < 3; times++) expect(await flush(store, metrics)).toBe("stored");
    expect(await bodies(name)).toEqual(["1", "2"]);
    // A later batch, of which another consumer has stored the beginning.
    await flush(store, [metrics[1] as Metric, failed({}, { ...EVIDENCE, body: "3" })], 1);
    expect(await bodies(name)).toEqual(["1", "2", "3"]);
  });

  it("evidence of a check that was sent twice is there once, and that of a message behind a gap is not", async () => {
    const { store, name } = await newStore();
    const metric = failed();
    await flush(store, [metric]);
    await flush(store, [metric], 1);
    expect(await bodies(name)).toHaveLength(1);
    expect(await flush(store, [failed({}, { ...EVIDENCE, body: "gap" })], 5)).toBe("reopen");
    expect(await bodies(name)).toEqual([EVIDENCE.body]);
  });

  it("evidence of a row that the database refuses goes with it, and that of the others is stored", async () => {
    const { store, name } = await newStore();
    await database.query(`alter table ${name} add constraint c check (latency <> 7)`);
    const metrics = [1, 7, 2, 3].map((latency) => failed({ latency }, { ...EVIDENCE, body: String(latency) }));
    expect(await flush(store, metrics)).toBe("stored");
    expect(await bodies(name)).toEqual(["1", "2", "3"]);
    expect(await database.query(`select from ${name}_rejected`)).toHaveLength(1);
  });

  it("old evidence goes, and the rest stays", async () => {
    const { store, name } = await newStore();
    await flush(store, [
      failed({ checked_at: "2026-01-01T00:00:00.000Z" }),
      failed({ checked_at: "2026-01-03T00:00:00.000Z" }),
    ]);
    const { signal } = new AbortController();
    const tables = { evidence: `${name}_evidence` };
    expect(await deleteOldEvidence(database, tables, Date.UTC(2026, 0, 2), signal)).toBe(1);
    expect(await deleteOldEvidence(database, tables, Date.UTC(2026, 0, 2), signal)).toBe(0);
    expect(await bodies(name)).toHaveLength(1);
  });

  it("a table that lacks it gets it at the next start", async () => {
    const { name } = await newStore();
    await database.query(`drop table ${name}_evidence`);
    const store = await Store.open(database, { schema: null, name });
    await store.marks.claim(source, new Map([[0, 0]]));
    await flush(store, [failed()]);
    expect(await bodies(name)).toHaveLength(1);
  });
});

describe.skipIf(postgresMissing !== null)("on PostgreSQL", () => {
  it("a database whose encoding lacks a character keeps it by its number", async () => {
    await server.sql.unsafe("create database latin encoding 'LATIN1' locale 'C' template template0");
    await using database = openPostgres({ ...server.settings, name: "latin" });
    const store = await Store.open(database, { schema: null, name: "m" });
    await store.marks.claim(source, new Map([[0, 0]]));
    const entries = entriesOf([failed()]);
    expect(await store.flush(source, new Map([[0, { start: 0, next: 1 }]]), entries)).toBe("stored");
    expect(store.counters).toMatchObject({ rows: 1, rejected: 0 });
    const [row] = await store.reader(database).evidence("https://a.example", 1);
    expect(row?.headers).toEqual({ server: EVIDENCE.headers["server"], "x-gr\\u{fc}n": "\\u{65e5}\\u{1f600}" });
    expect(row?.body).toContain("\\u{fc}\\u{1f600}");
  });

  it("a role that may not make the table stores metrics all the same, and is told what to run", async () => {
    await using database = openPostgres(server.settings);
    await Store.open(database, { schema: null, name: "limited" }, { partition: "none" });
    await database.query("drop table limited_evidence");
    await using role = await createRole(server);
    const { name, database: limited } = role;
    await database.script(`grant select, insert, update on limited to ${name};
      grant select, insert, update, delete on limited_offsets to ${name};
      grant select, insert on limited_rejected to ${name};
      grant select, insert, update, delete on limited_daily to ${name};
      grant select, insert, update on limited_days to ${name}`);
    const store = await Store.open(limited, { schema: null, name: "limited" });
    const [warning = ""] = store.warnings;
    expect(warning).toMatch(/^No evidence is kept: /);
    await store.marks.claim(source, new Map([[0, 0]]));
    const range = new Map([[0, { start: 0, next: 1 }]]);
    expect(await store.flush(source, range, entriesOf([failed()]))).toBe("stored");
    // What it says to run makes it work.
    await database.script(warning.slice(warning.indexOf("\n\n")).trim().replace(/;$/, ""));
    const again = await Store.open(limited, { schema: null, name: "limited" });
    expect(again.warnings).toEqual([]);
    await again.marks.claim(source, new Map([[0, 1]]));
    expect(await again.flush(source, new Map([[0, { start: 1, next: 2 }]]), entriesOf([failed()], 1))).toBe("stored");
    expect(await again.reader(limited).evidence("https://a.example", 5)).toHaveLength(1);
  });
});

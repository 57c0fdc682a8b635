import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import type { Metric } from "../../lib/metric.ts";
import { classifyError, type Database, explain, SetupError } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { COLUMNS, quoteTables } from "../../lib/postgres/schema.ts";
import {
  type Entry,
  type OffsetRange,
  ReceivedEntry,
  Store,
  type StoreOptions,
  type TopicIdentity,
} from "../../lib/postgres/store.ts";
import { changing, recording } from "../support/databases.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { INCIDENT_RULES } from "../support/incidents.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { inTurn } from "../support/turns.ts";
import { dropViews } from "../support/views.ts";
import { offsetsOf, placesAt } from "../support/log_positions.ts";

const bytes = new TextEncoder();
/** Within the current part of a new table. */
const CHECKED_AT = new Date().toISOString();

/**
 * A message whose address tells where it stood. Every other one is of our own producer, whose bytes
 * are copied.
 */
function entry(offset: number, fields: Partial<Metric> | string = {}, partition = 0): Entry {
  const metric = { address: `${partition}/${offset}`, status_code: 200, latency: 0.25, is_valid: true };
  const few = { ...metric, checked_at: CHECKED_AT };
  const all = metricWith({ ...few, scheduled_at: CHECKED_AT, check_id: null, up: true });
  const document = typeof fields === "string" ? fields : JSON.stringify({ ...offset % 2 === 0 ? all : few, ...fields });
  const value = bytes.encode(document);
  return new ReceivedEntry({ partition, offset, key: bytes.encode("key"), value, timestamp: Date.UTC(2026, 0, 2) });
}

const entries = (from: number, to: number, partition = 0) =>
  Array.from({ length: to - from }, (_, i) => entry(from + i, {}, partition));
const span = (start: number, next: number, partition = 0): ReadonlyMap<number, OffsetRange> =>
  new Map([[partition, { start, next }]]);
const newSource = (): TopicIdentity => ({ topic: "metrics", topicId: randomUUID() });
const newTable = (): TableName => ({ schema: null, name: `m_${randomUUID().slice(0, 8)}` });

async function addresses(database: Database, table: TableName): Promise<string[]> {
  const { main } = quoteTables(table);
  const rows = await database.query<{ address: string }>(`select address from ${main} order by address`);
  return rows.map((row) => row.address);
}

interface RejectedRow {
  readonly offset: number;
  readonly reason: string;
  readonly value: string | null;
}

async function rejected(database: Database, table: TableName): Promise<RejectedRow[]> {
  return await database.query<RejectedRow>(
    `select "offset"::int as offset, reason, convert_from(value, 'UTF8') as value
     from ${quoteTables(table).rejected} order by "offset"`,
  );
}

let server: TestPostgres;
const kindsOf = databaseKinds((started) => server = started);

/** How often messages were sent. With incidents each refusal also has marks and rows read anew. */
const flushesIn = (statements: readonly string[]) => statements.filter((text) => text.startsWith("with writer")).length;

/** Tables with and without incidents: the statement differs. */
const MODES = [{ mode: "with incidents", incidents: INCIDENT_RULES }, { mode: "without incidents" }] as const;

const KINDS = MODES.flatMap((mode) => kindsOf(mode.mode).map((kind) => ({ ...kind, ...mode })));

describe.each(KINDS)("Store on $kind, $mode", (one) => {
  const { missing, open, ...mode } = one;
  const long = inTurn(KINDS, one);
  let database: Database;
  const openStore = (way: Database, table: TableName, options: StoreOptions = {}) =>
    Store.open(way, table, { ...options, ...mode });
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    it("claim gives a partition without a mark the offset to start from, and leaves the others' marks", async () => {
      const store = await openStore(database, newTable());
      const source = newSource();
      expect(await store.marks.claim(source, new Map([[1, 70], [0, 5]]))).toEqual(placesAt([[0, 5], [1, 70]]));
      await store.flush(source, span(5, 6), [entry(5)]);
      expect(await store.marks.claim(source, new Map([[0, 0], [2, 9]]))).toEqual(placesAt([[0, 6], [2, 9]]));
    });

    it("claimFirst gives all partitions their marks at once, for a name that has none, and then never again", async () => {
      const store = await openStore(database, newTable());
      const [first, again, other] = [newSource(), newSource(), { ...newSource(), topic: "it's" }];
      expect(await store.marks.knows(first)).toBe(false);
      // Two consumers begin together, and one knows of more partitions. The same one decides for
      // all of them.
      const few = new Map([[0, 10], [1, 11]]);
      const many = new Map([[0, 20], [1, 21], [2, 22]]);
      await Promise.all([store.marks.claimFirst(first, few), store.marks.claimFirst(first, many)]);
      const marks = await store.marks.claim(first, new Map([[0, 0], [1, 0], [2, 0]]));
      expect([[10, 11, 0], [20, 21, 22]]).toContainEqual([0, 1, 2].map((partition) => marks.get(partition)?.offset));
      expect(await store.marks.knows(again)).toBe(true);
      await store.marks.claimFirst(again, many);
      expect(await store.marks.claim(again, new Map([[0, 3], [2, 4]]))).toEqual(placesAt([[0, 3], [2, 4]]));
      await store.marks.claimFirst(other, few);
      expect(await store.marks.claim(other, new Map([[0, 0], [5, 1]]))).toEqual(placesAt([[0, 10], [5, 1]]));
    });

    it.each([
      ["read", `https://a.example/"quoted\\back"/{braces},ü😀\n'`, 1e-7],
      ["copied", "https://a.example/{braces},ü😀'NULL", 0.000001234567890123456],
    ])("flush stores every field of a metric that is %s as it is", async (_how, address, latency) => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const metric = {
        address,
        status_code: null,
        latency,
        is_valid: false,
        scheduled_at: CHECKED_AT,
        checked_at: CHECKED_AT,
        error: "connect",
        error_detail: "NULL",
        latency_dns: 0,
        latency_connect: 0.1,
        latency_tls: null,
        latency_first_byte: null,
        latency_body: null,
        tls_expires_at: "2030-01-01T00:00:00.000Z",
        location: "",
        check_id: "6f1f2a5e-8b0e-4d3c-9a57-0a1b2c3d4e5f",
        up: false,
        remote_address: "2001:db8::1",
        producer: "ü 1",
        next_at: "2030-01-01T00:00:00.000Z",
        labels: { team: 'sh"op\\', "é": "" },
      };
      expect(await store.flush(source, span(0, 1), [entry(0, metric as Metric)])).toBe("stored");
      const [row] = await database.query<Record<string, unknown>>(`select * from ${quoteTables(table).main}`);
      expect(JSON.parse(JSON.stringify(row))).toEqual(metric);
    });

    it("phases keep seven digits, all of them in a table of before; none is refused for its size", async () => {
      const phases = { latency_dns: 0.123456789012, latency_connect: 1e-50, latency_tls: 1e300, latency_body: null };
      const metric = metricWith({ ...phases, latency: 0.123456789012 });
      const stored = async (table: TableName) => {
        const store = await openStore(database, table);
        const source = newSource();
        await store.marks.claim(source, new Map([[0, 0]]));
        expect(await store.flush(source, span(0, 1), [entry(0, metric)])).toBe("stored");
        return await database.query(
          `select latency, latency_dns, latency_connect, latency_tls, latency_body from ${quoteTables(table).main}`,
        );
      };
      expect(await stored(newTable())).toEqual([
        {
          latency: 0.123456789012,
          latency_dns: 0.12345679,
          latency_connect: 0,
          latency_tls: 3e38,
          latency_body: null,
        },
      ]);
      const before = newTable();
      const columns = Object.entries(COLUMNS).map(([name, { type }]) => `${name} ${type}`);
      await database.script(`create table ${quoteTables(before).main} (${columns.join(", ")})`);
      expect(await stored(before)).toEqual([{ ...phases, latency: 0.123456789012 }]);
    });

    it("flush of the same batch twice stores it once", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const batch = [entry(0), entry(1, "no metric"), entry(2)];
      expect(await store.flush(source, span(0, 3), batch)).toBe("stored");
      expect(await store.flush(source, span(0, 3), batch)).toBe("stored");
      expect(await addresses(database, table)).toEqual(["0/0", "0/2"]);
      expect(await rejected(database, table)).toHaveLength(1);
      expect(store.counters).toEqual({ rows: 2, rejected: 1, missedDropped: 0 });
    });

    it("of the metrics of one due time the first real check stays, whatever else comes and in whatever batches", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const scheduled_at = CHECKED_AT;
      const expected = new Map<string, number>();
      let offset = 0;
      // Each word is a host, each letter a metric of its one due time: (m)issed or (r)eal. A blank
      // ends a batch.
      for (
        const story of ["mr", "rm", "m r", "r m", "m m r r", "mmrr", "rrmm m", "m rmr", "mm", "m m", "rr", "r r"]
      ) {
        const check_id = randomUUID();
        let first: number | null = null;
        for (const batch of story.split(" ")) {
          const sent = [...batch].map((letter) => {
            const latency = ++offset;
            if (letter === "r" && !expected.has(story)) expected.set(story, latency);
            first ??= latency;
            return entry(latency - 1, {
              address: story,
              scheduled_at,
              check_id,
              latency,
              error: letter === "m" ? "missed" : null,
              error_detail: letter === "m" ? "asleep" : null,
            });
          });
          expect(await store.flush(source, span(offset - sent.length, offset), sent)).toBe("stored");
        }
        expected.set(story, expected.get(story) ?? first ?? NaN);
      }
      const rows = await database.query<{ address: string; latency: number; error: string; error_detail: string }>(
        `select address, latency, error, error_detail from ${quoteTables(table).main}`,
      );
      expect(new Map(rows.map(({ address, latency }) => [address, latency]))).toEqual(expected);
      for (const { address, error, error_detail } of rows) {
        expect([address, error, error_detail]).toEqual([
          address,
          ...address.includes("r") ? [null, null] : ["missed", "asleep"],
        ]);
      }
      expect(rows).toHaveLength(expected.size);
    });

    it("metrics without an identity stay, each as a row of its own, beside one that is a repeat", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const [check_id, scheduled_at] = [randomUUID(), CHECKED_AT];
      const old = { address: "old", scheduled_at };
      const same = { address: "same", scheduled_at, check_id };
      const sent = [entry(0, old), entry(1, same), entry(2, old), entry(3, same), entry(4, old)];
      expect(await store.flush(source, span(0, 5), sent)).toBe("stored");
      expect(await addresses(database, table)).toEqual(["old", "old", "old", "same"]);
    });

    it("flushEarly stores a batch that is sent before the one before it is answered", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0], [1, 0]]));
      const ranges = new Map([...span(3, 5), ...span(0, 2, 1)]);
      const next = store.encode([...entries(3, 5), entry(0, "no metric", 1), entry(1, {}, 1)]);
      const both = [store.flush(source, span(0, 3), entries(0, 3)), store.flushEarly(source, ranges, [next])];
      expect(await Promise.all(both)).toEqual(["stored", true]);
      expect(await addresses(database, table)).toEqual(["0/0", "0/1", "0/2", "0/3", "0/4", "1/1"]);
      expect(store.counters).toEqual({ rows: 6, rejected: 1, missedDropped: 0 });
    });

    it("flushEarly stores nothing of a partition in which the batch before it was refused, and may be repeated", async () => {
      const table = newTable();
      const { main } = quoteTables(table);
      await openStore(database, table);
      await database.script(`${dropViews(main)}alter table ${main} alter column address type varchar(50)`);
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0], [1, 0]]));
      const first = [entry(0), entry(1, { address: "x".repeat(51) }), entry(2)];
      // One of its partitions goes on behind the refused batch, the other one has nothing to do
      // with it.
      const ranges = new Map([...span(3, 5), ...span(0, 2, 1)]);
      const second = store.encode([...entries(3, 5), ...entries(0, 2, 1)]);
      const both = [store.flush(source, span(0, 3), first), store.flushEarly(source, ranges, [second])];
      expect(await Promise.all(both)).toEqual(["stored", false]);
      expect(await addresses(database, table)).toEqual(["0/0", "0/2", "1/0", "1/1"]);
      expect(await store.flushEncoded(source, ranges, [second])).toBe("stored");
      expect(await addresses(database, table)).toEqual(["0/0", "0/2", "0/3", "0/4", "1/0", "1/1"]);
      expect(await rejected(database, table)).toMatchObject([{ offset: 1 }]);
      expect(store.counters).toEqual({ rows: 6, rejected: 1, missedDropped: 0 });
    });

    it("flushEarly leaves a batch alone that is refused itself, or too large for a statement", async () => {
      const table = newTable();
      const store = await openStore(database, table, { batchSize: 2 });
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      expect(await store.flushEarly(source, span(0, 3), [store.encode(entries(0, 3))])).toBe(false);
      await database.script(`drop table ${quoteTables(table).main} cascade`);
      expect(await store.flushEarly(source, span(0, 1), [store.encode(entries(0, 1))])).toBe(false);
      expect(await store.marks.claim(source, new Map([[0, 0]]))).toEqual(placesAt([[0, 0]]));
    });

    it("flush of a batch that overlaps what is stored stores the rest", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      await store.flush(source, span(0, 3), entries(0, 3));
      expect(await store.flush(source, span(1, 5), entries(1, 5))).toBe("stored");
      expect(await addresses(database, table)).toEqual(["0/0", "0/1", "0/2", "0/3", "0/4"]);
      expect(store.counters.rows).toBe(5);
    });

    it("flush of a writer that comes late stores nothing and does not move the mark back", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      await store.flush(source, span(0, 5), entries(0, 5));
      expect(await store.flush(source, span(1, 4), entries(1, 4))).toBe("stored");
      expect(await addresses(database, table)).toHaveLength(5);
      expect(await store.marks.claim(source, new Map([[0, 0]]))).toEqual(placesAt([[0, 5]]));
    });

    it("flush behind a hole in the offsets stores what comes after it", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      expect(await store.flush(source, span(0, 10), [entry(3), entry(8)])).toBe("stored");
      expect(await store.flush(source, span(10, 11), [entry(10)])).toBe("stored");
      expect(await addresses(database, table)).toEqual(["0/10", "0/3", "0/8"]);
    });

    it.each([
      { name: "starts above the mark", claimed: 0, start: 2 },
      { name: "has no mark", claimed: null, start: 0 },
    ])("flush of a partition that $name stores nothing of it and asks to read again", async ({ claimed, start }) => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[7, 0], ...(claimed === null ? [] : [[0, claimed] as const])]));
      const ranges = new Map([...span(start, start + 1), ...span(0, 1, 7)]);
      expect(await store.flush(source, ranges, [entry(start), entry(0, {}, 7)])).toBe("reopen");
      expect(await addresses(database, table)).toEqual(["7/0"]);
    });

    it("flush keeps the marks of a topic that was made anew apart from the old one's", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      for (const source of [newSource(), newSource()]) {
        await store.marks.claim(source, new Map([[0, 0]]));
        await store.flush(source, span(0, 1), [entry(0)]);
      }
      expect(await addresses(database, table)).toEqual(["0/0", "0/0"]);
    });

    it("flush puts a message that is no metric among the rejected, with everything that is known of it", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const tombstone = new ReceivedEntry({ partition: 0, offset: 1, key: null, value: null, timestamp: 0 });
      await store.flush(source, span(0, 2), [entry(0, `{"a": "\\\\ ' "}`), tombstone]);
      const rows = await database.query(
        `select topic, topic_id, partition, convert_from(key, 'UTF8') as key, convert_from(value, 'UTF8') as value,
           "offset"::int as offset, reason, rejected_at > now() - interval '1 hour' as recent
         from ${quoteTables(table).rejected} order by "offset"`,
      );
      const common = { topic: "metrics", topic_id: source.topicId, partition: 0, recent: true };
      expect(rows).toEqual([
        { ...common, offset: 0, key: "key", value: `{"a": "\\\\ ' "}`, reason: expect.stringContaining("address") },
        { ...common, offset: 1, key: null, value: null, reason: "the message has no value (a tombstone)" },
      ]);
    });

    long("flush stores a batch that is too large for one statement in several", async () => {
      const table = newTable();
      const recorded = recording(database);
      const store = await openStore(recorded.database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      recorded.statements.length = 0;
      const large = Array.from({ length: 5 }, (_, i) => entry(i, `"${"x".repeat(5 * 1024 * 1024)}"`));
      expect(await store.flush(source, span(0, 5), large)).toBe("stored");
      expect(flushesIn(recorded.statements)).toBe(2);
      expect((await rejected(database, table)).map((row) => row.value?.length)).toEqual(Array(5).fill(5_242_882));
    });

    const REFUSALS = [
      {
        what: "a column that is too short",
        ddl: (main: string) => `${dropViews(main)}alter table ${main} alter column address type varchar(50)`,
        bad: { address: "x".repeat(51) },
        reason: "the database refuses the row: value too long for type character varying(50)",
      },
      {
        what: "a CHECK",
        ddl: (main: string) => `alter table ${main} add constraint fast check (latency < 1)`,
        bad: { latency: 2 },
        reason: 'violates check constraint "fast" (Failing row contains (',
      },
      {
        what: "a trigger that raises",
        ddl: (main: string) =>
          `create or replace function refuse() returns trigger language plpgsql as
             'begin if new.status_code = 418 then raise exception ''no teapots''; end if; return new; end';
           create trigger refuse before insert on ${main} for each row execute function refuse()`,
        bad: { status_code: 418 },
        reason: "the database refuses the row: no teapots",
      },
      {
        what: "a time that PostgreSQL does not know",
        ddl: () => "select 1",
        bad: { tls_expires_at: "+275760-09-13T00:00:00.000Z" },
        reason: "the database refuses the row: ",
      },
      {
        what: "a number out of range",
        ddl: (main: string) => `${dropViews(main)}alter table ${main} alter column latency type numeric(4, 1)`,
        bad: { latency: 12345 },
        reason: "the database refuses the row: numeric field overflow (A field with precision 4",
      },
      {
        what: "an index",
        ddl: (main: string) => `create index on ${main} (location)`,
        bad: {
          location: Array.from({ length: 20_000 }, (_, i) => String.fromCodePoint(0x4e00 + (i * 7919) % 20_000)).join(
            "",
          ),
        },
        reason: "the database refuses the row: index row requires",
      },
    ];

    it.each(REFUSALS)(
      "flush puts a row that $what refuses among the rejected, and stores its neighbours",
      async (refusal) => {
        const table = newTable();
        await openStore(database, table);
        await database.script(refusal.ddl(quoteTables(table).main));
        const recorded = recording(database);
        const store = await openStore(recorded.database, table);
        const source = newSource();
        await store.marks.claim(source, new Map([[0, 0], [1, 0]]));
        recorded.statements.length = 0;
        // `as unknown`: the decoder refuses a year of more than four digits.
        const bad = { ...entry(37), content: { ...entry(37).content, ...refusal.bad } } as unknown as Entry;
        const batch = [...entries(0, 37), ...entries(0, 27, 1), bad, ...entries(38, 64), ...entries(27, 64, 1)];
        const ranges = new Map([...span(0, 64), ...span(0, 70, 1)]);

        expect(await store.flush(source, ranges, batch)).toBe("stored");
        const expected = batch.filter((message) => message !== bad).map((message) =>
          `${message.partition}/${message.offset}`
        );
        expect(await addresses(database, table)).toEqual(expected.sort());
        expect(await rejected(database, table)).toEqual([
          { offset: 37, reason: expect.stringContaining(refusal.reason), value: expect.any(String) },
        ]);
        expect(store.counters).toEqual({ rows: 127, rejected: 1, missedDropped: 0 });
        // One statement with all rows, one without any, two for each halving, one that rejects the
        // row.
        expect(flushesIn(recorded.statements)).toBeLessThanOrEqual(2 * Math.log2(128) + 3);
        expect(await store.marks.claim(source, new Map([[0, 0], [1, 0]]))).toEqual(placesAt([[0, 64], [1, 70]]));
      },
    );

    long(
      "flush finds one row out of 5,000 that is refused in about 2·log2(5,000) statements, wherever it stands",
      async () => {
        const table = newTable();
        const { main } = quoteTables(table);
        const recorded = recording(database);
        await openStore(database, table);
        await database.script(`${dropViews(main)}alter table ${main} alter column address type varchar(50)`);
        const store = await openStore(recorded.database, table);
        for (const place of [0, 1, 2499, 2500, 3141, 4999]) {
          const source = newSource();
          await store.marks.claim(source, new Map([[0, 0]]));
          const batch = entries(0, 5000);
          batch[place] = entry(place, { address: "x".repeat(51) });
          recorded.statements.length = 0;
          expect(await store.flush(source, span(0, 5000), batch)).toBe("stored");
          // Without the bad row one statement is enough. With it come one without rows, two for each
          // of 13 halvings, and one that rejects it.
          expect(flushesIn(recorded.statements) - 1).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(5000)) + 2);
        }
        expect((await rejected(database, table)).map(({ offset }) => offset)).toEqual([0, 1, 2499, 2500, 3141, 4999]);
        expect(await addresses(database, table)).toHaveLength(6 * 4999);
      },
    );

    it("flush stores a metric that was sent twice once, by its check_id, and its neighbours", async () => {
      const table = newTable();
      const recorded = recording(database);
      const store = await openStore(recorded.database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const twice = { address: "twice", check_id: randomUUID() };
      await store.flush(source, span(0, 2), [entry(0), entry(1, twice)]);
      recorded.statements.length = 0;
      const batch = [entry(2, twice), entry(3), entry(4, twice)];
      expect(await store.flush(source, span(2, 5), batch)).toBe("stored");
      expect(flushesIn(recorded.statements)).toBe(2);
      expect(await addresses(database, table)).toEqual(["0/0", "0/3", "twice"]);
      expect(await rejected(database, table)).toEqual([]);
    });

    it("flush rejects what a user's own unique index refuses, and does not swallow it", async () => {
      const table = newTable();
      await openStore(database, table, { partition: "none" });
      await database.script(`create unique index ${table.name}_user on ${quoteTables(table).main} (address)`);
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const batch = [entry(0, { address: "a" }), entry(1, { address: "a" }), entry(2, { address: "b" })];
      expect(await store.flush(source, span(0, 3), batch)).toBe("stored");
      expect(await addresses(database, table)).toEqual(["a", "b"]);
      const reason =
        `the database refuses the row: duplicate key value violates unique constraint "${table.name}_user" ` +
        "(Key (address)=(a) already exists.)";
      expect(await rejected(database, table)).toEqual([{ offset: 1, reason, value: expect.any(String) }]);
    });

    it("skip moves a mark that stands where it is said to, either way, and records why", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[3, 10]]));
      const to = (offset: number, epoch: number | null = null) => ({ offset, epoch });
      const claim = () => store.marks.claim(source, new Map([[3, 0]]));
      expect(await store.marks.skip(source, 3, 9, to(20), "not there")).toBe(false);
      expect(await store.marks.skip(source, 3, 10, to(20), "retention won")).toBe(true);
      expect(await store.marks.skip(source, 3, 20, to(30), "claimed before it was skipped")).toBe(false);
      expect(await claim()).toEqual(new Map([[3, to(20)]]));
      expect(await store.marks.skip(source, 3, 10, to(20), "again")).toBe(false);
      expect(await store.marks.skip(source, 3, 20, to(15, 4), "the log ends before")).toBe(true);
      expect(await claim()).toEqual(new Map([[3, to(15, 4)]]));
      expect(await rejected(database, table)).toEqual([
        { offset: 10, reason: "retention won", value: null },
        { offset: 20, reason: "the log ends before", value: null },
      ]);
    });

    it("flush stores nothing by a mark that was skipped since it was claimed, though it fits", async () => {
      const table = newTable();
      const [one, other] = [await openStore(database, table), await openStore(database, table)];
      const source = newSource();
      const range = (start: number, next: number, epoch: number) => new Map([[0, { start, next, epoch }]]);
      await one.marks.claim(source, new Map([[0, 0]]));
      expect(await one.flush(source, range(0, 10, 3), entries(0, 10))).toBe("stored");
      expect(await other.marks.claim(source, new Map([[0, 0]]))).toEqual(new Map([[0, { offset: 10, epoch: 3 }]]));
      // The log is cut, and grows to where it was, with other messages.
      expect(await one.marks.skip(source, 0, 10, { offset: 6, epoch: 3 }, "the log was cut")).toBe(true);
      await one.marks.claim(source, new Map([[0, 0]]));
      expect(await one.flush(source, range(6, 10, 4), entries(6, 10))).toBe("stored");
      // The other one has read on from the old log meanwhile. Its batch would hide the new
      // messages.
      expect(await other.flush(source, range(10, 12, 3), entries(10, 12))).toBe("reopen");
      expect(await other.flush(source, range(8, 12, 3), entries(8, 12))).toBe("reopen");
      expect(await addresses(database, table)).toHaveLength(14);
      expect(await other.marks.claim(source, new Map([[0, 0]]))).toEqual(new Map([[0, { offset: 10, epoch: 4 }]]));
      expect(await other.flush(source, range(10, 12, 4), entries(10, 12))).toBe("stored");
      expect(await addresses(database, table)).toHaveLength(16);
    });

    it("claim gives an epoch only with the offset that it was stored with", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const source = newSource();
      const claim = async () => (await store.marks.claim(source, new Map([[0, 0]]))).get(0);
      expect(await claim()).toEqual({ offset: 0, epoch: null });
      await store.flush(source, new Map([[0, { start: 0, next: 3, epoch: 7 }]]), entries(0, 3));
      expect(await claim()).toEqual({ offset: 3, epoch: 7 });
      // A person changes it, or a consumer that does not know epochs.
      await database.script(`update ${quoteTables(table).offsets} set next_offset = 5`);
      expect(await claim()).toEqual({ offset: 5, epoch: null });
    });

    it("forget deletes the marks of its source alone", async () => {
      const table = newTable();
      const store = await openStore(database, table);
      const [kept, gone] = [newSource(), newSource()];
      for (const source of [kept, gone]) await store.marks.claim(source, new Map([[0, 5]]));
      await store.marks.forget(gone);
      expect(await store.marks.claim(kept, new Map([[0, 1]]))).toEqual(placesAt([[0, 5]]));
      expect(await store.marks.claim(gone, new Map([[0, 1]]))).toEqual(placesAt([[0, 1]]));
    });
  });
});

describe.skipIf(postgresMissing !== null).each(MODES)(
  `Store with several writers ${postgresMissing ?? ""}, $mode`,
  (mode) => {
    const openStore = (way: Database, table: TableName, options: StoreOptions = {}) =>
      Store.open(way, table, { ...options, ...mode });

    const SHIPPED = { name: "as it is", change: (text: string) => text, exact: true };
    // With incidents nothing is stored of a batch of which somebody else has stored a part: less can
    // be broken.
    const safe = "incidents" in mode;
    const BROKEN = [
      {
        name: "when the insert reads the mark anew",
        change: (text: string) =>
          text.replace(
            /where r\.at >= v\.mark(?=\s+\), rejected)/,
            "where r.at >= (select next_offset from $offsets o where o.topic_id = $1::text and o.partition = r.partition)",
          ),
        exact: safe,
      },
      {
        name: "without the lock on the marks",
        change: (text: string) => text.replace("for no key update of o", ""),
        exact: false,
      },
      {
        name: "when the update compares the mark with the row it finds",
        change: (text: string) => text.replace(/and (m\.start <?= m\.mark)/, "and o.next_offset = m.mark and $1"),
        exact: safe,
      },
      {
        name: "when the update finds the row by its place",
        change: (text: string) =>
          text.replace(
            "select o.partition, o.next_offset as mark",
            "select o.ctid as place, o.partition, o.next_offset as mark",
          )
            .replace(/where o\.topic_id = \$1::text and o\.partition = m\.partition/, "where o.ctid = m.place"),
        exact: safe,
      },
    ];

    it.each(BROKEN)("flushSql can be broken $name: the control is no copy of the statement", async ({ change }) => {
      await using database = openPostgres(server.settings);
      const recorded = recording(database);
      const store = await openStore(recorded.database, newTable());
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      await store.flush(source, span(0, 1), [entry(0)]);
      const statement = recorded.statements.find((text) => text.startsWith("with writer")) ?? "";
      expect(change(statement)).not.toBe(statement);
    });

    it.each([
      { name: "as it is", change: (text: string) => text, outcome: "stored" },
      {
        name: "when the lock looks for gaps too",
        change: (text: string) =>
          text.replace(
            "where o.topic_id = $1::text order by",
            "where o.topic_id = $1::text and w.start <= o.next_offset order by",
          ),
        outcome: "reopen",
      },
    ])("flush of a writer that waits behind the one before it, $name: $outcome", async ({ change, outcome }) => {
      const table = newTable();
      await using first = openPostgres(server.settings);
      await using second = openPostgres(server.settings);
      const stores = [await openStore(first, table), await openStore(changing(second, change), table)];
      const source = newSource();
      for (const store of stores) await store.marks.claim(source, new Map([[0, 0]]));
      const { pending } = await server.sql.begin(async (sql) => {
        await sql.unsafe(`select from ${quoteTables(table).offsets} for update`);
        const pending: (Promise<string> | undefined)[] = [];
        for (const [i, store] of stores.entries()) {
          let isSettled = false;
          const flush = store.flush(source, span(i * 10, i * 10 + 10), entries(i * 10, i * 10 + 10));
          pending.push(flush.finally(() => isSettled = true));
          // The server serves them in the order in which they wait. The one that sees a gap does not
          // even wait.
          const isQueued = async () => isSettled || await waitingForLocks() === i + 1;
          await expect.poll(isQueued, { timeout: 20_000 }).toBe(true);
        }
        return { pending };
      }) as { pending: Promise<string>[] };
      expect(await Promise.all(pending)).toEqual(["stored", outcome]);
      expect(await addresses(first, table)).toHaveLength(outcome === "stored" ? 20 : 10);
    });

    it("flush that makes its own mark does not see it: that is why claim is a statement of its own", async () => {
      const table = newTable();
      const { offsets } = quoteTables(table);
      await using database = openPostgres(server.settings);
      const make = (text: string) =>
        text.replace(
          "), marks as (",
          `), made as (
          insert into ${offsets} (topic_id, partition, next_offset, topic)
          select $1::text, w.partition, w.start, $7::text from writer w on conflict do nothing
        ), marks as (`,
        );
      const store = await openStore(changing(database, make), table);
      const source = newSource();
      expect(await store.flush(source, span(0, 3), entries(0, 3))).toBe("reopen");
      expect(await addresses(database, table)).toEqual([]);
      // The mark exists all the same.
      await store.marks.claim(source, new Map([[0, 9]]));
      expect(await store.flush(source, span(0, 3), entries(0, 3))).toBe("stored");
      expect(await addresses(database, table)).toEqual(["0/0", "0/1", "0/2"]);
    });

    it.each([SHIPPED, ...BROKEN])(
      "flush by two writers that wait for the same mark, $name: exact is $exact",
      async (variant) => {
        const table = newTable();
        const { offsets } = quoteTables(table);
        await using first = openPostgres(server.settings);
        await using second = openPostgres(server.settings);
        const change = (text: string) =>
          text.startsWith("with writer") ? variant.change(text).replaceAll("$offsets", offsets) : text;
        const stores = [
          await openStore(changing(first, change), table),
          await openStore(changing(second, change), table),
        ];
        const source = newSource();
        for (const store of stores) await store.marks.claim(source, new Map([[0, 0], [1, 0]]));
        // Each writer is ahead of the other in one partition. So the second leaves some rows out and
        // stores others.
        const flush = (store: Store, i: number) => {
          const [end0, end1] = i === 0 ? [10, 6] : [6, 10];
          const ranges = new Map([...span(0, end0), ...span(0, end1, 1)]);
          return store.flush(source, ranges, [...entries(0, end0), ...entries(0, end1, 1)]);
        };

        const flushes = await server.sql.begin(async (sql) => {
          await sql.unsafe(`select from ${offsets} for update`);
          const pending = stores.map(flush);
          await expect.poll(() => waitingForLocks(), { timeout: 20_000 }).toBe(2);
          // The promise stays in an object. An await here would make the flushes and this transaction
          // wait for each other.
          return { pending };
        }) as { pending: Promise<string>[] };
        expect(await Promise.all(flushes.pending)).toEqual(["stored", "stored"]);
        const expected = [...entries(0, 10), ...entries(0, 10, 1)].map((message) =>
          `${message.partition}/${message.offset}`
        );
        const found = await addresses(first, table);
        expect(found.join() === expected.join()).toBe(variant.exact);
      },
    );

    it("flush by two writers that wait for the same mark: real checks take the places of missed ones, once", async () => {
      const table = newTable();
      await using first = openPostgres(server.settings);
      await using second = openPostgres(server.settings);
      const stores = [await openStore(first, table), await openStore(second, table)] as const;
      const [source, other] = [newSource(), newSource()];
      for (const store of stores) await store.marks.claim(source, new Map([[0, 0], [1, 0]]));
      await stores[0].marks.claim(other, new Map([[0, 0]]));
      const ids = Array.from({ length: 20 }, () => randomUUID());
      /** The check of a due time: of a partition's first ten offsets each has its own. */
      const checkOf = (offset: number, partition: number) => {
        const number = partition * 10 + offset;
        return { address: `h${number}`, scheduled_at: CHECKED_AT, check_id: ids[number] as string };
      };
      // The table has missed ones of some due times, by another topic.
      const missed = [0, 3, 11].map((number, offset) =>
        entry(offset, { ...checkOf(number % 10, Math.trunc(number / 10)), error: "missed", error_detail: "asleep" })
      );
      expect(await stores[0].flush(other, span(0, 3), missed)).toBe("stored");
      const sent = (end: number, partition: number) =>
        Array.from({ length: end }, (_, i) => entry(i, { ...checkOf(i, partition), error: null }, partition));
      const flush = (store: Store, i: number) => {
        const [end0, end1] = i === 0 ? [10, 6] : [6, 10];
        return store.flush(source, new Map([...span(0, end0), ...span(0, end1, 1)]), [
          ...sent(end0, 0),
          ...sent(end1, 1),
        ]);
      };
      const flushes = await server.sql.begin(async (sql) => {
        await sql.unsafe(`select from ${quoteTables(table).offsets} for update`);
        const pending = stores.map(flush);
        await expect.poll(() => waitingForLocks(), { timeout: 20_000 }).toBe(2);
        return { pending };
      }) as { pending: Promise<string>[] };
      expect(await Promise.all(flushes.pending)).toEqual(["stored", "stored"]);
      const rows = await first.query<{ address: string; error: string | null }>(
        `select address, error from ${quoteTables(table).main}`,
      );
      expect(rows.map(({ address, error }) => `${address} ${error}`).toSorted())
        .toEqual(ids.map((_, number) => `h${number} null`).toSorted());
    });

    it.each(["missed", null])(
      "a row that another writer has not committed yet (%s) is waited for, and a real check stays",
      async (theirs) => {
        const table = newTable();
        await using database = openPostgres(server.settings);
        const store = await openStore(database, table);
        const source = newSource();
        await store.marks.claim(source, new Map([[0, 0]]));
        const [check_id, ours] = [randomUUID(), theirs === null ? "missed" : null];
        const { main } = quoteTables(table);
        const pending = await server.sql.begin(async (sql) => {
          await sql.unsafe(
            `insert into ${main} (address, scheduled_at, checked_at, check_id, error, latency, is_valid)
            values ('a', $1, $1, $2, $3, 0, false)`,
            [CHECKED_AT, check_id, theirs],
          );
          const flush = store.flush(source, span(0, 1), [
            entry(0, { address: "a", scheduled_at: CHECKED_AT, check_id, error: ours }),
          ]);
          await expect.poll(() => waitingForLocks(), { timeout: 20_000 }).toBe(1);
          return { flush };
        }) as { flush: Promise<string> };
        expect(await pending.flush).toBe("stored");
        expect(await database.query(`select error from ${main}`)).toEqual([{ error: null }]);
      },
    );

    it("flush by writers with ranges that overlap, all at once, stores each message once", async () => {
      const table = newTable();
      const databases = Array.from({ length: 4 }, () => openPostgres(server.settings));
      const stores = await Promise.all(databases.map((database) => openStore(database, table)));
      const source = newSource();
      await stores[0]?.marks.claim(source, new Map([[0, 0], [1, 0]]));
      await Promise.all(stores.map((store) => writeAll(store, source)));
      const expected = [...entries(0, 300), ...entries(0, 300, 1)].map(({ partition, offset }) =>
        `${partition}/${offset}`
      );
      expect(await addresses(databases[0] as Database, table)).toEqual(expected.sort());
      await Promise.all(databases.map((database) => database[Symbol.asyncDispose]()));
    });

    /** Reads and stores two partitions to their end, as a consumer that believes they are its own. */
    async function writeAll(store: Store, source: TopicIdentity): Promise<void> {
      const claim = async () => offsetsOf(await store.marks.claim(source, new Map([[0, 0], [1, 0]])));
      let positions = await claim();
      while ([...positions.values()].some((position) => position < 300)) {
        const ranges = new Map(
          [...positions].filter(([, start]) => start < 300).map(([partition, start]) => {
            return [partition, { start, next: Math.min(start + 7, 300) }] as const;
          }),
        );
        const batch = [...ranges].flatMap(([partition, { start, next }]) => entries(start, next, partition));
        const outcome = await store.flush(source, ranges, batch);
        const ahead = new Map([
          ...positions,
          ...[...ranges].map(([partition, { next }]) => [partition, next] as const),
        ]);
        positions = outcome === "stored" ? ahead : await claim();
      }
    }

    async function waitingForLocks(): Promise<number> {
      const [row] = await server.sql`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and application_name = 'host-checker' and wait_event_type = 'Lock'`;
      return row?.count;
    }

    it("flush whose backend is killed while it waits may be repeated, and stores its batch once", async () => {
      const table = newTable();
      await using database = openPostgres(server.settings);
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const failed = await server.sql.begin(async (sql) => {
        await sql.unsafe(`select from ${quoteTables(table).offsets} for update`);
        const flush = store.flush(source, span(0, 3), entries(0, 3)).catch((error: unknown) => error);
        await expect.poll(() => waitingForLocks(), { timeout: 20_000 }).toBe(1);
        await sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'host-checker'`;
        return { error: await flush };
      }) as { error: unknown };
      expect(classifyError(failed.error)).toBe("wait");
      expect(await store.flush(source, span(0, 3), entries(0, 3))).toBe("stored");
      expect(await addresses(database, table)).toEqual(["0/0", "0/1", "0/2"]);
    });

    it.each([
      {
        what: "a partition that does not exist",
        ddl: `(address text, status_code int, latency float8, is_valid bool) partition by list (is_valid)`,
        message: /no partition of relation .* create the partition that the row belongs to/,
      },
      {
        what: "a column that a trigger should have filled",
        ddl: `(address text, status_code int, latency float8, is_valid bool, extra int not null);
        create or replace function do_nothing() returns trigger language plpgsql as 'begin return new; end';
        create trigger t before insert on $table for each row execute function do_nothing()`,
        message: /null value in column "extra" .* give the column a default/,
      },
    ])("flush stops at $what, and rejects no good metric for it", async ({ ddl, message }) => {
      const table = newTable();
      const { main } = quoteTables(table);
      await using database = openPostgres(server.settings);
      await database.script(`create table ${main} ${ddl.replaceAll("$table", main)}`);
      const store = await openStore(database, table);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const failure = await store.flush(source, span(0, 2), entries(0, 2)).catch((error: unknown) => error);
      expect(classifyError(failure)).toBe("setup");
      expect(explain(failure)).toMatch(message);
      expect(await rejected(database, table)).toEqual([]);
    });

    it("forget waits until all that was stored before is on the disk", async () => {
      await using database = openPostgres(server.settings);
      const store = await openStore(database, newTable());
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      await store.flush(source, span(0, 100), entries(0, 100));
      const [written] = await server.sql`select pg_current_wal_insert_lsn()::text as end`;
      await store.marks.forget(source);
      const [flushed] = await server.sql`select pg_current_wal_flush_lsn() >= ${written
        ?.end as string}::pg_lsn as done`;
      expect(flushed).toEqual({ done: true });
    });

    it("flush stops where the rejected cannot be kept", async () => {
      const table = newTable();
      await using database = openPostgres(server.settings);
      const store = await openStore(database, table);
      const { rejected, offsets } = quoteTables({ ...table, schema: "public" });
      await database.script(`alter table ${rejected} add check (reason = 'none')`);
      const source = newSource();
      await store.marks.claim(source, new Map([[0, 0]]));
      const failure = await store.flush(source, span(0, 1), [entry(0, "no metric")]).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(SetupError);
      expect((failure as Error).message).toContain(`${offsets} and ${rejected} must take what is written to them: `);
    });
  },
);

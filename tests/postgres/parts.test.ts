import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import { type Database, SetupError } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { lengthOf, missingSpans, type Part, partNames, spanOf, spansFrom } from "../../lib/postgres/part_spans.ts";
import { PartMaker } from "../../lib/postgres/part_maker.ts";
import { readParts } from "../../lib/postgres/parts.ts";
import { dayGrants, quoteTables } from "../../lib/postgres/schema.ts";
import { type Entry, Store, type StoreEvents } from "../../lib/postgres/store.ts";
import { prepareTables } from "../../lib/postgres/tables.ts";
import { intercepting, recording } from "../support/databases.ts";
import { metricWith } from "../support/metrics.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { createRole } from "../support/roles.ts";

const DAY = 86_400_000;
const time = (text: string) => Date.parse(text);

describe("part_spans", () => {
  const part = (name: string, from: string, to: string): Part => ({ name, from: time(from), to: time(to) });

  it("spansFrom gives months and days of UTC, without a gap, over the end of a year and a leap day", () => {
    const starts = (length: "month" | "day", at: string) =>
      spansFrom(length, time(at), 4).map(({ from, to }) =>
        [from, to].map((at) => new Date(at).toISOString().slice(0, 10))
      );
    expect(starts("month", "2026-11-30T23:59:59.999Z")).toEqual([
      ["2026-11-01", "2026-12-01"],
      ["2026-12-01", "2027-01-01"],
      ["2027-01-01", "2027-02-01"],
      ["2027-02-01", "2027-03-01"],
    ]);
    expect(starts("day", "2028-02-28T12:00:00Z").map(([from]) => from)).toEqual([
      "2028-02-28",
      "2028-02-29",
      "2028-03-01",
      "2028-03-02",
    ]);
  });

  it("partNames stay within PostgreSQL's 63 bytes, whole characters, and end alike", () => {
    const span = spanOf("day", time("2026-11-30T00:00:00Z"));
    for (const table of ["m", "x".repeat(49), "é".repeat(24)]) {
      const names = partNames(table, "day", span);
      expect(new Set(names).size).toBe(9);
      for (const name of names) {
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
        expect(name.endsWith("_20261130") && name.isWellFormed()).toBe(true);
      }
    }
  });

  it("lengthOf tells parts of its own from a user's", () => {
    const month = part("m_202611", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    const day = part("m_20261130", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z");
    expect(lengthOf([month])).toBe("month");
    expect(lengthOf([month, day])).toBe("day");
    expect(lengthOf([])).toBeNull();
    expect(lengthOf([{ ...month, name: "m_2026_11" }])).toBeNull();
    expect(lengthOf([{ ...month, to: month.to + 1 }])).toBeNull();
    expect(lengthOf([{ ...month, from: -Infinity }, { ...month, to: Infinity }])).toBeNull();
  });

  it("missingSpans gives each span once, and leaves out what other parts have of it", () => {
    const parts = [part("old", "2000-01-01T00:00:00Z", "2026-11-05T00:00:00Z"), {
      name: "x",
      from: time("2026-11-20T00:00:00Z"),
      to: Infinity,
    }];
    const at = (text: string) => missingSpans("month", [time(text), time(text)], parts);
    expect(at("2026-11-04T00:00:00Z")).toEqual([]);
    expect(at("2026-11-05T00:00:00Z")).toEqual([{
      from: time("2026-11-05T00:00:00Z"),
      to: time("2026-11-20T00:00:00Z"),
    }]);
    expect(at("1999-12-31T00:00:00Z")).toEqual([{
      from: time("1999-12-01T00:00:00Z"),
      to: time("2000-01-01T00:00:00Z"),
    }]);
  });
});

let server: TestPostgres;
const kindsOf = databaseKinds((started) => server = started);

const newTable = (): TableName => ({ schema: null, name: `m_${randomUUID().slice(0, 8)}` });
const silent: StoreEvents = { rejected() {}, ended() {}, grown() {}, parts() {}, rolledUp() {} };

function entry(offset: number, scheduledAt: number, partition = 0): Entry {
  const at = new Date(scheduledAt).toISOString();
  const content = metricWith({
    address: `${partition}/${offset}`,
    scheduled_at: at,
    checked_at: at,
    check_id: randomUUID(),
  });
  return { partition, offset, key: null, value: null, content };
}

async function store(store: Store, entries: readonly Entry[], topicId: string = randomUUID()): Promise<string> {
  const [first, last] = [entries[0] as Entry, entries.at(-1) as Entry];
  const source = { topic: "t", topicId };
  await store.marks.claim(source, new Map([[first.partition, first.offset]]));
  return await store.flush(
    source,
    new Map([[first.partition, { start: first.offset, next: last.offset + 1 }]]),
    entries,
  );
}

/** The names of a table's parts, without the table's own. */
async function endings(database: Database, { name }: TableName): Promise<string[]> {
  const table = await readParts(database, quoteTables({ schema: null, name }).main);
  return table?.parts.map((part) => part.name.replace(name, "")) ?? [];
}

const KINDS = kindsOf();

describe.each(KINDS)("parts on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    it.each(["month", "day"] as const)(
      "a new table has the part of this %s and of the next three",
      async (partition) => {
        const table = newTable();
        await Store.open(database, table, { partition });
        const ahead = spansFrom(partition, Date.now(), 4).map((span) => partNames("", partition, span)[0]);
        expect(await endings(database, table)).toEqual(ahead);
      },
    );

    it("as time goes on the next parts are made, also those of a stretch in which no consumer ran", async () => {
      const table = newTable();
      const tables = await prepareTables(database, table, "month");
      const told: string[] = [];
      const keeper = new PartMaker(database, tables, { parts: (what) => void told.push(what) });
      const before = await endings(database, table);
      await keeper.keepAhead();
      expect(await endings(database, table)).toEqual(before);
      await keeper.keepAhead(Date.now() + 200 * DAY);
      const ahead = spansFrom("month", Date.now() + 200 * DAY, 4).map((span) => partNames("", "month", span)[0]);
      expect(await endings(database, table)).toEqual([
        ...before,
        ...ahead.filter((name) => !before.includes(name ?? "")),
      ]);
      expect(told).toEqual([expect.stringMatching(`^"public"\\."${table.name}" has parts for \\d{4}-\\d\\d.* now$`)]);
    });

    it("a batch with more months than one transaction makes gets them all", async () => {
      const table = newTable();
      const store1 = await Store.open(database, table);
      const entries = Array.from({ length: 40 }, (_, i) => entry(i, Date.UTC(2010, i, 15)));
      expect(await store(store1, entries)).toBe("stored");
      const [row] = await database.query<{ rows: number }>(
        `select count(*)::int as rows from ${quoteTables(table).main}`,
      );
      expect(row?.rows).toBe(40);
      expect(store1.counters).toEqual({ rows: 40, rejected: 0, missedDropped: 0 });
    });

    it("a part that cannot be made stops the consumer, and no row is blamed for it", async () => {
      const table = newTable();
      const { main, rejected } = quoteTables(table);
      const store1 = await Store.open(database, table);
      const names = partNames(table.name, "month", spanOf("month", Date.UTC(2011, 0)));
      await database.script(names.map((name) => `create table ${name} ()`).join(";"));
      const failure = store(store1, [entry(0, Date.now()), entry(1, Date.UTC(2011, 0, 15)), entry(2, Date.now())]);
      await expect(failure).rejects.toThrow(
        new RegExp(`^The parts of "public"\\."${table.name}" for 2011-01 cannot be made: .+null`),
      );
      await expect(failure).rejects.toBeInstanceOf(SetupError);
      const [row] = await database.query(
        `select (select count(*)::int from ${main}) as rows, (select count(*)::int from ${rejected}) as rejected`,
      );
      expect(row).toEqual({ rows: 0, rejected: 0 });
    });
  });
});

describe.skipIf(postgresMissing !== null)(`parts of several consumers ${postgresMissing ?? ""}`, () => {
  let database: Database;
  beforeAll(() => {
    database = openPostgres(server.settings);
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  it("four consumers that need the same old months at once all store their rows, and each month has one part", async () => {
    const table = newTable();
    await using resources = new AsyncDisposableStack();
    const stores: Store[] = [];
    for (let i = 0; i < 4; i++) {
      stores.push(await Store.open(resources.use(openPostgres(server.settings)), table));
    }
    const outcomes = await Promise.all(stores.map((each, partition) => {
      const entries = Array.from({ length: 24 }, (_, i) => entry(i, Date.UTC(2012, i, 1 + partition), partition));
      return store(
        each,
        partition % 2 === 0 ? entries : entries.toReversed().map((one, offset) => ({ ...one, offset })),
      );
    }));
    expect(outcomes).toEqual(Array(4).fill("stored"));
    const [row] = await database.query(`select count(*)::int as rows from ${quoteTables(table).main}`);
    expect(row).toEqual({ rows: 96 });
    const parts = await endings(database, table);
    expect(new Set(parts).size).toBe(28);
    expect(parts).toHaveLength(28);
  });

  it("neither a reader nor a writer of the table waits for a part that is made, nor is waited for", async () => {
    const table = newTable();
    const { main } = quoteTables(table);
    const store1 = await Store.open(database, table);
    await store(store1, [entry(0, Date.now())]);
    const reader = await server.sql.reserve();
    try {
      await reader.unsafe(`begin; select * from ${main}; delete from ${main}`);
      // Would fail at the lock's time limit, and wait.
      expect(await store(store1, [entry(1, Date.UTC(2013, 0, 15))])).toBe("stored");
      await reader.unsafe("rollback");
    } finally {
      reader.release();
    }
    expect(await endings(database, table)).toContain("_201301");
  });

  it("a statement that was cancelled while its part was made is sent again, and stores each row once", async () => {
    const table = newTable();
    let failures = 2;
    const failing = intercepting(database, () => {});
    const script = async (text: string) => {
      await database.script(text);
      // The answer is lost: nobody knows whether the part was made.
      if (text.includes("_2014") && failures-- > 0) throw Object.assign(new Error("lost"), { code: "ECONNRESET" });
    };
    const store1 = await Store.open({ ...failing, script }, table);
    const entries = [entry(0, Date.UTC(2014, 0, 1)), entry(1, Date.UTC(2014, 5, 1))];
    const topicId = randomUUID();
    await expect(store(store1, entries, topicId)).rejects.toThrow("lost");
    expect(await store(store1, entries, topicId)).toBe("stored");
    const rows = await database.query(`select address from ${quoteTables(table).main} order by 1`);
    expect(rows).toEqual([{ address: "0/0" }, { address: "0/1" }]);
  });

  it("metrics are stored though the next parts cannot be made, which is said, and tried again", async () => {
    const table = newTable();
    const tables = await prepareTables(database, table, "month");
    const told: [string, boolean][] = [];
    let isBroken = true;
    const broken: Database = {
      ...intercepting(database, () => {}),
      script: (text) =>
        isBroken
          ? Promise.reject(Object.assign(new Error("no disk"), { severity: "ERROR", code: "53100" }))
          : database.script(text),
    };
    const keeper = new PartMaker(broken, tables, { parts: (...what) => void told.push(what) });
    const later = Date.now() + 100 * DAY;
    await keeper.keepAhead(later);
    expect(told).toEqual([[expect.stringContaining("could not be made: PostgreSQL says: no disk"), true]]);
    isBroken = false;
    await keeper.keepAhead(later + 1000);
    expect(told).toHaveLength(1);
    await keeper.keepAhead(later + 61_000);
    expect(told.at(-1)).toEqual([expect.stringMatching(/has parts for .+ now$/), false]);
  });

  it("a role that may not make parts is told a month before the last one ends, and the statements that mend it", async () => {
    const table = { schema: "public", name: newTable().name };
    await Store.open(database, table);
    await using role = await createRole(server);
    const { main, offsets, rejected } = quoteTables(table);
    await database.script(`grant select, insert on ${main} to ${role.name};
      grant select, insert, update, delete on ${offsets} to ${role.name}; grant select, insert on ${rejected} to ${role.name};
      ${dayGrants(table, role.name).join(";")}`);
    const told: string[] = [];
    const tables = await prepareTables(role.database, table, "month");
    const keeper = new PartMaker(role.database, tables, { parts: (what) => void told.push(what) });
    await keeper.keepAhead();
    const [, , , last] = spansFrom("month", Date.now(), 4);
    await keeper.keepAhead((last?.to ?? 0) - 32 * DAY);
    expect(told).toEqual([]);
    await keeper.keepAhead((last?.to ?? 0) - 30 * DAY);
    await keeper.keepAhead((last?.to ?? 0) - 30 * DAY + 7_200_000);
    expect(told).toEqual([expect.stringContaining("the role may not make it: only its owner may. Let somebody")]);

    const store1 = await Store.open(role.database, table, { events: silent });
    const topicId = randomUUID();
    const failure = await store(store1, [entry(0, Date.UTC(2015, 0, 15))], topicId).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SetupError);
    const { message } = failure as SetupError;
    await database.script(message.slice(message.indexOf("\n\n")));
    expect(await store(store1, [entry(0, Date.UTC(2015, 0, 15))], topicId)).toBe("stored");
  });

  it("what is stored in parts that exist costs one statement", async () => {
    const recorded = recording(database);
    const store1 = await Store.open(recorded.database, newTable());
    await store1.marks.claim({ topic: "t", topicId: "one" }, new Map([[0, 0]]));
    recorded.statements.length = 0;
    const ranges = new Map([[0, { start: 0, next: 1 }]]);
    await store1.flush({ topic: "t", topicId: "one" }, ranges, [entry(0, Date.now())]);
    expect(recorded.statements).toHaveLength(1);
  });
});

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import { classifyError, type Database, explain } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { dayGrants, type QuotedTables, quoteTables } from "../../lib/postgres/schema.ts";
import {
  type Entry,
  type OffsetRange,
  ReceivedEntry,
  Store,
  type StoreOptions,
  type TopicIdentity,
} from "../../lib/postgres/store.ts";
import { intercepting, recording } from "../support/databases.ts";
import { databaseKinds } from "../support/database_kinds.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { createRole } from "../support/roles.ts";
import { dropViews } from "../support/views.ts";

// Who is at fault when the database refuses something: docs/promises.md has the rule.

const bytes = new TextEncoder();

/** The tables of these tests refuse the status 418, where they refuse only some rows. */
const BAD = { status_code: 418 };

function entry(offset: number, fields: object | string = {}): Entry {
  const few = { address: `a${offset}`, status_code: 200, latency: 0.25, is_valid: true };
  const now = new Date().toISOString();
  const all = metricWith({ ...few, scheduled_at: now, checked_at: now, check_id: null, up: true });
  // Every other one is of our own producer, whose bytes are copied.
  const metric = { ...offset % 2 === 0 ? all : few, ...Object(fields) };
  const value = bytes.encode(typeof fields === "string" ? fields : JSON.stringify(metric));
  return new ReceivedEntry({ partition: 0, offset, key: null, value, timestamp: Date.now() });
}

/** "." is a good metric, "b" a bad one, "x" a message that is no metric. */
function batch(pattern: string, from = 0): Entry[] {
  return [...pattern].map((what, i) => entry(from + i, what === "x" ? "no metric" : what === "b" ? BAD : {}));
}

const span = (start: number, next: number): ReadonlyMap<number, OffsetRange> => new Map([[0, { start, next }]]);

let server: TestPostgres;
const kindsOf = databaseKinds((started) => server = started);

const KINDS = kindsOf();

/** A trigger that refuses the rows for which `condition` is true. */
function trigger(main: string, condition: string, code: string, when = "before insert"): string {
  const name = `refuse_${randomUUID().slice(0, 8)}`;
  return `create function ${name}() returns trigger language plpgsql as $f$
    begin if ${condition} then raise exception using errcode = '${code}', message = 'no: ' || new.address; end if;
    return new; end $f$;
    create trigger refuse ${when} on ${main} for each row execute function ${name}();`;
}

describe.each(KINDS)("Store on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  /** A new table, changed by `ddl`, and a store for it. */
  async function scene(
    ddl: (tables: QuotedTables) => string,
    { through = (same) => same, role = database, ...options }: StoreOptions & {
      through?: (database: Database) => Database;
      role?: Database;
    } = {},
  ) {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const tables = quoteTables(table);
    await Store.open(database, table);
    await database.script(`select 1; ${ddl(tables)}`);
    const store = await Store.open(through(role), table, options);
    const source: TopicIdentity = { topic: "metrics", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    const column = async (sql: string) => (await database.query<{ value: unknown }>(sql)).map(({ value }) => value);
    let position = 0;
    return {
      store,
      source,
      tables,
      /** Stores the next messages. */
      async flush(pattern: string): Promise<string> {
        const entries = batch(pattern, position);
        const outcome = await store.flush(source, span(position, position + entries.length), entries);
        position += entries.length;
        return outcome;
      },
      failure: (pattern: string) =>
        store.flush(source, span(position, position + pattern.length), batch(pattern, position)).then(
          () => "no failure",
          (error: unknown) => error,
        ),
      rows: () => column(`select substr(address, 2)::int as value from ${tables.main} order by 1`),
      rejected: () => column(`select "offset"::int as value from ${tables.rejected} order by 1`),
      reasons: () => column(`select reason as value from ${tables.rejected} order by "offset"`),
      marks: () => column(`select next_offset::int as value from ${tables.offsets}`),
    };
  }

  const places = (pattern: string, what: string) => [...pattern].flatMap((each, i) => each === what ? [i] : []);

  describe.skipIf(missing !== null)(missing ?? "", () => {
    // Codes that a trigger may use, PL/pgSQL's own codes, and some codes that no row usually
    // causes.
    const CODES = ["P0001", "P0002", "P0004", "0A000", "42501", "42P01", "28000", "XX000"];

    it.each([...CODES, "21000", "22012", "23502", "23505", "23514", "44000", "54000", "HV000", "ZZ999"])(
      "a trigger that refuses some rows by %s costs its rows only, and one that refuses all is the set-up's fault",
      async (code) => {
        const some = await scene(({ main }) => trigger(main, "new.status_code = 418", code));
        const pattern = "...b.x...bb....b";
        expect(await some.flush(pattern)).toBe("stored");
        expect(await some.rows()).toEqual(places(pattern, "."));
        expect(await some.rejected()).toEqual([3, 5, 9, 10, 15]);
        expect((await some.reasons())[0]).toBe("the database refuses the row: no: a3");
        expect(await some.marks()).toEqual([pattern.length]);

        const all = await scene(({ main }) => trigger(main, "true", code));
        const failure = await all.failure("....x...");
        expect(classifyError(failure)).toBe("setup");
        expect(explain(failure)).toMatch(/ refuses each of 7 metrics, and .*no: a0.*; nothing was rejected\. Look for/);
        expect([await all.rows(), await all.rejected(), await all.marks()]).toEqual([[], [], [0]]);
      },
    );

    it.each([
      ["one by itself, at the very start", ["b"]],
      ["all of the first batch", ["bbbb"]],
      ["one message at a time", ["b", "b", "b", ".", "b", "b"]],
      ["all of a batch after others passed", ["....", "bbbbbbb", ".", "bb"]],
      ["the last ones", ["...bb", ".b"]],
      ["what stands between messages that are no metric", ["xbx", "bx", "xb"]],
    ])("rejects bad metrics and stores the good ones where %s are bad", async (_, patterns) => {
      const here = await scene(({ main }) => trigger(main, "new.status_code = 418", "P0002"));
      for (const pattern of patterns) expect(await here.flush(pattern)).toBe("stored");
      const all = patterns.join("");
      expect(await here.rows()).toEqual(places(all, "."));
      expect(await here.rejected()).toEqual(places(all, "b").concat(places(all, "x")).sort((a, b) => a - b));
      expect(here.store.counters).toMatchObject({ rows: places(all, ".").length });
    });

    it.each([
      ["a batch", "......"],
      ["a single metric", "."],
    ])(
      "stops at a set-up that breaks after rows have passed, at %s, and goes on once it is mended",
      async (_, pattern) => {
        const here = await scene(() => "");
        expect(await here.flush("....")).toBe("stored");
        await database.script(trigger(here.tables.main, "true", "P0001"));
        const failure = await here.failure(pattern);
        expect(classifyError(failure)).toBe("setup");
        expect([await here.rejected(), await here.marks()]).toEqual([[], [4]]);
        await database.script(`drop trigger refuse on ${here.tables.main}`);
        expect(await here.flush(pattern)).toBe("stored");
        expect(await here.rows()).toHaveLength(4 + pattern.length);
        expect(await here.rejected()).toEqual([]);
      },
    );

    it("stops at a set-up that breaks while it looks for the message at fault", async () => {
      let [flushes, breakAt, ddl] = [0, Infinity, ""];
      const here = await scene(({ main }) => trigger(main, "new.status_code = 418", "P0001"), {
        through: (database) =>
          intercepting(database, async (text) => {
            if (text.startsWith("with writer") && ++flushes === breakAt) await database.script(ddl);
          }),
      });
      ddl = trigger(here.tables.main, "true", "P0001").replace("create trigger refuse", "create trigger refuse_all");
      // Four statements: all rows, no rows, the left half, and one more. Then the table breaks.
      breakAt = flushes + 4;
      const failure = await here.failure(".......b");
      expect(classifyError(failure)).toBe("setup");
      expect([await here.rows(), await here.rejected()]).toEqual([[0, 1, 2, 3], []]);
      await database.script(`drop trigger refuse_all on ${here.tables.main}`);
      expect(await here.flush(".......b")).toBe("stored");
      expect([await here.rows(), await here.rejected()]).toEqual([[0, 1, 2, 3, 4, 5, 6], [7]]);
    });

    it("knows good rows of a table that takes no made-up metric: by the last one stored, or by those that it holds", async () => {
      const condition = "new.address not like 'a%' or new.status_code = 418";
      const here = await scene(({ main }) => trigger(main, condition, "P0001"));
      // Nothing here shows that the table takes any row.
      expect(classifyError(await here.failure("b"))).toBe("setup");
      expect(await here.rejected()).toEqual([]);
      for (const pattern of ["b.", "b", "bb"]) expect(await here.flush(pattern)).toBe("stored");
      const again = await Store.open(database, { schema: null, name: here.tables.main.slice(1, -1) });
      await again.marks.claim(here.source, new Map([[0, 0]]));
      expect(await again.flush(here.source, span(5, 7), batch("bb", 5))).toBe("stored");
      expect([await here.rows(), await here.rejected()]).toEqual([[1], [0, 2, 3, 4, 5, 6]]);
    });

    it("finds the fault of an AFTER trigger and of a deferred constraint as that of others", async () => {
      const after = await scene(({ main }) => trigger(main, "new.status_code = 418", "P0001", "after insert"));
      expect(await after.flush("..b")).toBe("stored");
      expect(await after.rejected()).toEqual([2]);
      const deferred = await scene(({ main }) =>
        trigger(main, "true", "P0001", "after insert").replace("create trigger", "create constraint trigger")
          .replace(" for each row", " deferrable initially deferred for each row")
      );
      expect(classifyError(await deferred.failure("...")).concat(String(await deferred.rejected()))).toBe("setup");
    });

    it("stops at what refuses a statement without any row too, whatever its code", async () => {
      const here = await scene(({ main }) =>
        `create function refuse_${main.slice(1, -1)}() returns trigger language plpgsql as
           $f$ begin raise exception 'closed on Sundays'; end $f$;
         create trigger refuse before insert on ${main} for each statement execute function refuse_${
          main.slice(1, -1)
        }()`
      );
      const failure = await here.failure("...");
      expect(classifyError(failure)).toBe("setup");
      expect(explain(failure)).toMatch(/closed on Sundays; a statement without any row is refused too/);
      expect(await here.rejected()).toEqual([]);
    });

    it("stores what a view with a check option takes, and stops where it takes nothing", async () => {
      const views = async (condition: string) => {
        const { tables } = await scene(() => "");
        const name = `v_${randomUUID().slice(0, 8)}`;
        await database.script(
          `create view ${name} as select * from ${tables.main} where ${condition} with check option`,
        );
        const store = await Store.open(database, { schema: null, name });
        const source = { topic: "metrics", topicId: randomUUID() };
        await store.marks.claim(source, new Map([[0, 0]]));
        const outcome = await store.flush(source, span(0, 4), batch("..b.")).catch((error: unknown) => error);
        const rejected = await database.query(`select "offset"::int as at from ${name}_rejected`);
        return { outcome, rejected };
      };
      expect(await views("status_code <> 418")).toEqual({ outcome: "stored", rejected: [{ at: 2 }] });
      const { outcome, rejected } = await views("location = 'Berlin'");
      expect([classifyError(outcome), rejected]).toEqual(["setup", []]);
      expect(explain(outcome)).toContain("check option");
    });

    it("leaves nothing of its trials behind, whatever stands in the metrics", async () => {
      const here = await scene(({ main }) => trigger(main, "new.status_code = 418", "P0001"));
      const odd = `'); drop table ${here.tables.main}; --\\' $$ ü😀 "`;
      const bad = { ...BAD, location: odd, error_detail: odd };
      expect(await here.store.flush(here.source, span(0, 1), [entry(0, { location: odd, address: `a0` })])).toBe(
        "stored",
      );
      expect(await here.store.flush(here.source, span(1, 3), [entry(1, bad), entry(2, bad)])).toBe("stored");
      expect([await here.rows(), await here.rejected(), await here.marks()]).toEqual([[0], [1, 2], [3]]);
    });

    it("stops where a column that is too narrow for any ordinary metric refuses them all", async () => {
      const here = await scene(({ main }) =>
        `${dropViews(main)}alter table ${main} add note text; alter table ${main} alter column address type varchar(1)`
      );
      const failure = await here.failure("......");
      expect(classifyError(failure)).toBe("setup");
      expect(explain(failure)).toContain("value too long for type character varying(1)");
      expect(await here.rejected()).toEqual([]);
    });

    it("tells of what it rejects: how many, why the first, and where they are", async () => {
      const told: unknown[] = [];
      const events = {
        rejected: (...all: unknown[]) => void told.push(all),
        ended: () => {},
        grown: () => {},
        parts: () => {},
        rolledUp: () => {},
      };
      const here = await scene(({ main }) => trigger(main, "new.status_code = 418", "P0001"), { events });
      await here.flush("..xx");
      await here.flush(".b..");
      // None of these reports is new.
      expect(await here.store.flush(here.source, span(0, 4), batch("..xx"))).toBe("stored");
      expect(told).toEqual([
        [2, expect.stringMatching(/^the document is not JSON/), expect.stringContaining("_rejected")],
        [1, "the database refuses the row: no: a5", expect.stringContaining("_rejected")],
      ]);
    });

    describe("one statement", () => {
      /** Ends a statement with more than `most` rows, as a deadline would. */
      const slowBeyond = (most: number) => ({ main }: QuotedTables) =>
        `create function slow_${main.slice(1, -1)}() returns trigger language plpgsql as $f$ begin
           if (select count(*) from added) > ${most} then
             raise exception using errcode = '57014', message = 'canceling statement due to statement timeout';
           end if; return null; end $f$;
         create trigger slow after insert on ${main} referencing new table as added
           for each statement execute function slow_${main.slice(1, -1)}()`;

      const flushes = (statements: readonly string[]) => statements.filter((text) => text.startsWith("with writer"));

      it("holds batchSize messages at most, also where it is given more", async () => {
        const recorded = recording(database);
        const here = await scene(slowBeyond(10), { through: () => recorded.database, batchSize: 10 });
        expect(await here.flush(".".repeat(25))).toBe("stored");
        expect(flushes(recorded.statements)).toHaveLength(3);
        recorded.statements.length = 0;
        const sheets = [3, 4, 4, 12, 1, 1, 1].reduce<Entry[][]>((all, size) => {
          return [...all, batch(".".repeat(size), 25 + all.flat().length)];
        }, []);
        const outcome = here.store.flushEncoded(
          here.source,
          span(25, 51),
          sheets.map((each) => here.store.encode(each)),
        );
        expect(await outcome).toBe("stored");
        // The rows of the statements are 3 + 4, 4, 10, and 2 + 1 + 1 + 1. No text of rows is made
        // again.
        expect(flushes(recorded.statements)).toHaveLength(4);
        expect(await here.rows()).toEqual(Array.from({ length: 51 }, (_, i) => i));
      });

      it("that takes too long is halved, and later ones keep to the size that passed", async () => {
        const told: number[][] = [];
        const events = {
          rejected: () => {},
          ended: (messages: number, _: number, most: number) => void told.push([messages, most]),
          grown: () => {},
          parts: () => {},
          rolledUp: () => {},
        };
        const recorded = recording(database);
        const here = await scene(slowBeyond(30), { through: () => recorded.database, batchSize: 100, events });
        expect(await here.flush(".".repeat(150))).toBe("stored");
        expect(told).toEqual([[100, 50], [50, 25]]);
        recorded.statements.length = 0;
        expect(await here.flush(".".repeat(50))).toBe("stored");
        expect(told).toHaveLength(2);
        expect(flushes(recorded.statements)).toHaveLength(2);
        expect(await here.rows()).toEqual(Array.from({ length: 200 }, (_, i) => i));
        expect(await here.rejected()).toEqual([]);
      });

      it("grows again once a larger one passes", async () => {
        let grown = 0;
        const events = {
          rejected: () => {},
          ended: () => {},
          grown: (most: number) => void (grown = most),
          parts: () => {},
          rolledUp: () => {},
        };
        const recorded = recording(database);
        const here = await scene(slowBeyond(3), { through: () => recorded.database, batchSize: 20, events });
        await here.flush(".".repeat(20));
        await database.script(`drop trigger slow on ${here.tables.main}`);
        for (let n = 0; n < 60 && grown === 0; n++) await here.flush(".".repeat(20));
        expect(grown).toBe(20);
        recorded.statements.length = 0;
        await here.flush(".".repeat(20));
        expect(flushes(recorded.statements)).toHaveLength(1);
      });

      it("that takes too long with refused rows in it finds them all the same", async () => {
        const here = await scene((tables) =>
          `${slowBeyond(5)(tables)}; ${trigger(tables.main, "new.status_code = 418", "P0001")}`
        );
        const pattern = "....b..x....bbbbbbb....................b.....b";
        expect(await here.flush(pattern)).toBe("stored");
        expect(await here.rows()).toEqual(places(pattern, "."));
        expect(await here.rejected()).toEqual([4, 7, 12, 13, 14, 15, 16, 17, 18, 39, 45]);
      });

      it("with a single metric that takes too long is waited for, and nothing is rejected or passed over", async () => {
        const told: number[][] = [];
        const events = {
          rejected: () => {},
          ended: (messages: number, _: number, most: number) => void told.push([messages, most]),
          grown: () => {},
          parts: () => {},
          rolledUp: () => {},
        };
        const here = await scene(slowBeyond(0), { events });
        for (const size of [3, 1, 3]) {
          const failure = await here.failure(".".repeat(size));
          expect(classifyError(failure)).toBe("wait");
        }
        expect(told).toEqual([[3, 1], [1, 1], [1, 1], [1, 1]]);
        expect([await here.rows(), await here.rejected(), await here.marks()]).toEqual([[], [], [0]]);
        await database.script(`drop trigger slow on ${here.tables.main}`);
        expect(await here.flush("...")).toBe("stored");
        expect(await here.rows()).toEqual([0, 1, 2]);
      });
    });
  });
});

describe.skipIf(postgresMissing !== null)(`Store on a server ${postgresMissing ?? ""}`, () => {
  /** A store in a table of its own. Its role may write there and create nothing. */
  async function storeOfRole() {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { main, offsets, rejected } = quoteTables(table);
    const resources = new AsyncDisposableStack();
    const database = resources.use(openPostgres(server.settings));
    await Store.open(database, table);
    const role = resources.use(await createRole(server));
    await database.script(`grant select, insert on ${main} to ${role.name};
      grant select, insert, update, delete on ${offsets} to ${role.name}; grant insert on ${rejected} to ${role.name};
      ${dayGrants(table, role.name).join(";")}`);
    const store = await Store.open(role.database, table);
    const source = { topic: "metrics", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    const dispose = () => resources.disposeAsync();
    return {
      name: table.name,
      main,
      rejected,
      database,
      role: role.name,
      store,
      source,
      [Symbol.asyncDispose]: dispose,
    };
  }

  it("row-level security costs the rows that a policy refuses, and stops where no policy lets any in", async () => {
    await using here = await storeOfRole();
    const { main, rejected, database, store, source } = here;
    await database.script(`alter table ${main} enable row level security;
      create policy reads on ${main} for select using (true);
      create policy writes on ${main} for insert with check (status_code <> 418)`);
    expect(await store.flush(source, span(0, 5), batch("..b.b"))).toBe("stored");
    await database.script(`drop policy writes on ${main}`);
    const failure = await store.flush(source, span(5, 8), batch("...", 5)).catch((error: unknown) => error);
    expect(classifyError(failure)).toBe("setup");
    expect(explain(failure)).toMatch(/row-level security policy.*let a policy of the table allow/);
    expect(await database.query(`select "offset"::int as at from ${rejected} order by 1`)).toEqual([{ at: 2 }, {
      at: 4,
    }]);
  });

  it("a right that is taken away, a column and a table that are dropped are the set-up's fault, with advice", async () => {
    await using here = await storeOfRole();
    const { name, main, rejected, database, role, store, source } = here;
    const attempt = () => store.flush(source, span(0, 3), batch("..."));
    const ways = [
      [
        `revoke insert on ${main} from ${role}`,
        /--print-schema/,
        `grant insert on ${main} to ${role}`,
      ],
      [
        `alter table ${main} drop column location cascade`,
        /the table was changed: start again/,
        `alter table ${main} add column location text`,
      ],
      [`alter table ${main} rename to gone_${name}`, /start again to create what is missing/, null],
    ] as const;
    for (const [fault, advice, mend] of ways) {
      await database.script(fault);
      const failure = await attempt().catch((error: unknown) => error);
      expect(classifyError(failure)).toBe("setup");
      expect(explain(failure)).toMatch(advice);
      expect(await database.query(`select from ${rejected}`)).toEqual([]);
      if (mend !== null) await database.script(mend);
    }
  });

  it("statements that the server's own deadline ends are halved until they pass", async () => {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { main, rejected } = quoteTables(table);
    const patience = { answer: 60_000, connect: 10_000, statement: 1_000, lock: 10_000 };
    await using database = openPostgres(server.settings, patience);
    await Store.open(database, table);
    await database.script(`create function dawdle_${table.name}() returns trigger language plpgsql as
        $f$ begin perform pg_sleep(0.02); return new; end $f$;
      create trigger dawdle before insert on ${main} for each row execute function dawdle_${table.name}()`);
    const ended: number[] = [];
    const events = {
      rejected: () => {},
      ended: (count: number) => void ended.push(count),
      grown: () => {},
      parts: () => {},
      rolledUp: () => {},
    };
    const store = await Store.open(database, table, { batchSize: 100, events });
    const source = { topic: "metrics", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    // 100 rows take two seconds.
    expect(await store.flush(source, span(0, 150), batch(".".repeat(150)))).toBe("stored");
    expect(ended[0]).toBe(100);
    expect(await database.query(`select from ${main}`)).toHaveLength(150);
    expect(await database.query(`select from ${rejected}`)).toEqual([]);
  });

  it("statements that are not answered in time are smaller the next time, so that they pass at last", async () => {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { main } = quoteTables(table);
    const patience = { answer: 1_000, connect: 10_000, statement: 60_000, lock: 60_000 };
    await using slow = openPostgres(server.settings);
    await Store.open(slow, table);
    await slow.script(`create function dawdle_${table.name}() returns trigger language plpgsql as
        $f$ begin perform pg_sleep(0.02); return new; end $f$;
      create trigger dawdle before insert on ${main} for each row execute function dawdle_${table.name}()`);
    const events = {
      rejected: () => {},
      ended: (count: number) => void ended.push(count),
      grown: () => {},
      parts: () => {},
      rolledUp: () => {},
    };
    const ended: number[] = [];
    await using database = openPostgres(server.settings, patience);
    // On a slow machine the first statement alone may take longer than that.
    const opened = expect.poll(() => database.query("select").then(() => true, () => false), { timeout: 20_000 });
    await opened.toBe(true);
    const store = await Store.open(database, table, { batchSize: 100, events });
    const source = { topic: "metrics", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    // 100 rows take two seconds. A statement without an answer still runs, and holds the mark until
    // it ends.
    const failure = await store.flush(source, span(0, 100), batch(".".repeat(100))).catch((error: unknown) => error);
    expect([classifyError(failure), ended[0]]).toEqual(["wait", 100]);
    const attempt = () =>
      store.flush(source, span(0, 150), batch(".".repeat(150))).catch((error: unknown) => classifyError(error));
    await expect.poll(attempt, { timeout: 40_000 }).toBe("stored");
    expect(await slow.query(`select from ${main}`)).toHaveLength(150);
  }, 60_000);

  it("statements that somebody cancels are sent again, and stored once", async () => {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { main, rejected } = quoteTables(table);
    await using database = openPostgres(server.settings);
    const store = await Store.open(database, table, { batchSize: 20 });
    const source = { topic: "metrics", topicId: randomUUID() };
    await store.marks.claim(source, new Map([[0, 0]]));
    let done = false;
    let passed = 0;
    // One statement of each flush: a fast machine would cancel them all, and let none pass.
    const cancel = async () => {
      let count = 0;
      for (let flush = -1; !done;) {
        const cancelled = await server.sql`select pg_cancel_backend(pid) as yes from pg_stat_activity
          where datname = current_database() and application_name = 'host-checker' and state = 'active'
            and ${flush !== passed}`;
        count += cancelled.length;
        if (cancelled.length > 0) flush = passed;
      }
      return count;
    };
    const cancelling = cancel();
    for (let at = 0; at < 2000; at += 100) {
      const attempt = () => store.flush(source, span(at, at + 100), batch(".".repeat(100), at));
      await expect.poll(() => attempt().catch((error: unknown) => classifyError(error)), { timeout: 20_000 }).toBe(
        "stored",
      );
      passed++;
    }
    done = true;
    expect(await cancelling).toBeGreaterThan(0);
    const rows = await database.query(`select distinct address from ${main}`);
    expect(rows).toHaveLength(2000);
    expect(await database.query(`select from ${main}`)).toHaveLength(2000);
    expect(await database.query(`select from ${rejected}`)).toEqual([]);
  }, 60_000);
});

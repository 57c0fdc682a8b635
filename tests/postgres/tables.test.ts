import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Partition } from "../../lib/config/setting_types.ts";
import { explain } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { schemaSql } from "../../lib/postgres/schema_text.ts";
import { Store } from "../../lib/postgres/store.ts";
import type { Target } from "../support/database_runner.ts";
import { newEmbedded } from "../support/embedded.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";
import type { Job, Jobs, Kept, Step } from "../support/table_runner.ts";

/**
 * The expected state of a table after its steps. Parts that are not named are not compared. But
 * `rejected` is then none.
 */
interface Case {
  readonly name: string;
  /** The parts of a table that the store creates; "none" where nothing is said. */
  readonly partition?: Partition;
  readonly steps: (table: string) => readonly (Step | "open")[];
  readonly select?: string;
  readonly expected: (table: string) => Partial<Kept>;
}

const FOUR = "address text, status_code int, latency float8, is_valid bool";
const IDENTITY = "checked_at timestamptz, check_id uuid";
const ID = (n: number) => `6f1f2a5e-8b0e-4d3c-9a57-00000000000${n}`;
const sent = (...messages: (string | object)[]): Step => ({ messages });
const run = (sql: string): Step => ({ sql });
const NO_INDEX = "has no unique index on (address, checked_at, check_id)";

const DEFAULTS: readonly Case[] = [
  {
    name: "a default stands for null in every column that is NOT NULL, in one statement",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, checked_at timestamptz not null default now(),
        scheduled_at timestamptz not null default '2020-01-01Z', error text not null default '-',
        error_detail varchar not null default lower('None'), latency_dns float8 not null default 0,
        latency_connect real not null default -1, latency_tls numeric(6, 2) not null default 1.25,
        latency_first_byte float8 not null default 1 + 1, latency_body float8 not null default 'NaN',
        tls_expires_at timestamp not null default '2021-01-01', location text not null default 'o''clock \\ $1',
        check_id text not null default '${ID(9)}')`),
      sent({}, { error: "dns", error_detail: "d", latency_dns: 3, location: "here", check_id: ID(1) }),
    ],
    select: `scheduled_at = '2020-01-01Z' as scheduled, error, error_detail, latency_dns, latency_connect,
      latency_tls::text, latency_first_byte, latency_body::text, tls_expires_at::text, location, check_id`,
    expected: () => {
      const rest = {
        scheduled: true,
        latency_connect: -1,
        latency_tls: "1.25",
        latency_first_byte: 2,
        latency_body: "NaN",
        tls_expires_at: "2021-01-01 00:00:00",
      };
      return {
        statements: [1],
        rows: [
          { ...rest, error: "-", error_detail: "none", latency_dns: 0, location: "o'clock \\ $1", check_id: ID(9) },
          { ...rest, error: "dns", error_detail: "d", latency_dns: 3, location: "here", check_id: ID(1) },
        ],
      };
    },
  },
  {
    name: "a default that changes is asked for once for each row that needs it",
    steps: (t) => [
      run(`create sequence ${t}_s; create table ${t} (${FOUR}, latency_dns float8 not null default nextval('${t}_s'),
        check_id uuid not null default gen_random_uuid())`),
      sent({}, { latency_dns: 0.5 }, {}, {}),
    ],
    select: "latency_dns, (select count(distinct check_id)::int from $t) as ids",
    expected: () => ({ statements: [1], rows: [1, 0.5, 2, 3].map((latency_dns) => ({ latency_dns, ids: 4 })) }),
  },
  {
    name: "domains over domains count as their base type, with the NOT NULL of each and the default of the outermost",
    steps: (t) => [
      run(`create domain ${t}_a as text not null default 'first'; create domain ${t}_b as ${t}_a;
        create domain ${t}_c as ${t}_b default 'last' check (value <> 'x'); create domain ${t}_n as int2 check (value is not null);
        create domain ${t}_o as ${t}_n; create domain ${t}_f as float8; create domain ${t}_g as ${t}_f;
        create table ${t} (address ${t}_c, status_code ${t}_o, latency ${t}_g, is_valid bool, location ${t}_b, error ${t}_c,
          error_detail ${t}_c not null default 'own')`),
      sent({ status_code: null }, { location: "l", error: "dns" }, { error: "x" }),
    ],
    select: "address, status_code, location, error, error_detail",
    expected: () => ({
      warnings: [[expect.stringContaining(NO_INDEX)]],
      rows: [
        { address: "a0", status_code: 0, location: "first", error: "last", error_detail: "own" },
        { address: "a1", status_code: 200, location: "l", error: "dns", error_detail: "own" },
      ],
      rejected: [[2, expect.stringContaining("violates check constraint")]],
    }),
  },
  {
    name: "a value that is too long for a column with a default is refused, not cut",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, location varchar(3) not null default 'abc')`),
      sent({ location: "long" }, {}),
    ],
    select: "location",
    expected: () => ({ rows: [{ location: "abc" }], rejected: [[0, expect.stringContaining("value too long")]] }),
  },
  {
    name: "a CHECK that refuses null is as good as NOT NULL",
    steps: (t) => [
      run(
        `create table ${t} (${FOUR}, location text default 'x', check (location is not null), check (status_code is not null))`,
      ),
      sent({ status_code: null }),
    ],
    select: "location, status_code",
    expected: () => ({ rows: [{ location: "x", status_code: 0 }] }),
  },
  {
    name: "a default of a column that takes null is not used: null says that there is no value",
    steps: (t) => [run(`create table ${t} (${FOUR}, error text default 'none')`), sent({})],
    select: "error",
    expected: () => ({ rows: [{ error: null }] }),
  },
  {
    name: "0 stands for null in status_code, whatever its default",
    steps: (t) => [
      run(`create table ${t} (address text, status_code int not null default -1, latency float8, is_valid bool)`),
      sent({ status_code: null }),
    ],
    select: "status_code",
    expected: () => ({ rows: [{ status_code: 0 }] }),
  },
  {
    name: "a default of null is none: the row is refused, as without one",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, location text not null default null::varchar)`),
      sent({}, { location: "l" }),
      sent({}, { location: "m" }),
    ],
    select: "location",
    // The store looks the column up once, not for every row that the column refuses.
    expected: () => ({
      rows: [{ location: "l" }, { location: "m" }],
      rejected: [0, 2].map((at) => [at, expect.stringContaining("null value in column")] as const),
      statements: [expect.any(Number), 4],
    }),
  },
  {
    name: "a view refuses null, and has the default, where the table under it does",
    steps: (t) => [
      run(`create table ${t}_b (${FOUR}, location text not null default 'base', error text not null default 'base');
        create view ${t} as select * from ${t}_b; alter view ${t} alter column error set default 'view'`),
      sent({}),
    ],
    select: "location, error",
    expected: () => ({ rows: [{ location: "base", error: "view" }] }),
  },
  {
    name: "a part refuses null where the table does not",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, location text default 'x') partition by list (is_valid);
        create table ${t}_p partition of ${t} default; alter table ${t}_p alter location set not null`),
      sent({}),
    ],
    select: "location",
    expected: () => ({ rows: [{ location: "x" }] }),
  },
  {
    name: "a column that is made NOT NULL at work gets its default, and status_code 0",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, location text)`),
      sent({}),
      run(
        `update ${t} set location = 'old'; alter table ${t} alter location set default 'new', alter location set not null`,
      ),
      sent({}, {}),
      run(`alter table ${t} alter status_code set not null`),
      sent({ status_code: null }),
      sent({ status_code: null }),
    ],
    select: "location, status_code",
    expected: () => ({
      rows: [
        { location: "old", status_code: 200 },
        ...[200, 200, 0, 0].map((status_code) => ({ location: "new", status_code })),
      ],
    }),
  },
];

const twice = { checked_at: "2026-01-02T00:00:00.000Z", check_id: ID(1), address: "twice" };
const february = { ...twice, checked_at: "2026-02-02T00:00:00.000Z" };
const PARTED = `(${FOUR}, ${IDENTITY}) partition by range (checked_at)`;
const unique = (t: string) => `create unique index on ${t} (address, checked_at desc, check_id)`;

const REPEATS: readonly Case[] = [
  {
    name: "a repeat in a part that was made at work is recognised",
    steps: (t) => [
      run(`create table ${t} ${PARTED}; ${unique(t)};
        create table ${t}_1 partition of ${t} for values from ('2026-01-01Z') to ('2026-02-01Z')`),
      sent(twice, twice),
      run(`create table ${t}_2 partition of ${t} for values from ('2026-02-01Z') to ('2026-03-01Z')`),
      sent(february, {}, february),
    ],
    select: "address",
    expected: () => ({
      rows: ["a3", "twice", "twice"].map((address) => ({ address })),
      statements: [2, expect.any(Number)],
      counted: 5,
      warnings: [[]],
    }),
  },
  {
    name: "a repeat is recognised by an index that was renamed, or made, at work",
    steps: (t) => [
      "open",
      run(`alter index ${t}_newest rename to ${t}_other`),
      sent(twice, twice),
      run(`drop index ${t}_other`),
      sent({}),
      run(`create unique index ${t}_third on ${t} (check_id, address, checked_at)`),
      sent(twice),
    ],
    select: "address",
    expected: () => ({ rows: [{ address: "a2" }, { address: "twice" }], counted: 4 }),
  },
  {
    name: "a repeat is recognised in a table that was set apart by month at work",
    steps: (t) => [
      sent(twice),
      run(`drop view ${t}_now, ${t}_outages, ${t}_uptime; alter table ${t} rename to ${t}_before;
        alter index ${t}_newest rename to ${t}_before_newest;
        create table ${t} (like ${t}_before) partition by range (checked_at);
        create unique index ${t}_newest on ${t} (address, checked_at desc, check_id);
        alter table ${t} attach partition ${t}_before for values from (minvalue) to ('2026-02-01Z');
        create table ${t}_2 partition of ${t} for values from ('2026-02-01Z') to ('2026-03-01Z')`),
      sent(twice, february),
      sent(february, {}),
    ],
    select: "address",
    expected: () => ({ rows: ["a4", "twice", "twice"].map((address) => ({ address })), counted: 5 }),
  },
  {
    name: "a repeat is recognised in children that a trigger fills, also in one that was made at work",
    steps: (t) => [
      run(
        `create table ${t} (${FOUR}, ${IDENTITY}); create table ${t}_1 (check (checked_at < '2026-02-01Z')) inherits (${t});
        create unique index on ${t}_1 (address, checked_at, check_id);
        create function ${t}_f() returns trigger language plpgsql as $f$ begin
          execute format('insert into %I select ($1).*', case when new.checked_at < '2026-02-01Z' then '${t}_1' else '${t}_2' end)
          using new; return null; end $f$;
        create trigger t before insert on ${t} for each row execute function ${t}_f()`,
      ),
      sent(twice, {}, twice),
      run(`create table ${t}_2 () inherits (${t}); create unique index on ${t}_2 (address, checked_at, check_id)`),
      sent(february, {}, february, twice),
    ],
    select: "address",
    expected: () => ({
      rows: ["a1", "a4", "twice", "twice"].map((address) => ({ address })),
      counted: 7,
      warnings: [[]],
    }),
  },
  {
    name: "a repeat is recognised by indexes of the parts, where the table can have none",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, ${IDENTITY}) partition by list (is_valid);
        create table ${t}_yes partition of ${t} for values in (true); create table ${t}_no partition of ${t} default`),
      "open",
      run(`${unique(`${t}_yes`)}; ${unique(`${t}_no`)}`),
      "open",
      sent(twice, {}, twice),
      sent({ ...twice, is_valid: false }, { ...twice, is_valid: false }, twice),
    ],
    select: "is_valid, address",
    expected: (t) => ({
      warnings: [
        [
          `"public"."${t}" ${NO_INDEX}: a metric that a producer had to send twice is stored twice; this mends it: ` +
          `create unique index on public.${t}_no (address, checked_at desc, check_id); ` +
          `create unique index on public.${t}_yes (address, checked_at desc, check_id)`,
        ],
        [],
      ],
      rows: [{ address: "a1", is_valid: true }, { address: "twice", is_valid: false }, {
        address: "twice",
        is_valid: true,
      }],
    }),
  },
  {
    name: "a repeat is recognised through views, and through a view with a trigger",
    steps: (t) => [
      run(`create table ${t}_b (${FOUR}, ${IDENTITY}); ${unique(`${t}_b`)}; create view ${t}_v as select * from ${t}_b;
        create view ${t} as select * from ${t}_v where latency >= 0`),
      sent(twice, {}, twice),
      run(`create function ${t}_f() returns trigger language plpgsql as
          $f$ begin insert into ${t}_b select new.*; return new; end $f$;
        create trigger t instead of insert on ${t} for each row execute function ${t}_f()`),
      sent(february, twice, {}),
      "open",
      sent({}, february, twice),
    ],
    select: "address",
    expected: () => ({
      rows: ["a1", "a5", "a6", "twice", "twice"].map((address) => ({ address })),
      counted: 9,
      warnings: [[], []],
    }),
  },
  {
    name: "a repeat is recognised by a constraint that is checked at the end of the statement",
    steps: (t) => [
      run(
        `create table ${t} (${FOUR}, ${IDENTITY}, unique (address, checked_at, check_id) deferrable initially deferred)`,
      ),
      sent(twice, {}, twice),
    ],
    select: "address",
    expected: () => ({ rows: [{ address: "a1" }, { address: "twice" }], counted: 3 }),
  },
  {
    name: "a repeat is recognised where the table's index went at work, and its part's stayed",
    steps: (t) => [
      run(
        `create table ${t} ${PARTED}; create table ${t}_1 partition of ${t} default; ${unique(t)}; ${unique(`${t}_1`)}`,
      ),
      "open",
      run(`drop index ${t}_address_checked_at_check_id_idx`),
      sent(twice, twice, {}),
    ],
    select: "address",
    expected: () => ({ rows: [{ address: "a2" }, { address: "twice" }], counted: 3 }),
  },
  {
    name: "a unique index of a user's own still refuses, and is looked up once a flush",
    steps: (t) => [
      "open",
      run(`create unique index ${t}_user on ${t} (address)`),
      sent(...Array.from({ length: 64 }, (_, i) => ({ address: `b${i % 32}` }))),
    ],
    select: "address",
    // Halving finds each of the 32 rows. The remaining statements are one look at the table.
    expected: (t) => ({
      rows: Array.from({ length: 32 }, (_, i) => ({ address: `b${i}` })).sort((a, b) => a.address < b.address ? -1 : 1),
      rejected: Array.from({ length: 32 }, (_, i) => [32 + i, expect.stringContaining(`"${t}_user"`)] as const),
      statements: [expect.toSatisfy((count: number) => count <= 1 + 2 * 64 + 32 + 3)],
    }),
  },
];

const kept = (addresses: readonly string[], rest: Partial<Kept> = {}): Partial<Kept> => ({
  rows: addresses.map((address) => ({ address })),
  ...rest,
});
/** How many indexes of a table recognise a repeat. */
const INDEXES = "(select count(*)::int from pg_index where indrelid = '$t'::regclass) as indexes";

const NAMES: readonly Case[] = [
  {
    name: "the successor of a table that was renamed gets its index and its views",
    steps: (t) => [
      sent(twice),
      run(`alter table ${t} rename to ${t}_2025`),
      "open",
      sent(twice, twice, {}),
      "open",
    ],
    select: `address, (select count(*)::int from ${"$t"}_now) as now, ${INDEXES}`,
    expected: (t) => ({
      rows: ["a3", "twice"].map((address) => ({ address, now: 2, indexes: 1 })),
      warnings: [
        [],
        [
          `"public"."${t}" did not exist: it was created beside "public"."${t}_offsets", whose marks stay; what is before ` +
          "them is not loaded again",
        ],
        [],
      ],
    }),
  },
  ...[
    ["a table", "create table $t_newest ()"],
    ["a view", "create view $t_newest as select 1 as one"],
    ["a sequence", "create sequence $t_newest"],
    ["a type", "create type $t_newest as (a int)"],
    ["an index of another table", "create table $t_x (a int); create index $t_newest on $t_x (a)"],
  ].map(([what = "", ddl = ""]): Case => ({
    name: `the index gets another name where ${what} has its name`,
    steps: (t) => [run(ddl.replaceAll("$t", t)), sent(twice, twice)],
    select: `address, ${INDEXES}`,
    expected: () => ({ rows: [{ address: "twice", indexes: 1 }], warnings: [[]] }),
  })),
  {
    name: "what --print-schema prints does the same, however often it is run, and where the name is taken",
    steps: (t) => {
      const schema = schemaSql({ schema: null, name: t });
      return [
        run(`create table ${t}_x (a int); create index ${t}_newest on ${t}_x (a)`),
        run(schema),
        run(schema),
        sent(twice, twice),
      ];
    },
    select: `address, ${INDEXES}`,
    expected: () => ({ rows: [{ address: "twice", indexes: 1 }], warnings: [[]] }),
  },
  {
    name: "a view whose name is taken is left out, with a warning, and the others are made",
    steps: (t) => [
      run(`create table ${t}_now (a int); create view ${t}_uptime as select 1 as one`),
      sent({}),
    ],
    select: `address, (select count(*)::int from ${"$t"}_outages) as outages`,
    expected: (t) => ({
      rows: [{ address: "a0", outages: 0 }],
      warnings: [
        ["now", "uptime"].map((view) =>
          expect.stringMatching(
            `^The view "public"\\."${t}_${view}" is not made \\(.+\\): rename or drop what has its name, then run its statement`,
          )
        ),
      ],
    }),
  },
  ...["offsets", "rejected"].map((companion): Case => ({
    name: `a sequence that has the name of ${companion} is said`,
    steps: (t) => [run(`create sequence ${t}_${companion}`), sent({})],
    expected: (t) =>
      kept([], {
        failure:
          `"public"."${t}_${companion}" is no table, but "public"."${t}" needs one of this name: rename what has ` +
          "it, or check DB_TABLE",
      }),
  })),
  {
    name: "the companions of a table whose old ones were renamed are made anew",
    steps: (t) => [
      sent(twice),
      run(`alter table ${t} rename to ${t}_x; alter table ${t}_offsets rename to ${t}_x_offsets;
        alter table ${t}_rejected rename to ${t}_x_rejected`),
      "open",
      sent(twice),
    ],
    select: `address, ${INDEXES}`,
    expected: () => ({ rows: [{ address: "twice", indexes: 1 }], warnings: [[], []] }),
  },
];

const WHOLE = `(${FOUR}, ${IDENTITY}, unique (address, checked_at, check_id))`;
const crash = "a crash of the server, or a switch to a standby, empties";

const WARNINGS: readonly Case[] = [
  {
    name: "an unlogged table loses its rows",
    steps: (t) => [run(`create unlogged table ${t} ${WHOLE}`), sent({}), "open"],
    select: "address",
    expected: (t) => {
      const said =
        `public.${t} is unlogged: ${crash} what is unlogged and leaves the marks in "public"."${t}_offsets", so ` +
        `that its rows are lost; alter table public.${t} set logged`;
      return kept(["a0"], { warnings: [[said], [said]] });
    },
  },
  {
    name: "an unlogged part loses its rows",
    steps: (t) => [
      run(`create table ${t} ${PARTED}; ${unique(t)}; create unlogged table "${t}_P" partition of ${t} default`),
      sent({}),
    ],
    select: "address",
    expected: (t) =>
      kept(["a0"], { warnings: [[expect.stringMatching(`^public\\."${t}_P" is unlogged: .+ rows are lost`)]] }),
  },
  {
    name: "unlogged marks store a second time",
    steps: (t) => ["open", run(`alter table ${t}_offsets set unlogged`), "open"],
    expected: (t) => ({
      warnings: [[], [
        `public.${t}_offsets is unlogged: ${crash} the marks and leaves rows in "public"."${t}" or "public"."${t}_rejected": ` +
        `what Kafka still has is loaded again, and stored twice where check_id does not tell; alter table public.${t}_offsets ` +
        "set logged",
      ]],
    }),
  },
  {
    name: "all three unlogged lose what Kafka no longer has",
    steps: (t) => [
      "open",
      run(["", "_offsets", "_rejected"].map((suffix) => `alter table ${t}${suffix} set unlogged`).join(";")),
      "open",
    ],
    expected: (t) => ({
      warnings: [[], [expect.stringMatching(
        `^public\\.${t}_offsets, .+ are unlogged: ${crash} rows and marks: what Kafka still has is loaded again, what is older`,
      )]],
    }),
  },
  {
    name: "unlogged rejected messages are lost",
    steps: (t) => ["open", run(`alter table ${t}_rejected set unlogged`), "open"],
    expected: (t) => ({
      warnings: [[], [expect.stringMatching(`^public\\.${t}_rejected is unlogged: .+ its rows are lost`)]],
    }),
  },
  {
    name: "an unlogged table under a view is found",
    steps: (t) => [run(`create unlogged table ${t}_b ${WHOLE}; create view ${t} as select * from ${t}_b`), sent({})],
    select: "address",
    expected: (t) => kept(["a0"], { warnings: [[expect.stringMatching(`^public\\.${t}_b is unlogged: `)]] }),
  },
  {
    name: "a temporary table is refused: it ends with its connection",
    steps: (t) => [run(`create temporary table ${t} ${WHOLE}`), "open"],
    expected: (t) => ({
      failure: expect.stringMatching(`\\.${t} is temporary, and ends with its connection: check DB_TABLE$`),
    }),
  },
  {
    name: "a table without the index is said at every start, with the statements that mend it",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, checked_at timestamptz)`),
      "open",
      "open",
      run(`alter table ${t} add column check_id uuid`),
      "open",
      run(unique(t)),
      "open",
      sent({}),
    ],
    select: "address",
    expected: (t) => {
      const said =
        `"public"."${t}" ${NO_INDEX}: a metric that a producer had to send twice is stored twice; this mends it: `;
      const create = `create unique index on "public"."${t}" (address, checked_at desc, check_id)`;
      const alter = `alter table "public"."${t}" add column check_id uuid; `;
      return kept(["a0"], { warnings: [[said + alter + create], [said + alter + create], [said + create], []] });
    },
  },
];

/** The place of a table on a server, beside its own database. */
const FOREIGN: readonly Case[] = [
  {
    name: "a foreign table, and a foreign part, are said at every start",
    steps: (t) => [
      run(`create table ${t}_far ${WHOLE.replace(/, unique.*/, ")")};
        create foreign table ${t}_f (${FOUR}, ${IDENTITY}) server loop options (table_name '${t}_far');
        create table ${t} ${PARTED};
        create table ${t}_1 partition of ${t} for values from (minvalue) to ('2026-01-01Z');
        alter table ${t} attach partition ${t}_f default`),
      "open",
      sent({}),
    ],
    select: "address, (select count(*)::int from $t_far) as far",
    expected: (t) => ({
      rows: [{ address: "a0", far: 1 }],
      warnings: [[
        `public.${t}_f is on another server: what is written there and the marks in "public"."${t}_offsets" are not ` +
        "committed as one, so that a failure in between stores metrics twice, or loses them where the other side cannot " +
        "roll back; a metric that was sent twice is not recognised there; connect to the server that has the rows (DB_HOST), " +
        "with all three tables on it",
        expect.stringContaining(NO_INDEX),
      ]],
    }),
  },
  {
    name: "a foreign table is taken, and its unique index rejects a repeat",
    steps: (t) => [
      run(
        `create table ${t}_far ${WHOLE}; create foreign table ${t} (${FOUR}, ${IDENTITY}) server loop options (table_name '${t}_far')`,
      ),
      sent(twice, {}, twice),
    ],
    expected: () =>
      kept(["a1", "twice"], {
        warnings: [[expect.stringContaining("is on another server")]],
        rejected: [[2, expect.stringContaining("duplicate key")]],
      }),
  },
  {
    name: "foreign marks are said",
    steps: (t) => [
      run(`create table ${t} ${WHOLE};
        create table ${t}_far (topic_id text, partition int, next_offset bigint, topic text, moved_at timestamptz, epoch int, epoch_at bigint, skips int not null default 0, statement uuid,
          primary key (topic_id, partition));
        create foreign table ${t}_offsets (topic_id text, partition int, next_offset bigint, topic text, moved_at timestamptz, epoch int, epoch_at bigint, skips int not null default 0, statement uuid)
          server loop options (table_name '${t}_far')`),
      "open",
    ],
    expected: (t) => ({
      warnings: [[expect.stringContaining(`there and the rows of "public"."${t}" are not committed as one`)]],
    }),
  },
];

const now = Date.now();
const today = new Date(now).toISOString();
const monthsAgo = (n: number) => new Date(Date.UTC(2026, 1 - n, 3)).toISOString();
/** How many parts a table has. */
const COUNT = "(select count(*)::int from pg_inherits where inhparent = '$t'::regclass) as parts";

const PARTS: readonly Case[] = [
  {
    name: "a metric of any month since 2000 gets its part, and is recognised there when it comes again",
    partition: "month",
    steps: () => [
      sent({}, { scheduled_at: "2000-01-01T00:00:00.000Z" }, { ...twice, scheduled_at: monthsAgo(1) }, {
        scheduled_at: monthsAgo(2),
      }),
      sent({ ...twice, scheduled_at: monthsAgo(1) }, { checked_at: today }),
    ],
    select: `address, scheduled_at is null as empty, ${COUNT}`,
    expected: () => ({
      rows: ["a0", "a1", "a3", "a5", "twice"].map((address) => ({ address, empty: false, parts: 7 })),
      counted: 6,
      warnings: [[]],
    }),
  },
  {
    name:
      "a metric that is older than 2000, or from the future, is rejected with that reason, and its neighbours are stored",
    partition: "day",
    steps: () => [
      sent({ checked_at: "1999-12-31T23:59:59.999Z" }, { checked_at: today }, {
        scheduled_at: new Date(now + 3 * 86_400_000).toISOString(),
      }, { scheduled_at: new Date(now + 86_400_000).toISOString() }),
    ],
    expected: () => ({
      rows: [{ address: "a1" }, { address: "a3" }],
      rejected: [
        [
          0,
          expect.stringMatching(
            /^scheduled_at: 1999-12-31T23:59:59.999Z is not between 2000-.+ look at the producer's clock$/,
          ),
        ],
        [2, expect.stringContaining("two days from now")],
      ],
    }),
  },
  {
    name: "up is the producer's word or, of an older producer, what the rule says; what tells of no check has none",
    partition: "month",
    steps: () => [
      sent(
        { checked_at: today },
        { checked_at: today, status_code: 404 },
        {
          checked_at: today,
          status_code: 404,
          up: true,
          remote_address: "::1",
          producer: "p",
          next_at: today,
          labels: { a: "b" },
        },
        { checked_at: today, error: "missed", status_code: null, is_valid: false },
        { checked_at: today, error: "removed", status_code: null, is_valid: false },
        { checked_at: today, remote_address: "fe80::1%eth0" },
      ),
    ],
    select: "address, up, host(remote_address) as remote, producer, next_at is null as last, labels",
    expected: () => ({
      rows: [true, false, true, null, null].map((up, i) => {
        const told = i === 2
          ? { remote: "::1", producer: "p", last: false, labels: { a: "b" } }
          : { remote: null, producer: null, last: true, labels: null };
        return { address: `a${i}`, up, ...told };
      }),
      rejected: [[5, "remote_address: is no IP address"]],
    }),
  },
  {
    name: "a table without parts takes a metric of any time",
    partition: "none",
    steps: () => [sent({ checked_at: "0001-01-01T00:00:00.000Z" }, { scheduled_at: "9999-12-31T00:00:00.000Z" })],
    select: "address, scheduled_at is null as empty",
    expected: () => ({ rows: ["a0", "a1"].map((address) => ({ address, empty: false })) }),
  },
  {
    name: "a table that exists keeps its parts, whatever the setting says",
    partition: "month",
    steps: (t) => [
      run(schemaSql({ schema: null, name: t }, "day")),
      sent({ scheduled_at: monthsAgo(1) }),
    ],
    select: "tableoid::regclass::text like '%\\_20260103' as day",
    expected: () => ({ rows: [{ day: true }] }),
  },
  {
    name: "the parts of a table whose predecessor was renamed get other names",
    partition: "month",
    steps: (t) => [
      sent({ checked_at: today }, { scheduled_at: monthsAgo(1) }),
      run(`alter table ${t} rename to ${t}_old`),
      "open",
      sent({ checked_at: today }, { scheduled_at: monthsAgo(1) }),
      "open",
      sent({ scheduled_at: monthsAgo(2) }),
    ],
    select: COUNT,
    expected: () => ({
      rows: Array(3).fill({ parts: 6 }),
      warnings: [[], [expect.stringContaining("did not exist")], []],
    }),
  },
  {
    name: "a user's own parts stay the user's: none is made, and the consumer stops where one is missing",
    partition: "month",
    steps: (t) => [
      run(`create table ${t} (${FOUR}, ${IDENTITY}, scheduled_at timestamptz) partition by range (scheduled_at);
        create table ${t}_w1 partition of ${t} for values from ('2026-01-01Z') to ('2026-01-08Z');
        create unique index on ${t} (address, scheduled_at desc, check_id)`),
      sent({ ...twice, scheduled_at: monthsAgo(1) }, { ...twice, scheduled_at: monthsAgo(1) }),
      sent({ scheduled_at: monthsAgo(2) }),
    ],
    select: `address, ${COUNT}`,
    expected: () => ({
      rows: [{ address: "twice", parts: 1 }],
      warnings: [[]],
      failure: expect.stringContaining("create the partition that the row belongs to, or a default partition"),
    }),
  },
  {
    name: "a table that was parted by hand in the middle of a month gets the rest of it",
    partition: "month",
    steps: (t) => [
      run(`${schemaSql({ schema: null, name: t })};
        create table ${t}_before partition of ${t} for values from (minvalue) to ('2026-01-02T12:00:00Z')`),
      sent({ scheduled_at: "2025-01-01T00:00:00Z" }, { scheduled_at: "2026-01-02T12:00:00Z" }),
    ],
    select: "address, tableoid::regclass::text like '%\\_202601' as rest",
    expected: () => ({ rows: [{ address: "a0", rest: false }, { address: "a1", rest: true }] }),
  },
  {
    name: "a view over a table with parts gets a part for what it inserts",
    partition: "month",
    steps: (t) => [
      run(`${schemaSql({ schema: null, name: `${t}_b` })}; create view ${t} as select * from ${t}_b`),
      sent({ scheduled_at: monthsAgo(3) }),
    ],
    expected: () => ({ rows: [{ address: "a0" }], warnings: [[]] }),
  },
];

const EVERYWHERE: readonly Case[] = [...DEFAULTS, ...REPEATS, ...PARTS, ...NAMES, ...WARNINGS];
const ALL: readonly Case[] = [...EVERYWHERE, ...FOREIGN];
const tableOf = (one: Case) => `t${ALL.indexOf(one)}`;

function toJob(one: Case): Job {
  const table = tableOf(one);
  const select = (one.select ?? "address").replaceAll("$t", table);
  return { table, partition: one.partition ?? "none", steps: one.steps(table), select };
}

let server: TestPostgres;
const folder = mkdtempSync(join(tmpdir(), "test-tables-"));
beforeAll(async () => {
  if (postgresMissing === null) server = await startPostgres();
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server?.[Symbol.asyncDispose]();
});

/** A database of its own on the server. */
async function newDatabase(name: string, encoding = "UTF8"): Promise<Target> {
  await server.sql.unsafe(
    `create database ${name} encoding '${encoding}' template template0 lc_collate 'C' lc_ctype 'C'`,
  );
  return { ...server.settings, name };
}

function expectKept(found: Kept | undefined, expected: Partial<Kept>): void {
  expect(found).toMatchObject({ rejected: [], failure: null, ...expected, strange: [] });
}

async function withForeignServer(target: Target): Promise<Target> {
  const { host, port, name, user, password } = target as PostgresSettings;
  const sql = postgres({ host, port, database: name, user, password: password ?? "", onnotice: () => {} });
  await sql.unsafe(`create extension postgres_fdw;
    create server loop foreign data wrapper postgres_fdw options (host '${host}', port '${port}', dbname '${name}');
    create user mapping for current_user server loop options (user '${user}'${
    password === null ? "" : `, password '${password}'`
  })`);
  await sql.end();
  return target;
}

/**
 * A text with characters of many scripts, and an emoji. No 8-bit encoding has all of these
 * characters.
 */
const WORLD = "ü日本€жא";
const LACKS = (encoding: string) => expect.stringMatching(`has no equivalent in encoding \\"${encoding}\\"`);

/** The characters that each encoding takes. */
const ENCODINGS: readonly (readonly [encoding: string, taken: string, lacked: string | null])[] = [
  ["SQL_ASCII", `${WORLD}😀`, null],
  ["LATIN1", "ü", "日"],
  ["EUC_JP", "日本", "😀"],
  ["LATIN9", "€", "ж"],
  ["WIN1252", "ü€…", "ж"],
  ["WIN1251", "ж", "ü"],
  ["KOI8R", "ж", "…"],
  ["ISO_8859_8", "א", "ü"],
  ["EUC_KR", "ж", "ü"],
];

const encodingJob = (taken: string, lacked: string | null): Job => {
  const strangers = lacked === null ? [] : [{ address: lacked }, {}, { error_detail: `x${lacked}` }, {}];
  return {
    table: "m",
    partition: "month",
    steps: [
      sent({ location: taken, address: "a" }, ...strangers, `no metric: ${WORLD}`, `{"address": "${WORLD}"}`),
      run(`alter table m add check (location <> '${taken}' or latency < 1)`),
      // The server's message quotes the row, and may cut the quotation in the middle of a
      // character.
      sent({ location: taken.repeat(100), latency: 1 }, { address: "b", location: taken, latency: 2 }, {
        address: "b",
        location: "x".repeat(63) + taken.repeat(50),
        check_id: ID(1),
      }),
      "open",
    ],
    select: "location",
  };
};

describe.each(COMMANDS)("a table of one's own under $runtime", ({ runtime, missing, command }) => {
  describe.each([
    {
      kind: "PostgreSQL",
      cases: ALL,
      absent: postgresMissing,
      target: async () => await withForeignServer(await newDatabase(`tables_${runtime.toLowerCase()}`)),
    },
    {
      kind: "PGlite",
      // The report of a start is the same on all runtimes.
      cases: runtime === "Node" ? EVERYWHERE : [...DEFAULTS, ...REPEATS, ...PARTS],
      absent: null,
      target: async () => ({ folder: await newEmbedded(join(folder, runtime)) }),
    },
  ])("on $kind", ({ cases, absent, target }) => {
    let all: Kept[];
    beforeAll(async () => {
      if (missing !== null || absent !== null) return;
      const jobs: Jobs = { target: await target(), jobs: cases.map(toJob) };
      all = await runScript<Kept>(command, "table_runner.ts", jobs);
    }, 300_000);

    it.skipIf(missing !== null || absent !== null).each(cases)("$name", (one) => {
      expectKept(all[cases.indexOf(one)], one.expected(tableOf(one)));
    });
  });

  it.skipIf(missing !== null || postgresMissing !== null).each(runtime === "Node" ? ENCODINGS : ENCODINGS.slice(0, 3))(
    "a database with the encoding %s takes what it can write, and rejects the rest with a reason that it can write",
    async (encoding, taken, lacked) => {
      const name = `encoding_${encoding.toLowerCase()}_${runtime.toLowerCase()}`;
      const jobs: Jobs = { target: await newDatabase(name, encoding), jobs: [encodingJob(taken, lacked)] };
      const [found] = await runScript<Kept>(command, "table_runner.ts", jobs);
      const bad = lacked === null ? 0 : 4;
      const refused = lacked === null ? [] : [[1, LACKS(encoding)], [3, LACKS(encoding)]] as const;
      const warning =
        `The database has the encoding ${encoding}: a metric with a character that ${encoding} lacks goes to the ` +
        "rejected; a database with the encoding UTF8 takes every metric";
      const warnings = lacked === null ? [] : [warning];
      expectKept(found, {
        rows: expect.arrayContaining([{ location: taken }, { location: taken.repeat(100) }]) as unknown as object[],
        warnings: [warnings, warnings],
        rejected: [
          ...refused,
          [1 + bad, expect.stringMatching(/^the document is not JSON: [\0-\x7f]+$/)],
          [2 + bad, expect.stringMatching(/^status_code: [\0-\x7f]+$/)],
          [4 + bad, expect.stringMatching(/^the database refuses the row: new row [\0-\x7f]+$/)],
        ],
      });
      expect(found?.rows).toHaveLength(lacked === null ? 3 : 5);
    },
  );
});

describe.skipIf(postgresMissing !== null)(`encodings that stop the consumer ${postgresMissing ?? ""}`, () => {
  async function openIn(encoding: string, name: string): Promise<string> {
    const target = await newDatabase(`stops_${encoding.toLowerCase()}_${name.length}`, encoding) as PostgresSettings;
    await using database = openPostgres(target);
    return await Store.open(database, { schema: null, name }).then(() => "opened", explain);
  }

  it("one that PostgreSQL cannot turn ours into is said with what to do", async () => {
    expect(await openIn("MULE_INTERNAL", "m")).toBe(
      "PostgreSQL says: conversion between UTF8 and MULE_INTERNAL is not supported; use a database with the encoding UTF8 " +
        "(create database … encoding 'UTF8')",
    );
  });

  it("a table's name that the encoding cannot write is said, and so is one that is too long in it", async () => {
    expect(await openIn("LATIN1", "日本")).toMatch(
      /^The database's encoding has no form of "日本" \(.+LATIN1.+\): write a name in ASCII in DB_TABLE/,
    );
    expect(await openIn("EUC_JP", "é".repeat(26))).toBe(
      `"${
        "é".repeat(26)
      }" has 78 bytes in the database's encoding EUC_JP, more than 49: write a shorter name, or one in ` +
        "ASCII, in DB_TABLE (--db-table)",
    );
    expect(await openIn("LATIN1", "é".repeat(26))).toBe("opened");
  });
});

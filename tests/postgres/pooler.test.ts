import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  classifyError,
  explain,
  isMissingPartition,
  type SqlFailure,
  sqlFailure,
} from "../../lib/postgres/database.ts";
import { readLastError } from "../../lib/postgres/database/server_messages.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import type { Stored } from "../support/database_runner.ts";
import { eventually } from "../support/eventually.ts";
import { pgbouncerMissing, startPgbouncer, type TestPgbouncer } from "../support/pgbouncer.ts";
import { ownPostgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { relay } from "../support/relay.ts";
import { COMMANDS, denoMissing, runScript } from "../support/runtimes.ts";

/** The error that postgres.js makes of the three fields that PgBouncer sends. */
const told = (message: string, code = "08P01") =>
  Object.assign(new Error(message), { name: "PostgresError", severity_local: "FATAL", code });

it.each([
  "query_wait_timeout",
  "query_timeout",
  "client_idle_timeout",
  "client_login_timeout",
  "client_login_timeout (server down)",
  "no more connections allowed (max_client_conn)",
  "client connections exceeded (max_db_client_connections)",
  "pgbouncer cannot connect to server",
  "server login has been failing, try again later (server_login_retry)",
  "server login has been failing, cached error: connect failed (server_login_retry)",
  "server login has been failing, cached error: FATAL: the database system is starting up (server_login_retry)",
  "server conn crashed?",
  "server shutting down",
  "pooler is shutting down",
  "admin forced disconnect",
  "database connection closed",
  'database "n" is disabled',
  "pause failed",
  "suspend_timeout",
  "prepared statement did not exist",
  "bouncer resources exhaustion",
  "something that is not known",
])("PgBouncer's %j passes by waiting", (message) => {
  expect(classifyError(told(message))).toBe("wait");
  expect(explain(told(message))).toContain(message);
});

it.each([
  "(EMAXCONN) max client connections reached, limit: 200",
  "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
  "Max client connections reached",
  "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms in transaction mode",
  "(EDBHANDLEREXITED) DbHandler exited. Check logs for more information",
  "(EDBHANDLEREXITED) connection to database closed. Check logs for more information",
  "(EAUTHQUERY) connection to database not available",
  "(EAUTHQUERY) authentication query failed",
  "(ECIRCUITBREAKER) circuit breaker open: too many failed attempts",
  "(EPOOLTERMINATING) pool terminating: pool is terminating",
  "(EPROXYSUPERVISORUNAVAILABLE) proxy supervisor unavailable after retries",
  "(EMAXPOOLSREACHED) max pools count reached",
  "Couldn't connect to compute node",
  "Control plane request failed",
  "all backend nodes are down, pgpool requires at least one valid node",
  "failed to create a backend connection",
  "unable to read data from DB node 0",
  "Timed-out waiting to acquire database connection",
])("Supavisor's, Neon's, Pgpool's or a proxy's %j passes by waiting", (message) => {
  expect(classifyError(told(message, "XX000"))).toBe("wait");
});

const USER = "check DB_USER (--db-user) and DB_PASSWORD (or --db-password-file), also in the pooler's list of users";
const NAME = "check DB_NAME (--db-name), also in the pooler's list of databases";

it.each([
  ["no such user", "08P01", USER],
  ["password authentication failed", "08P01", USER],
  ["SASL authentication failed", "08P01", USER],
  ['"trust" authentication failed', "08P01", USER],
  ["login rejected", "08P01", USER],
  ['server login has been failing, cached error: FATAL: role "x" does not exist (server_login_retry)', "08P01", USER],
  [
    "This RDS proxy has no credentials for the role x. Check the credentials for this role and try again.",
    "XX000",
    USER,
  ],
  [
    "The requested endpoint could not be found, or you don't have access to it.",
    "XX000",
    "check DB_HOST (--db-host), which must be the whole name of the endpoint",
  ],
  ["no such database: x", "08P01", NAME],
  ['server login has been failing, cached error: FATAL: database "x" does not exist', "08P01", NAME],
  ["SSL required", "08P01", "set DB_SSL_MODE (--db-ssl-mode) to require, or stricter"],
  [
    "Tenant or user not found",
    "XX000",
    "write DB_USER (--db-user) as the service shows it, such as postgres.PROJECT",
  ],
  [
    "transaction blocks not allowed in statement pooling mode",
    "08P01",
    "set the pooler's pool_mode to transaction or session",
  ],
  [
    "unsupported startup parameter: application_name",
    "08P01",
    "let the pooler take it (PgBouncer: ignore_startup_parameters), or name the server itself in DB_HOST (--db-host)",
  ],
])("a pooler's %j (%s) is for a person", (message, code, advice) => {
  expect(classifyError(told(message, code))).toBe("setup");
  expect(explain(told(message, code))).toBe(`The pooler in front of PostgreSQL says: ${message}; ${advice}`);
});

it("reads an error that has no more than a severity and a message", () => {
  const bare = Object.assign(new Error("query_wait_timeout"), { severity_local: "FATAL" });
  expect(sqlFailure(bare)).toMatchObject({ code: "XX000", message: "query_wait_timeout", constraint: null });
  expect(classifyError(bare)).toBe("wait");
  for (
    const genuine of ["cache lookup failed for type 1", "could not open relation with OID 1", "invalid page in block 1"]
  ) {
    expect(classifyError(told(genuine, "XX000"))).toBe("setup");
    expect(explain(told(genuine, "XX000"))).toBe(`PostgreSQL says: ${genuine}`);
  }
  // A similar server, which names neither a function of its source nor a constraint.
  const partition = Object.assign(new Error('no partition of relation "m" found for row'), {
    severity_local: "ERROR",
    code: "23514",
  });
  const isMissing = (error: Error) => isMissingPartition(sqlFailure(error) as SqlFailure);
  expect(isMissing(partition)).toBe(true);
  expect(isMissing(Object.assign(partition, { message: "check failed" }))).toBe(false);
});

/** A message of the protocol. */
function message(type: string, ...fields: string[]): Buffer {
  const body = Buffer.from(fields.map((field) => `${field}\0`).join("") + "\0");
  const head = Buffer.from(`${type}\0\0\0\0`);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

it("readLastError gives the error that came last, and nothing else", () => {
  const error = message("E", "SFATAL", "C08P01", "Mserver conn crashed?");
  const found = readLastError(Buffer.concat([message("N", "SNOTICE"), error]));
  expect(found).toMatchObject({ message: "server conn crashed?", code: "08P01", severity_local: "FATAL" });
  expect(readLastError(Buffer.concat([error, message("Z", "I")]))).toBe(null);
  expect(readLastError(error.subarray(0, -1))).toBe(null);
  expect(readLastError(error.subarray(3))).toBe(null);
  expect(readLastError(message("E", "SFATAL"))).toBe(null);
  expect(readLastError(Buffer.alloc(0))).toBe(null);
});

const missing = pgbouncerMissing ?? ownPostgresMissing;
const PATIENCE = { answer: 20_000, connect: 5_000, statement: 30_000, lock: 10_000 };

async function failureOf(settings: PostgresSettings, patience = PATIENCE): Promise<{ remedy: string; said: string }> {
  await using database = openPostgres(settings, patience);
  const error: unknown = await database.query("select 1").then(() => "it worked", (error: unknown) => error);
  return { remedy: classifyError(error), said: explain(error) };
}

describe.skipIf(missing !== null)(`openPostgres through PgBouncer in transaction mode ${missing ?? ""}`, () => {
  let server: TestPostgres;
  let pooler: TestPgbouncer;
  beforeAll(async () => {
    server = await startPostgres({ own: true });
    pooler = await startPgbouncer(server.settings);
  });
  afterAll(async () => {
    await pooler?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const SETTINGS = `select pg_backend_pid() as pid, current_setting('TimeZone') as zone,
    current_setting('synchronous_commit') as commit, current_setting('statement_timeout') as statement,
    current_setting('lock_timeout') as lock, current_setting('jit') as jit, $1::int as n, (select count(*)::int from pg_prepared_statements) as prepared`;

  it("holds its settings in every statement, on whichever connection, and leaves none behind", async () => {
    const { host, port, name, user } = pooler.settings;
    const other = postgres({ host, port, database: name, user, max: 1, fetch_types: false, prepare: false });
    await using database = openPostgres(pooler.settings);
    // The open transaction keeps the first connection busy, so that PgBouncer makes the second.
    await other.begin(async (sql) => {
      await sql`select 1`;
      await database.query("select 1");
    });
    const rows: { pid: number }[] = [];
    for (let n = 0; n < 8; n++) rows.push(...await database.query<{ pid: number }>(SETTINGS, [n]));
    const settings = { zone: "UTC", commit: "off", statement: "30s", lock: "10s", jit: "off" };
    expect(rows).toEqual(rows.map((_, n) => ({ pid: expect.any(Number), ...settings, n, prepared: 0 })));
    expect(new Set(rows.map(({ pid }) => pid)).size).toBe(2);
    expect(database.remark).toContain("A connection pooler stands in front of PostgreSQL");
    // The next client of the same two connections must find the usual settings.
    const left: { pid: number }[] = [];
    for (let n = 0; n < 8; n++) left.push(...await other.unsafe<{ pid: number }[]>(SETTINGS, [n]));
    await other.end();
    const fresh = { commit: "on", statement: "0", lock: "0", prepared: 0 };
    expect(left).toMatchObject(left.map(() => fresh));
    expect(new Set(left.map(({ pid }) => pid))).toEqual(new Set(rows.map(({ pid }) => pid)));
  });

  it("runs statements that are given at the same time in their order, each by itself", async () => {
    await using database = openPostgres(pooler.settings);
    await database.script("create table ordered (id serial, n int unique)");
    const insert = "insert into ordered (n) values ($1::int)";
    const outcomes = await Promise.allSettled([1, 2, 2, 3].map((n) => database.query(insert, [n])));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    expect((await server.sql`select n from ordered order by id`).map(({ n }) => n)).toEqual([1, 2, 3]);
  });

  it("runs a script in one transaction, with its settings", async () => {
    await using database = openPostgres(pooler.settings);
    await database.script("create table script as select current_setting('lock_timeout') as lock");
    await expect(database.script("insert into script values ('2'); insert into nowhere values (1)")).rejects.toThrow();
    expect(await database.query("select lock from script")).toEqual([{ lock: "10s" }]);
  });

  it("gives up a lock and a slow statement in time, and goes on", async () => {
    await using database = openPostgres(pooler.settings, { ...PATIENCE, statement: 300, lock: 100 });
    await database.script("create table locked ()");
    const failure = await server.sql.begin(async (sql) => {
      await sql`lock table locked`;
      return { of: await database.query("select from locked where $1::int = 1", [1]).catch((error: unknown) => error) };
    });
    expect(failure.of).toMatchObject({ code: "55P03" });
    expect(await database.query("select pg_sleep($1::int)", [60]).catch((error: unknown) => error)).toMatchObject({
      code: "57014",
    });
    expect(await database.query("select $1::int as one", [1])).toEqual([{ one: 1 }]);
  });

  it("keeps no lock for a client that is frozen before its commit", async () => {
    await using way = await relay(0, "127.0.0.1", pooler.settings.port);
    const through = { ...pooler.settings, port: way.port };
    const database = openPostgres(through, { ...PATIENCE, answer: 60_000, lock: 3_000 });
    const locks = async (granted: boolean) =>
      (await server.sql`select from pg_locks where locktype = 'advisory' and objid = 77 and granted = ${granted}`)
        .length;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const holding = server.sql.begin(async (sql) => {
      await sql`select pg_advisory_xact_lock(77)`;
      await released;
    });
    await eventually(async () => await locks(true) === 1, () => "the lock is not held");
    const frozen = database.query("select pg_advisory_xact_lock($1::bigint)", [77]).catch((error: unknown) => error);
    await eventually(async () => await locks(false) === 1, () => "nobody waits for the lock");
    way.silence("answers");
    release();
    await holding;
    // The statement has its lock now, but its client does not learn of it.
    const isIdle = () => server.sql`select from pg_stat_activity where state = 'idle in transaction'`;
    await eventually(async () => (await isIdle()).length === 1, () => "no transaction is left open");
    await eventually(async () => await locks(true) === 0 && await locks(false) === 0, () => "the lock is still held");
    way.cut();
    expect(classifyError(await frozen)).toBe("wait");
    await database[Symbol.asyncDispose]();
  }, 40_000);

  it.each(COMMANDS)("stores a metric once under $runtime", async ({ missing, command }) => {
    if (missing !== null) return;
    const stored = await runScript<Stored>(command, "database_runner.ts", [pooler.settings, pooler.settings]);
    expect(stored).toEqual([{ rows: 1, encrypted: false }, { rows: 1, encrypted: false }]);
  });

  it("says what is wrong with user and database", async () => {
    expect(await failureOf({ ...pooler.settings, user: "stranger" })).toEqual({
      remedy: "setup",
      said: expect.stringMatching(/ says: .*; check DB_USER \(--db-user\) and DB_PASSWORD/),
    });
    expect(await failureOf({ ...pooler.settings, name: "nowhere" })).toEqual({
      remedy: "setup",
      said: expect.stringMatching(/ says: .*"nowhere" does not exist.*; check DB_NAME \(--db-name\)/),
    });
  });

  it("works where PgBouncer is told to ignore the settings, and in session mode", async () => {
    const ignoring = { ignore_startup_parameters: "statement_timeout, lock_timeout, synchronous_commit, jit" };
    for (const settings of [ignoring, { pool_mode: "session" }, { ...ignoring, pool_mode: "session" }]) {
      await using other = await startPgbouncer(server.settings, { settings });
      await using database = openPostgres(other.settings);
      expect(await database.query(SETTINGS, [1])).toMatchObject([{ zone: "UTC", commit: "off", statement: "30s" }]);
    }
  });

  it("says that statement mode will not do", async () => {
    await using other = await startPgbouncer(server.settings, { settings: { pool_mode: "statement" } });
    await using database = openPostgres(other.settings);
    const error: unknown = await database.query("select $1::int", [1]).catch((error: unknown) => error);
    expect(classifyError(error)).toBe("setup");
    expect(explain(error)).toContain("set the pooler's pool_mode to transaction or session");
  });

  it("waits while no connection is free, and says so in the pooler's words", async () => {
    await using other = await startPgbouncer(server.settings, {
      settings: { default_pool_size: 1, query_wait_timeout: 1 },
    });
    await using first = openPostgres(other.settings);
    const sleeping = first.query("select pg_sleep($1::int)", [4]);
    const isAsleep = () =>
      server.sql`select from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'`;
    await eventually(async () => (await isAsleep()).length > 0, () => "nothing sleeps");
    const { remedy, said } = await failureOf(other.settings);
    expect({ remedy, said }).toEqual({
      remedy: "wait",
      said: "The pooler in front of PostgreSQL says: query_wait_timeout",
    });
    await sleeping;
  });

  it("names place and settings where the login is not finished in time", async () => {
    await using other = await startPgbouncer(server.settings);
    await other.command("pause");
    await other.command("disable *").catch(() => {});
    // PgBouncer lets the login wait until it has met the server once.
    const { remedy, said } = await failureOf(other.settings, { ...PATIENCE, answer: 1_500, connect: 500 });
    expect(remedy).toBe("wait");
    const place = `PostgreSQL at 127.0.0.1:${other.settings.port} (DB_HOST, DB_PORT)`;
    expect(said).toBe(
      `${place} took the connection, but not the login, within 0.5 seconds: is a pooler there whose server is away, ` +
        "or another program?",
    );
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Events at PgBouncer, and at the server behind it, while a consumer runs. */
const FAULTS = ["server restarts", "pooler is killed", "pause", "reload", "reconnect", "kill"] as const;

describe.skipIf(missing !== null)(`consumer --stdin through PgBouncer ${missing ?? ""}`, () => {
  const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
  const metric = (n: number) => `{"address":"a${n}","status_code":200,"latency":0.1,"is_valid":true}\n`;

  it.each(runtimes)(
    "started while the server is away, it loses and doubles nothing, under %s",
    async (runtime: Runtime) => {
      await using server = await startPostgres({ own: true });
      await using pooler = await startPgbouncer(server.settings, { settings: { query_wait_timeout: 1 } });
      // Stops the server as for an update: the answered statements are on the disk.
      const stopServer = async () => {
        const pid = server.pid as number;
        process.kill(pid, "SIGINT");
        await eventually(() => !isAlive(pid), () => "the server does not end");
      };
      await stopServer();
      const { port, user, name } = pooler.settings;
      await using consumer = start(runtime, "consumer", ["--stdin", "--batch-interval", "0.1"], {
        env: { DATABASE_URL: `postgres://${user}@127.0.0.1:${port}/${name}?sslmode=disable&pgbouncer=true` },
      });
      let sent = 0;
      const send = () => consumer.write(Array.from({ length: 50 }, () => metric(sent++)).join(""));
      const stored = async () => {
        const [row] = await server.sql`select count(*)::int as n from host_metrics`.catch(() => []);
        return row?.n === sent;
      };
      const arrives = (after: string) =>
        eventually(stored, () => `not all arrived after ${after}:\n${consumer.stderr}`);
      send();
      await consumer.says(/(pooler in front of PostgreSQL says|PostgreSQL at).*: trying again/);
      await server.restart();
      await arrives("the start");
      const faults: Record<typeof FAULTS[number], () => Promise<unknown>> = {
        "server restarts": async () => {
          await stopServer();
          send();
          await server.restart();
        },
        "pooler is killed": async () => {
          await pooler.kill();
          send();
          await pooler.start();
        },
        "pause": async () => {
          await pooler.command("pause");
          send();
          await pooler.command("resume");
        },
        "reload": () => pooler.command("reload"),
        "reconnect": () => pooler.command("reconnect"),
        "kill": async () => {
          await pooler.command(`kill ${name}`);
          send();
          await pooler.command(`resume ${name}`);
        },
      };
      for (const fault of FAULTS) {
        send();
        await faults[fault]();
        send();
        await arrives(fault);
      }
      consumer.endInput();
      const { code, stderr } = await consumer.ended;
      expect(code, stderr).toBe(0);
      const [row] = await server
        .sql`select count(*)::int as n, count(distinct address)::int as addresses from host_metrics`;
      expect(row).toEqual({ n: sent, addresses: sent });
      expect(await server.sql`select reason from host_metrics_rejected`).toEqual([]);
      expect(stderr).not.toContain("undefined");
      expect(stderr).toContain("A connection pooler stands in front of PostgreSQL");
    },
    120_000,
  );
});

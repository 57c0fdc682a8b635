import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FolderInUse, requireFree } from "../../lib/config/folder_lock.ts";
import { type EmbeddedDatabase, openEmbedded, type QueryPart } from "../../lib/postgres/database/embedded.ts";
import { splitStatements } from "../../lib/postgres/query/statements.ts";
import { newEmbedded } from "../support/embedded.ts";
import { eventually } from "../support/eventually.ts";
import { type Ended, run, type Running, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { turnsOf } from "../support/turns.ts";

// --query changes nothing. It also works while another program holds the folder.

const folder = mkdtempSync(join(tmpdir(), "test-query-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
const metric = (n: number) => `{"address": "a${n}", "status_code": 200, "latency": 0.1, "is_valid": true}\n`;
const ask = (runtime: Runtime, data: string, sql: string): Promise<Ended> =>
  run(runtime, "consumer", ["--embedded", data, "--query", sql]);
const told = (stdout: string) => ({ code: 0, stdout, stderr: "" });
/** This statement never ends, and never checks whether it should. */
const ENDLESS = "select count(*) from generate_series(1, 1e12::bigint)";

describe("a query changes nothing", () => {
  let database: EmbeddedDatabase;
  beforeAll(async () => {
    database = await openEmbedded(await newEmbedded(join(folder, "attacked")));
    await database.script("create table kept (a int); insert into kept values (1), (2); create sequence counted");
    await database.script(`create function emptied() returns int language plpgsql as
      $$ begin delete from kept; return 1; end $$`);
    await database.script("create procedure committed(inout a int) language plpgsql as $$ begin commit; end $$");
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  const inquire = async (sql: string) => {
    const parts: QueryPart[] = [];
    const handOver = (part: QueryPart) => Promise.resolve(void parts.push(part));
    await database.inquire(splitStatements(sql), handOver, { signal: new AbortController().signal });
    return parts.flatMap((part) => "rows" in part ? part.rows : []);
  };
  const state = () =>
    database.query(`select (select count(*)::int from kept) as rows, (select is_called from counted) as called,
      current_user::text as me, current_setting('transaction_read_only') as only_reads,
      (select count(*)::int from pg_locks where locktype = 'advisory') as locks,
      (select count(*)::int from pg_class where relname ~ '^made') as made,
      has_function_privilege('public', 'set_config(text, text, boolean)', 'execute') as has_config`);
  const UNCHANGED = { rows: 2, called: false, me: "postgres", only_reads: "off", locks: 0, made: 0, has_config: true };

  it.each([
    ["delete from kept", "nothing to print"],
    ["delete from kept returning a", "cannot execute DELETE in a read-only transaction"],
    ["with gone as (delete from kept returning a) select * from gone", "in a read-only transaction"],
    ["explain analyze delete from kept", "cannot execute DELETE in a read-only transaction"],
    ["commit; delete from kept", "nothing was run: commit"],
    ["select 1; commit; delete from kept returning a", "nothing was run: commit"],
    ["commit and chain; set transaction read write; delete from kept", "nothing was run: commit and chain"],
    ["rollback; begin; delete from kept returning a; commit", "nothing was run: rollback"],
    ["set transaction read write", "nothing to print"],
    ["set session characteristics as transaction read write", "nothing to print"],
    ["select set_config('transaction_read_only', 'off', false)", "permission denied for function set_config"],
    ["select set_config('role', 'postgres', false)", "permission denied for function set_config"],
    ["update pg_settings set setting = 'postgres' where name = 'role'", "nothing to print"],
    ["reset role", "nothing to print"],
    ["do $$ begin delete from kept; commit; end $$", "nothing to print"],
    ["select emptied()", "cannot execute DELETE in a read-only transaction"],
    ["call committed(1)", "invalid transaction termination"],
    ["copy kept to '/tmp/kept'", "nothing to print"],
    ["copy kept to program 'touch kept'", "nothing to print"],
    ["select lo_export(1, '/pglite/data/PG_VERSION')", "permission denied for function lo_export"],
    ["select lo_from_bytea(0, 'a')", "in a read-only transaction"],
    ["select pg_read_file('PG_VERSION')", "permission denied for function pg_read_file"],
    ["select nextval('counted')", "permission denied for sequence counted"],
    ["select setval('counted', 5)", "permission denied for sequence counted"],
    ["update pg_class set relname = 'made' where relname = 'kept' returning 1", "in a read-only transaction"],
    ["insert into pg_authid (rolname) values ('made') returning 1", "in a read-only transaction"],
    ["create table made (a int)", "nothing to print"],
    ["select * into made from kept", "nothing to print"],
    ["explain analyze create table made as select 1", "permission denied for schema public"],
    ["create extension dblink", "nothing to print"],
    ["select * from dblink('dbname=postgres', 'delete from kept') as t(a int)", "function dblink(unknown, unknown)"],
    ["select pg_create_physical_replication_slot('made')", "permission denied to use replication slots"],
    ["select pg_terminate_backend(pg_backend_pid())", "permission denied to terminate process"],
    ["select query_to_xml('delete from kept', true, true, '')", "DELETE is not allowed in a non-volatile function"],
    ["prepare gone as delete from kept returning a; execute gone", "nothing to print"],
    ["declare c cursor for select 1; fetch c", "nothing to print"],
    ["lock table kept", "nothing to print"],
    ["select $1", "bind message supplies 0 parameters"],
    ["select 'a'; select '", "unterminated quoted string"],
    [";;; -- nothing", "--query holds no statement"],
    ["select repeat('x', 1000000000)", "out of memory"],
  ])("%s", async (sql, words) => {
    await expect(inquire(sql)).rejects.toThrow(words);
    expect(await state()).toEqual([UNCHANGED]);
  });

  it.each([
    ["locks of the session", "select pg_advisory_lock(g) from generate_series(1, 5) g", 5],
    ["a temporary table of explain", "explain (analyze, costs off, timing off) create temp table made as select 1", 3],
    ["more rows than are fetched at once", "select g from generate_series(1, 2500) g", 2500],
    ["rows that are long", "select repeat('x', 300000) from generate_series(1, 30)", 30],
    ["several statements", "values (1), (2); select ';' /* ; */ as \";\"; show server_version", 4],
  ])("of %s nothing is left", async (_, sql, rows) => {
    expect(await inquire(sql)).toHaveLength(rows);
    expect(await state()).toEqual([UNCHANGED]);
  });

  it("a query that is ended does not hold up what comes behind it", async () => {
    const late = database.inquire(splitStatements(ENDLESS), () => Promise.resolve(), {
      signal: new AbortController().signal,
      limit: 0.1,
    });
    const behind = state();
    await expect(late).rejects.toThrow("the query took more than 0.1 s, while metrics wait");
    expect(await behind).toEqual([UNCHANGED]);
  });
});

const HOLDING = "while a consumer under %s holds the folder";

// Each test goes on where the one before it ended.
describe.each(turnsOf(HOLDING, runtimes))(HOLDING, (holder: Runtime) => {
  // The path of its socket would be longer than the system allows.
  const data = join(folder, `${holder}-${"x".repeat(60)}`, "y".repeat(60));
  let consumer: Running;
  let early: Promise<Ended>;
  beforeAll(async () => {
    mkdirSync(join(data, ".."), { recursive: true });
    consumer = start(holder, "consumer", ["--stdin", "--embedded", data, "--log-level", "DEBUG"]);
    await eventually(() => existsSync(join(data, "postgres.new")), () => "the database is not begun");
    early = ask("node", data, "select 0 as zero");
    consumer.write(metric(1));
    await consumer.says("1 message stored");
  });
  afterAll(() => consumer?.[Symbol.asyncDispose]());
  const consumerGone = () => consumer[Symbol.asyncDispose]();

  it("a query that came while the database was made has waited for it", async () => {
    expect(await early).toMatchObject({ code: 0, stdout: '{"zero":0}\n' });
  });

  it("nobody else may enter the folder of the socket, nor write to the socket", () => {
    expect(statSync(join(data, "query")).mode & 0o777).toBe(0o700);
    expect(statSync(join(data, "query/socket")).mode & 0o777).toBe(0o600);
  });

  it.each(runtimes)("a query under %s tells what is in the table, statement after statement", async (runtime) => {
    const sql = "select address, up from host_metrics_now; select 'infinity'::timestamptz as a, 2::int8 as a";
    expect(await ask(runtime, data, sql)).toMatchObject(told('{"address":"a1","up":true}\n{"a":"infinity","a_2":2}\n'));
  });

  it.each(runtimes)("a slip gets PostgreSQL's own words and its place, under %s", async (runtime) => {
    expect(await ask(runtime, data, "select 1;\nselect latncy from host_metrics")).toMatchObject({
      code: 1,
      stdout: "",
      stderr: 'ERROR:  column "latncy" does not exist\nLINE 2: select latncy from host_metrics\n               ^\n' +
        'HINT:  Perhaps you meant to reference the column "host_metrics.latency".\n',
    });
    expect(await ask(runtime, data, "select 1 from host_metrics_nov")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^ERROR: {2}relation "host_metrics_nov" does not exist\nLINE 1: .*\n *\^\nHINT: {2}A consumer .* host_metrics_now, /,
      ),
    });
    expect(await ask(runtime, data, "delete from host_metrics")).toMatchObject({
      code: 1,
      stderr: "--query only reads, and this statement gives nothing to print, so nothing was run: " +
        "delete from host_metrics\n",
    });
  });

  it("gives large results whole, and to several who ask at once", async () => {
    const large = "select g, repeat('x', 100) as x from generate_series(1, 50000) g";
    const [first, second] = await Promise.all([ask("node", data, large), ask(holder, data, "select 2 as two")]);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout.split("\n")).toHaveLength(50_001);
    expect(second).toMatchObject(told('{"two":2}\n'));
  });

  it("one that never ends is ended, what came meanwhile is stored, and the next one is answered", async () => {
    const endless = ask(holder, data, ENDLESS);
    consumer.write(metric(2));
    expect(await endless).toMatchObject({
      code: 1,
      stderr: "the query took more than 10 s, while metrics wait: ask for less, or when the consumer has ended\n",
    });
    const rows = () => ask("node", data, "select count(*)::int as rows from host_metrics");
    await expect.poll(async () => (await rows()).stdout, { timeout: 60_000 }).toBe('{"rows":2}\n');
  }, 120_000);

  it("one whose program is killed in the middle holds up nobody", async () => {
    await using killed = start("node", "consumer", ["--embedded", data, "--query", "select 1;".repeat(6) + ENDLESS]);
    await consumer.says("--query of another program: 7 statements");
    killed.kill("SIGKILL");
    await killed.ended;
    expect(await ask("node", data, "select 3 as three")).toMatchObject(told('{"three":3}\n'));
  }, 60_000);

  it("a second consumer is refused", async () => {
    expect(await run(holder, "consumer", ["--stdin", "--embedded", data])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${data} is in use by another program`),
    });
  });

  it("a consumer that ends while a query waits stores all, and the query asks the database itself", async () => {
    consumer.write(metric(3));
    const asked = ask("node", data, `${"select 4 as four;".repeat(3)} select pg_sleep(2)`);
    await consumer.says("--query of another program: 4 statements");
    consumer.kill("SIGTERM");
    consumer.endInput();
    const ended = await consumer.ended;
    expect({ code: ended.code, stderr: ended.stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining("3 metrics stored or known already"),
    });
    const answered = await asked;
    expect(answered, answered.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining(`"four":4`) });
    expect(await ask("node", data, "select count(*)::int as rows from host_metrics")).toMatchObject(
      told('{"rows":3}\n'),
    );
    expect(existsSync(join(data, "query"))).toBe(false);
  });

  it("the socket of a consumer that was killed is in nobody's way", async () => {
    await consumerGone();
    {
      await using killed = start(holder, "consumer", ["--stdin", "--embedded", data, "--log-level", "DEBUG"]);
      killed.write(metric(4));
      await killed.says("1 message stored");
      killed.kill("SIGKILL");
      await killed.ended;
    }
    expect(existsSync(join(data, "query/socket"))).toBe(true);
    const rows = told('{"rows":4}\n');
    expect(await ask(holder, data, "select count(*)::int as rows from host_metrics")).toMatchObject(rows);
    await using next = start(holder, "consumer", ["--stdin", "--embedded", data, "--log-level", "DEBUG"]);
    next.write(metric(5));
    await next.says("1 message stored");
    expect(await ask(holder, data, "select 5 as five")).toMatchObject(told('{"five":5}\n'));
  });

  it("Ctrl-C ends a query that never ends, and asks nobody", async () => {
    await consumerGone();
    await using asking = start(holder, "consumer", ["--embedded", data, "--query", `select 1 as one; ${ENDLESS}`]);
    await asking.prints(/^\{"one":1\}\n/);
    asking.kill("SIGINT");
    expect(await asking.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("the query was ended by SIGINT\n"),
    });
    expect(await ask("node", data, "select 6 as six")).toMatchObject(told('{"six":6}\n'));
  });
});

it.each(turnsOf("a consumer that starts while a query holds the folder", runtimes))(
  "a consumer under %s that starts while a query holds the folder waits for the query",
  async (runtime) => {
    const data = await newEmbedded(join(folder, `asked-${runtime}`));
    await using query = start("node", "consumer", ["--embedded", data, "--query", ENDLESS]);
    await eventually(() => isHeld(data), () => "the query does not hold the folder");
    await using consumer = start(runtime, "consumer", ["--stdin", "--embedded", data]);
    await consumer.says("is in use by a program that does not answer yet: waiting");
    query.kill("SIGKILL");
    consumer.write(metric(1));
    consumer.endInput();
    expect(await consumer.ended).toMatchObject({ code: 0, stderr: expect.stringContaining("1 metric stored") });
  },
  120_000,
);

function isHeld(data: string): boolean {
  try {
    requireFree(data);
    return false;
  } catch (error) {
    return error instanceof FolderInUse;
  }
}

import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SslMode } from "../../lib/config/setting_types.ts";
import { classifyError, explain, SetupError } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { planDatabase } from "../../lib/postgres/database_plan.ts";
import { freePort } from "../../tools/free_ports.ts";
import { Certificates } from "../support/certificates.ts";
import type { Stored, Target } from "../support/database_runner.ts";
import { ownPostgresMissing, postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";

/** An error as the server sends it. */
const sql = (code: string, fields: object = {}) =>
  Object.assign(new Error("what happened"), { severity: "ERROR", code, ...fields });
const named = (code: string) => Object.assign(new Error("what happened"), { code });

it.each([
  [
    "wait",
    ["08006", "25006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"].map((code) =>
      sql(code)
    ),
  ],
  [
    "setup",
    ["0A000", "28000", "28P01", "3D000", "3F000", "42501", "42P01", "42703", "XX000", "P0002"].map((code) => sql(code)),
  ],
  ["setup", [sql("23514", { routine: "ExecFindPartition" })]],
  ["wait", ["25P02", "25P03", "25P04", "26000", "42P05", "08P01"].map((code) => sql(code))],
  ["setup", [Object.assign(sql("08P01"), { message: "unsupported startup parameter: lock_timeout" })]],
  [
    "wait",
    [
      "CONNECT_TIMEOUT",
      "CONNECTION_CLOSED",
      "CONNECTION_DESTROYED",
      "CONNECTION_ENDED",
      "ECONNREFUSED",
      "ECONNRESET",
      "EAI_AGAIN",
      "ENOENT",
      "ENOTFOUND",
      "EPIPE",
      "ETIMEDOUT",
    ].map(named),
  ],
  ["setup", [
    new SetupError("x"),
    new TypeError("x"),
    named("EACCES"),
    named("EPERM"),
    named("SASL_SIGNATURE_MISMATCH"),
    "x",
    null,
  ]],
])("classifyError says %s", (remedy, errors) => {
  expect(errors.map((error) => classifyError(error))).toEqual(errors.map(() => remedy));
});

it.each([
  [sql("22001"), "PostgreSQL says: what happened"],
  [sql("42501"), "PostgreSQL says: what happened; grant the role what `consumer.ts --print-schema` names"],
  [sql("23514", { detail: "Failing row" }), "PostgreSQL says: what happened (Failing row)"],
  [new Error("two\n  lines"), "two lines"],
  [new SetupError("Run this:\n\ncreate …;\n"), "Run this:\n\ncreate …;"],
  ["text", "text"],
])("explain(%o) is %j", (error, line) => {
  expect(explain(error)).toBe(line);
});

const elsewhere: PostgresSettings = {
  host: "127.0.0.1",
  port: 1,
  name: "postgres",
  user: "postgres",
  password: null,
  sslMode: "prefer",
  ca: null,
};

async function failureOf(settings: PostgresSettings): Promise<{ remedy: string; explanation: string }> {
  await using database = openPostgres(settings, { answer: 20_000, connect: 500, statement: 10_000, lock: 10_000 });
  const error = await database.query("select 1").then(() => new Error("it worked"), (error: unknown) => error);
  return { remedy: classifyError(error), explanation: explain(error) };
}

/** A server that treats each connection as the test says. */
async function serve(behave: (socket: Socket) => void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    behave(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const dispose = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  };
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: dispose };
}

it("openPostgres waits for a server that is not there", async () => {
  const port = await freePort();
  expect(await failureOf({ ...elsewhere, port })).toEqual({
    remedy: "wait",
    explanation: `Cannot connect to PostgreSQL at 127.0.0.1:${port} (DB_HOST, DB_PORT): ECONNREFUSED`,
  });
  expect(await failureOf({ ...elsewhere, host: "nowhere.invalid" })).toEqual({
    remedy: "wait",
    explanation: expect.stringMatching(
      /^Cannot connect to PostgreSQL at nowhere\.invalid:1 \(DB_HOST, DB_PORT\): (ENOTFOUND|EAI_AGAIN)$/,
    ),
  });
  expect(await failureOf({ ...elsewhere, host: "/nowhere" })).toEqual({
    remedy: "wait",
    explanation: "Cannot connect to PostgreSQL at /nowhere/.s.PGSQL.1 (DB_HOST, DB_PORT): ENOENT",
  });
});

it.each([
  [
    "says nothing",
    () => {},
    "wait",
    "PostgreSQL at 127.0.0.1:$port (DB_HOST, DB_PORT) did not answer within 0.5 seconds",
  ],
  [
    "hangs up",
    (socket: Socket) => socket.end(),
    "wait",
    "PostgreSQL at 127.0.0.1:$port (DB_HOST, DB_PORT) closed the connection before it began",
  ],
  [
    "takes the connection and no login",
    (socket: Socket) => void socket.once("data", () => socket.write("N")),
    "wait",
    "PostgreSQL at 127.0.0.1:$port (DB_HOST, DB_PORT) took the connection, but not the login, within 0.5 seconds: is a " +
    "pooler there whose server is away, or another program?",
  ],
  [
    "hangs up at the login",
    (socket: Socket) =>
      void socket.once("data", () => socket.write("N", () => socket.once("data", () => socket.end()))),
    "wait",
    "The connection to PostgreSQL at 127.0.0.1:$port (DB_HOST, DB_PORT) was lost",
  ],
  [
    "resets the connection in the middle of its login",
    (socket: Socket) =>
      void socket.once("data", () => socket.write("N", () => socket.once("data", () => socket.resetAndDestroy()))),
    "wait",
    "The connection to PostgreSQL at 127.0.0.1:$port (DB_HOST, DB_PORT) was lost: ECONNRESET",
  ],
  [
    "is no PostgreSQL",
    (socket: Socket) => void socket.once("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")),
    "setup",
    "127.0.0.1:$port does not answer as PostgreSQL does: check DB_HOST and DB_PORT",
  ],
  [
    "puts words behind its answer",
    (socket: Socket) => void socket.once("data", () => socket.write("Nx")),
    "setup",
    "127.0.0.1:$port does not answer as PostgreSQL does: check DB_HOST and DB_PORT",
  ],
])("openPostgres at a server that %s", async (_, behave, remedy, explanation) => {
  await using server = await serve(behave);
  const { port } = server;
  const expected = { remedy, explanation: explanation.replace("$port", String(port)) };
  expect(await failureOf({ ...elsewhere, port })).toEqual(expected);
});

describe.skipIf(postgresMissing !== null)(`openPostgres ${postgresMissing ?? ""}`, () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  it("sets up its sessions", async () => {
    await using database = openPostgres(server.settings);
    const [row] = await database.query(
      `select current_setting('TimeZone') as zone, current_setting('synchronous_commit') as commit,
      current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock,
      current_setting('jit') as jit, current_setting('application_name') as name`,
    );
    expect(row).toEqual({
      zone: "UTC",
      commit: "off",
      statement: "30s",
      lock: "10s",
      jit: "off",
      name: "host-checker",
    });
  });

  it("runs a script in one transaction", async () => {
    await using database = openPostgres(server.settings);
    await database.script("create table script (a int); insert into script values (1)");
    const failed = database.script("insert into script values (2); insert into script values ('x')");
    await expect(failed).rejects.toThrow("invalid input syntax");
    expect(await database.query("select a from script")).toEqual([{ a: 1 }]);
  });

  it("gives all rows of a statement, and no more, after one that failed in the middle of its rows", async () => {
    await using database = openPostgres(server.settings);
    const failing = database.query("select 1 / (3 - n) from generate_series(1, 5) n");
    const next = database.query("select n from generate_series(1, 2) n");
    await expect(failing).rejects.toThrow("division by zero");
    const rows = await next;
    expect([rows.length, rows]).toEqual([2, [{ n: 1 }, { n: 2 }]]);
  });

  it.each([
    [
      { name: "nothing_here" },
      `PostgreSQL says: database "nothing_here" does not exist; check DB_NAME (--db-name), or create the database`,
    ],
    [{ user: "nobody_here" }, expect.stringMatching(/^PostgreSQL says: .*nobody_here.*; check DB_USER/)],
  ])("says which setting is wrong: %j", async (wrong, explanation) => {
    expect(await failureOf({ ...server.settings, ...wrong })).toEqual({ remedy: "setup", explanation });
  });

  it("asks for waiting when its backend is killed, idle or at work, and works again then", async () => {
    await using database = openPostgres(server.settings);
    const terminate = (pid: number) => server.sql`select pg_terminate_backend(${pid})`;
    for (let round = 0; round < 5; round++) {
      const [row] = await database.query<{ pid: number }>("select pg_backend_pid() as pid");
      await terminate(row?.pid as number);
      const [next] = await database.query<{ pid: number }>("select pg_backend_pid() as pid").catch(
        async (error: unknown) => {
          expect(classifyError(error)).toBe("wait");
          return await database.query<{ pid: number }>("select pg_backend_pid() as pid");
        },
      );
      const work = database.query("select pg_sleep(60)").catch((error: unknown) => error);
      const queued = database.query("select 1").catch((error: unknown) => error);
      const isWorking = () =>
        server.sql`select from pg_stat_activity where pid = ${next?.pid as number} and state = 'active'`;
      await expect.poll(async () => (await isWorking()).length).toBe(1);
      await terminate(next?.pid as number);
      expect([classifyError(await work), classifyError(await queued)]).toEqual(["wait", "wait"]);
    }
    expect(await database.query("select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("gives up a statement that is not answered in time, and goes on with a connection of its own", async () => {
    await using database = openPostgres(server.settings, {
      answer: 400,
      connect: 5_000,
      statement: 60_000,
      lock: 60_000,
    });
    const failure: unknown = await database.query("select pg_sleep(60)").catch((error: unknown) => error);
    expect(classifyError(failure)).toBe("wait");
    expect(explain(failure)).toMatch(/^PostgreSQL at .+ did not answer within 0.4 seconds$/);
    await expect.poll(() => database.query("select 1 as one").catch(() => [])).toEqual([{ one: 1 }]);
  });

  it("asks for waiting when the server gives up a statement or a lock", async () => {
    await using database = openPostgres(server.settings, { answer: 60_000, connect: 5_000, statement: 200, lock: 100 });
    await database.script("create table locked ()");
    expect(classifyError(await database.query("select pg_sleep(60)").catch((error: unknown) => error))).toBe("wait");
    const error = await server.sql.begin(async (sql) => {
      await sql`lock table locked`;
      return { error: await database.query("select from locked").catch((error: unknown) => error) };
    });
    expect(error).toMatchObject({ error: { code: "55P03" } });
  });

  it("refuses to be used after it was closed", async () => {
    const database = openPostgres(server.settings);
    await database.query("select 1");
    await database[Symbol.asyncDispose]();
    await expect(database.query("select 1")).rejects.toThrow(
      new TypeError("The database has been closed: open it again"),
    );
  });
});

describe.skipIf(ownPostgresMissing !== null)(`openPostgres with its own server ${ownPostgresMissing ?? ""}`, () => {
  let certificates: Certificates;
  let strangers: Certificates;
  let servers: Readonly<Record<"good" | "otherName" | "plain", TestPostgres>>;
  beforeAll(async () => {
    certificates = new Certificates();
    strangers = new Certificates();
    const { good, otherName } = certificates;
    const started = await Promise.all([
      startPostgres({ tls: good }),
      startPostgres({ tls: otherName }),
      startPostgres({ own: true }),
    ]);
    servers = { good: started[0], otherName: started[1], plain: started[2] };
  });
  afterAll(async () => {
    await Promise.all(Object.values(servers ?? {}).map((server) => server[Symbol.asyncDispose]()));
    certificates?.[Symbol.dispose]();
    strangers?.[Symbol.dispose]();
  });

  const SITUATIONS = [
    { name: "right CA", server: "good", ca: "ours" },
    { name: "wrong CA", server: "good", ca: "strange" },
    { name: "no CA given", server: "good", ca: null },
    { name: "wrong name", server: "otherName", ca: "ours" },
    { name: "no TLS", server: "plain", ca: "ours" },
  ] as const;
  /** The fate of a connection in each of these situations, in their order. */
  const OUTCOMES: Readonly<Record<SslMode, readonly ("plain" | "tls" | "refused")[]>> = {
    "disable": ["plain", "plain", "plain", "plain", "plain"],
    "prefer": ["tls", "tls", "tls", "tls", "plain"],
    "require": ["tls", "refused", "tls", "tls", "refused"],
    "verify-ca": ["tls", "refused", "refused", "tls", "refused"],
    "verify-full": ["tls", "refused", "refused", "refused", "refused"],
  };

  function settingsFor(sslMode: SslMode, { server, ca }: typeof SITUATIONS[number], host: string): PostgresSettings {
    const authorities = ca === "ours" ? certificates : strangers;
    const pem = ca === null ? null : readFileSync(authorities.authorityFile, "utf8");
    const sslCaFile = ca === null ? null : authorities.authorityFile;
    return { ...servers[server].settings, host, sslMode, ca: pem, sslCaFile };
  }

  const outcome = (stored: Stored) =>
    "remedy" in stored ? (stored.remedy === "setup" ? "refused" : stored) : stored.encrypted ? "tls" : "plain";

  describe.each(COMMANDS)("under $runtime", ({ missing, command }) => {
    it.skipIf(missing !== null).each(["localhost", "127.0.0.1"])(
      "secures the way to %s as far as DB_SSL_MODE says",
      async (host) => {
        const modes = Object.keys(OUTCOMES) as SslMode[];
        const targets: Target[] = modes.flatMap((mode) =>
          SITUATIONS.map((situation) => settingsFor(mode, situation, host))
        );
        const stored = await runScript<Stored>(command, "database_runner.ts", targets);
        const found = modes.map((
          mode,
          i,
        ) => [mode, stored.slice(i * SITUATIONS.length, (i + 1) * SITUATIONS.length).map(outcome)]);
        expect(Object.fromEntries(found)).toEqual(OUTCOMES);
        expect(stored.flatMap((each) => "rows" in each ? [each.rows] : [])).toEqual(Array(16).fill(1));
      },
    );

    // Over TLS a server with SCRAM offers channel binding (SCRAM-SHA-256-PLUS) first.
    it.skipIf(missing !== null)("logs in with SCRAM where the server offers channel binding", async () => {
      const { sql, requirePassword } = servers.good;
      const role = `binder_${Math.random().toString(36).slice(2)}`;
      await sql.unsafe(`create role ${role} login superuser password 'right'`);
      await requirePassword(role);
      const situation = { ...SITUATIONS[0] };
      const settings = { ...settingsFor("verify-full", situation, "localhost"), user: role };
      const targets = ["right", "wrong", null, "made-by-make-config-x"].map((password) => ({ ...settings, password }));
      expect(await runScript<Stored>(command, "database_runner.ts", targets)).toEqual([
        { rows: 1, encrypted: true },
        { remedy: "setup", explanation: expect.stringContaining("check DB_USER (--db-user) and DB_PASSWORD") },
        {
          remedy: "setup",
          explanation: expect.stringMatching(
            /^PostgreSQL asks for a password, and none is set: put it into DB_PASSWORD, or name a file .* \(--db-password-file\) \(/,
          ),
        },
        {
          remedy: "setup",
          explanation: expect.stringMatching(
            /^PostgreSQL refuses the password that make config made up: put the role's own/,
          ),
        },
      ]);
    });
  });

  it.each(
    [
      [
        "plain",
        "require",
        "offers no TLS, and DB_SSL_MODE is require: switch TLS on at the server, or set DB_SSL_MODE (--db-ssl-mode) to prefer or disable",
      ],
      [
        "good",
        "verify-ca",
        "is refused (DB_SSL_MODE is verify-ca): ",
        ".pem did not sign it: name the one that did in DB_SSL_CA_FILE (--db-ssl-ca-file)",
      ],
      [
        "unsigned",
        "verify-ca",
        "is refused (DB_SSL_MODE is verify-ca): ",
        "; name the CA that signed it in DB_SSL_CA_FILE (--db-ssl-ca-file)",
      ],
      [
        "otherName",
        "verify-full",
        "is refused (DB_SSL_MODE is verify-full): ",
        "; connect by a name that the certificate holds (DB_HOST), or set DB_SSL_MODE to verify-ca",
      ],
    ] as const,
  )("says what to do where the way to the %s server is refused under %s", async (server, mode, ...parts) => {
    const situation = {
      name: "right CA",
      server: server === "unsigned" ? "good" : server,
      ca: server === "good" ? "strange" : server === "unsigned" ? null : "ours",
    } as unknown as typeof SITUATIONS[0];
    const { remedy, explanation } = await failureOf(settingsFor(mode, situation, "localhost"));
    expect(remedy).toBe("setup");
    for (const part of parts) expect(explanation).toContain(part);
    expect(explanation).not.toContain("Node.js");
  });

  it("planDatabase trusts what the CA file holds when it connects, not what it held at the start", async () => {
    const folder = mkdtempSync(join(tmpdir(), "test-database-ca-"));
    const sslCaFile = join(folder, "ca.pem");
    copyFileSync(strangers.authorityFile, sslCaFile);
    const { host, port, name, user, password } = servers.good.settings;
    const settings = { kind: "server", host, port, name, user, password, sslMode: "verify-ca", sslCaFile } as const;
    const plan = await planDatabase(settings);
    await using database = await plan.open({
      stop: new AbortController().signal,
      log: { warn: () => {}, debug: () => {} },
    });
    await expect(database.query("select 1")).rejects.toThrow("is refused (DB_SSL_MODE is verify-ca)");
    const stop = new AbortController();
    const said: string[] = [];
    const say = (text: string) => void said.push(text);
    const following = plan.certificateStore?.follow({ info: say, warn: say }, stop.signal);
    copyFileSync(certificates.authorityFile, sslCaFile);
    await expect.poll(() => said, { timeout: 10_000 }).toEqual([
      expect.stringContaining(
        `The new certificates for PostgreSQL are in use from the next connection on; ${sslCaFile} is valid until `,
      ),
    ]);
    expect(await database.query("select 1 as one")).toEqual([{ one: 1 }]);
    stop.abort();
    await following;
    rmSync(folder, { recursive: true });
  }, 20_000);

  it("says that the password is wrong, and connects with the right one", async () => {
    const { sql, settings } = servers.plain;
    await sql`create role keeper login password 'right'`;
    const [file] = await sql`show hba_file`;
    await sql.unsafe(
      `copy (select 'host all all 127.0.0.1/32 scram-sha-256' union all select 'local all all trust') to '${file?.hba_file}'`,
    );
    await sql`select pg_reload_conf()`;
    const keeper = { ...settings, user: "keeper" };
    await expect.poll(async () => (await failureOf({ ...keeper, password: "wrong" })).explanation).toBe(
      `PostgreSQL says: password authentication failed for user "keeper"; ` +
        "check DB_USER (--db-user) and DB_PASSWORD (or --db-password-file)",
    );
    await using database = openPostgres({ ...keeper, password: "right" });
    expect(await database.query("select 1 as one")).toEqual([{ one: 1 }]);
    expect(await failureOf({ ...keeper, password: null })).toMatchObject({
      remedy: "setup",
      explanation: expect.stringContaining("asks for a password, and none is set"),
    });
  });

  it("connects through a Unix socket", async () => {
    const { sql, settings } = servers.good;
    const [row] = await sql`show unix_socket_directories`;
    const host = row?.unix_socket_directories as string;
    await using database = openPostgres({ ...settings, host, sslMode: "verify-full" });
    expect(await database.query("select inet_client_addr() is null as local")).toEqual([{ local: true }]);
  });
});

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { randomUUID } from "node:crypto";
import postgres from "postgres";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { freePort } from "../../tools/free_ports.ts";
import { madeOnce } from "../../tools/made_once.ts";

/**
 * A new database on a real server. Disposing of it drops the database, and stops the server if it
 * was started here.
 */
export interface TestPostgres extends AsyncDisposable {
  readonly settings: PostgresSettings;
  /**
   * A connection as superuser, for statements that the store does not have. It ends with the
   * server.
   */
  readonly sql: postgres.Sql;
  /** The server's process; null for a server that the environment names. */
  readonly pid: number | null;
  /**
   * Ends the server at once, as `pg_ctl stop -m immediate` does. Data that was not yet on the disk
   * is lost. Only for a server that was started here.
   */
  crash(): Promise<void>;
  /** Starts it again after `crash`, with the data on the disk. */
  restart(): Promise<void>;
  /** Gives a folder to the user that the server runs as. */
  own(folder: string): void;
  /** From now on the role must give its password when it connects. */
  requirePassword(role: string): Promise<void>;
}

export interface TestPostgresOptions {
  /**
   * Starts a server in a session of its own: the Ctrl-C of the person at the terminal does not
   * reach it.
   */
  readonly apart?: boolean;
  /** Starts a server even where the environment names one. */
  readonly own?: boolean;
  /** The server's certificate and key, PEM. With them it takes TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** By whose rules a started server sorts texts, as `locale -a` lists them; absent: by their bytes. */
  readonly locale?: string;
  /** More settings of the started server, as `name=value`. They override those of the tests. */
  readonly settings?: readonly string[];
}

const SERVERS = "/usr/lib/postgresql";
const given = process.env.TEST_DATABASE_URL;

/** The folder with the programs of the newest server; null where this machine has none. */
function findPrograms(): string | null {
  if (!existsSync(SERVERS)) return null;
  const versions = readdirSync(SERVERS).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(SERVERS, version, "bin")).find((bin) => existsSync(join(bin, "initdb"))) ??
    null;
}

const programs = findPrograms();

/**
 * Why this machine has no server, for a suite that then skips its tests; null where it has one.
 * Always null under CI: nobody would notice skipped tests there.
 */
export const postgresMissing: string | null = programs !== null || given || process.env.CI === "true"
  ? null
  : "no PostgreSQL server here: install postgresql (apt-get install postgresql), or set TEST_DATABASE_URL";

/**
 * The same for suites that need a server of their own: one from the environment may have other
 * settings.
 */
export const ownPostgresMissing: string | null = programs !== null || process.env.CI === "true"
  ? null
  : "no PostgreSQL server here: install postgresql (apt-get install postgresql)";

/**
 * A fresh database, on the server that TEST_DATABASE_URL names, else on one that is started for it.
 */
export async function startPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  return given && options.tls === undefined && !options.own ? await createDatabase(given) : await startServer(options);
}

async function createDatabase(url: string): Promise<TestPostgres> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const server: PostgresSettings = {
    host: hostname.replaceAll(/^\[|\]$/g, ""),
    port: Number(port || 5432),
    name: decodeURIComponent(pathname.slice(1)) || decodeURIComponent(username),
    user: decodeURIComponent(username),
    password: password === "" ? null : decodeURIComponent(password),
    sslMode: "prefer",
    ca: null,
  };
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const admin = superuser(server);
  await admin.unsafe(`create database ${name}`);
  const settings = { ...server, name };
  const sql = superuser(settings);
  const dispose = async () => {
    await sql.end({ timeout: 1 });
    await admin.unsafe(`drop database ${name} with (force)`);
    await admin.end();
  };
  const notOurs = () =>
    Promise.reject(new TypeError("The server of TEST_DATABASE_URL is not for crashing: ask for an own one"));
  return {
    settings,
    sql,
    pid: null,
    crash: notOurs,
    restart: notOurs,
    own: () => {},
    requirePassword: notOurs,
    [Symbol.asyncDispose]: dispose,
  };
}

function superuser({ host, port, name, user, password }: PostgresSettings): postgres.Sql {
  return postgres({
    host,
    port,
    database: name,
    user,
    password: password ?? "",
    ssl: "prefer",
    max: 5,
    onnotice: () => {},
    connection: { application_name: "tests" },
  });
}

async function startServer(
  { tls, locale = "C", settings: more = [], apart = false }: TestPostgresOptions,
): Promise<TestPostgres> {
  const bin = programs;
  if (bin === null) throw new Error("No PostgreSQL server here: install postgresql, or set TEST_DATABASE_URL");
  const folder = mkdtempSync(join(tmpdir(), "test-postgres-"));
  const owner = unprivileged();
  if (owner !== null) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, "data");
  // With its owner and its rights.
  execFileSync("cp", ["-Rp", join(await madeCluster(bin, locale, owner), "data"), data]);
  if (tls !== undefined) installCertificate(folder, tls, owner);
  const port = await freePort();
  const begin = async (): Promise<ChildProcess> => {
    const started = spawn(join(bin, "postgres"), serverArguments(folder, port, tls !== undefined, more), {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      detached: apart,
      ...owner,
    });
    await untilReady(started);
    return started;
  };
  const settings = {
    host: "127.0.0.1",
    port,
    name: "postgres",
    user: "postgres",
    password: null,
    sslMode: "prefer",
    ca: null,
  } as const;
  let server = await begin();
  // It must not stay behind where the tests end without disposing of it.
  const abandon = () => server.kill("SIGQUIT");
  process.once("exit", abandon);
  const sql = superuser(settings);
  return {
    settings,
    sql,
    get pid() {
      return server.pid ?? null;
    },
    crash: () => stop(server, "SIGQUIT"),
    restart: async () => void (server = await begin()),
    own: (path) => owner === null || chownSync(path, owner.uid, owner.gid),
    async requirePassword(role) {
      const path = join(data, "pg_hba.conf");
      writeFileSync(path, `host all ${role} all scram-sha-256\n${readFileSync(path, "utf8")}`);
      await sql`select pg_reload_conf()`;
    },
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 1 });
      // "Fast" ends connections that a test left open.
      await stop(server, "SIGINT");
      process.off("exit", abandon);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The folder with the data of a new server, as `data`. Copying it takes less than making it. */
async function madeCluster(bin: string, locale: string, owner: Owner | null): Promise<string> {
  const version = execFileSync(join(bin, "initdb"), ["--version"], { encoding: "utf8" });
  // A user cannot read the data of another.
  const name = `postgres-${version.replaceAll(/^[^\d]+|[^\w.]+$/g, "").replaceAll(/[^\w.]+/g, "-")}-of-${
    process.getuid?.() ?? ""
  }${locale === "C" ? "" : `-${locale}`}`;
  return await madeOnce(name, (folder) => {
    // The owner may not be allowed to look into the project.
    const work = mkdtempSync(join(tmpdir(), "test-initdb-"));
    if (owner !== null) chownSync(work, owner.uid, owner.gid);
    try {
      const data = join(work, "data");
      const init = ["--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync"];
      execFileSync(join(bin, "initdb"), [...init, `--locale=${locale}`], { cwd: work, stdio: "ignore", ...owner });
      execFileSync("cp", ["-Rp", data, folder]);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    return Promise.resolve();
  });
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL and PgBouncer refuse to run as root. */
export function unprivileged(): Owner | null {
  if (process.getuid?.() !== 0) return null;
  const id = (what: string) => Number(execFileSync("id", [what, "nobody"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

function installCertificate(folder: string, tls: { cert: string; key: string }, owner: Owner | null): void {
  for (const [name, text] of [["server.crt", tls.cert], ["server.key", tls.key]] as const) {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  }
}

function serverArguments(folder: string, port: number, tls: boolean, more: readonly string[]): string[] {
  const certificate = ["ssl=on", `ssl_cert_file=${folder}/server.crt`, `ssl_key_file=${folder}/server.key`];
  const settings = [
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${folder}`,
    // These tests crash programs, never the machine.
    "fsync=off",
    "max_connections=50",
    // Data stays unwritten for long enough, unless a test asks for the write.
    "wal_writer_delay=10s",
    "logging_collector=off",
    "lc_messages=C",
    ...(tls ? certificate : []),
    ...more,
  ];
  return ["-D", join(folder, "data"), "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])];
}

async function untilReady(server: ChildProcess): Promise<void> {
  let log = "";
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log += text;
    if (log.includes("ready to accept connections")) resolve();
  });
  server.once("exit", () => reject(new Error(`PostgreSQL did not start:\n${log}`)));
  await promise;
  log = "";
}

async function stop(server: ChildProcess, signal: "SIGINT" | "SIGQUIT"): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, "exit");
  server.kill(signal);
  await exited;
}

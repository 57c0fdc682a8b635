import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import postgres from "postgres";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { freePort } from "../../tools/free_ports.ts";
import { eventually } from "./eventually.ts";
import { unprivileged } from "./postgres.ts";

/** The real PgBouncer in front of a server. Disposing of it ends it. */
export interface TestPgbouncer extends AsyncDisposable {
  /** The server's settings, with PgBouncer's port. */
  readonly settings: PostgresSettings;
  /** Its log so far. */
  readonly log: () => string;
  /** Sends a command to its console, such as `pause`. */
  command(text: string): Promise<readonly object[]>;
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface TestPgbouncerOptions {
  /** Databases by name, each with more settings for PgBouncer's connection, such as `user=…`. */
  readonly databases?: Readonly<Record<string, string>>;
  /** Lines of its configuration. They override those of the tests. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

// Debian puts it into a folder that only root's PATH has.
const env = { ...process.env, PATH: `${process.env.PATH ?? ""}${delimiter}/usr/sbin` };
const version = spawnSync("pgbouncer", ["--version"], { encoding: "utf8", env }).stdout;

/**
 * Why this machine has no PgBouncer, for a suite that then skips its tests; null where it has one.
 * Always null under CI: nobody would notice skipped tests there.
 */
export const pgbouncerMissing: string | null = version || process.env.CI === "true"
  ? null
  : "no PgBouncer here: install pgbouncer (apt-get install pgbouncer)";

/**
 * PgBouncer in transaction mode with two connections to the server. So one client may get the
 * connection of another.
 */
export async function startPgbouncer(
  { host, port: serverPort, ...server }: PostgresSettings,
  { databases = {}, settings: more = {} }: TestPgbouncerOptions = {},
): Promise<TestPgbouncer> {
  const folder = mkdtempSync(join(tmpdir(), "test-pgbouncer-"));
  const owner = unprivileged();
  const port = await freePort();
  const users = join(folder, "users.txt");
  const configuration = join(folder, "pgbouncer.ini");
  const write = (path: string, text: string) => {
    writeFileSync(path, text);
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  };
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: "",
    auth_type: "trust",
    auth_file: users,
    admin_users: "console",
    pool_mode: "transaction",
    default_pool_size: 2,
    // The last client in the queue is served last, so that clients change their connections.
    server_round_robin: 1,
    server_login_retry: 1,
    ...more,
  };
  const lines = (entries: object) => Object.entries(entries).map(([name, value]) => `${name} = ${value}`).join("\n");
  const target = (extra: string) => `host=${host} port=${serverPort} ${extra}`;
  const targets = Object.entries({ ...databases, "*": "" }).map(([name, extra]) => [name, target(extra)]);
  write(users, `"${server.user}" "${server.password ?? ""}"\n"console" ""\n`);
  write(configuration, `[databases]\n${lines(Object.fromEntries(targets))}\n[pgbouncer]\n${lines(settings)}\n`);
  if (owner !== null) chownSync(folder, owner.uid, owner.gid);
  let log = "";
  const begin = async (): Promise<ChildProcess> => {
    const started = spawn("pgbouncer", [configuration], {
      cwd: folder,
      env,
      stdio: ["ignore", "ignore", "pipe"],
      ...owner,
    });
    started.stderr?.setEncoding("utf8").on("data", (text: string) => log += text);
    await eventually(async () => {
      if (started.exitCode !== null) throw new Error(`PgBouncer did not start:\n${log}`);
      return await answers(port);
    }, () => `PgBouncer did not listen:\n${log}`);
    return started;
  };
  let running = await begin();
  // It must not stay behind where the tests end without disposing of it.
  const abandon = () => running.kill("SIGKILL");
  process.once("exit", abandon);
  const kill = async () => {
    if (running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, "exit");
    running.kill("SIGKILL");
    await exited;
  };
  return {
    settings: { ...server, host: "127.0.0.1", port },
    log: () => log,
    async command(text) {
      const sql = postgres({
        host: "127.0.0.1",
        port,
        database: "pgbouncer",
        user: "console",
        max: 1,
        fetch_types: false,
      });
      try {
        return await sql.unsafe(text);
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
    kill,
    start: async () => void (running = await begin()),
    async [Symbol.asyncDispose]() {
      await kill();
      process.off("exit", abandon);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

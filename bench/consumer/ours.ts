import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Arena } from "./arena.ts";
import { dropTables, newTable, steadyPart, TOPIC, untilStored } from "./arena.ts";
import { type Child, startChild } from "./child.ts";
import { startClock } from "./clock.ts";
import type { Contestant } from "./contest.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export type Runtime = "node" | "deno";
export type Client = "librdkafka" | "javascript";

/** Variables whose effect is measured, so that the programs inherit them; no other is a setting. */
export const MEASURED = ["NODE_OPTIONS", "DB_BATCH_SIZE"] as const;

/** What the programs inherit of the bench's environment. */
const INHERITED = ["PATH", "HOME", "DENO_DIR", "NODE_EXTRA_CA_CERTS", "TMPDIR", ...MEASURED];

const COMMANDS: Readonly<Record<Runtime, readonly string[]>> = {
  node: [process.execPath, "--experimental-strip-types", "consumer.ts"],
  deno: ["deno", "run", "-q", "-P=consumer", "consumer.ts"],
};

/** The consumer as a user runs it, with its default settings. */
export function startConsumer(arena: Arena, runtime: Runtime, client: Client, table: string, topic = TOPIC): Child {
  const { host, port, name, user } = arena.server.settings;
  const args = [
    ...["--kafka-client", client, "--kafka-bootstrap-servers", arena.broker.plain, "--kafka-topic", topic],
    ...["--kafka-group", table, "--db-table", table],
    ...["--db-host", host, "--db-port", String(port), "--db-name", name, "--db-user", user, "--db-ssl-mode", "disable"],
  ];
  const env = Object.fromEntries(INHERITED.map((name) => [name, process.env[name]]));
  return startChild([...COMMANDS[runtime], ...args], join(arena.folder, `${table}.log`), { cwd: ROOT, env });
}

/** From the start of the process (or of all, in one group) to the last row. */
export function ours(runtime: Runtime, client: Client, processes = 1): Contestant {
  const how = `${runtime}-${client}`;
  return {
    name: processes === 1 ? how : `${how}-${processes}`,
    kind: "ours",
    what: `consumer.ts on ${runtime} with ${client}${processes === 1 ? "" : `, ${processes} processes in one group`}`,
    async run(arena) {
      const table = await newTable(arena, `${runtime}_${client}_${processes}`);
      await using stack = new AsyncDisposableStack();
      const children = Array.from({ length: processes }, () => {
        return stack.use(startConsumer(arena, runtime, client, table.name));
      });
      const clock = startClock(arena, ...children.map(({ pid }) => pid));
      const failure = Promise.race(
        children.map(({ ended }) => ended.then(() => Promise.reject(new Error("It ended")))),
      );
      await Promise.race([untilStored(arena, table), failure]);
      const figures = { ...clock.stop(), steady: await steadyPart(arena, table) };
      await stack.disposeAsync();
      await dropTables(arena, table);
      return figures;
    },
  };
}

import { once } from "node:events";
import { open } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { METRIC_FIELDS } from "../../lib/metric.ts";
import { type Arena, BEGIN, CHUNK, dropTables, newTable, steadyPart } from "./arena.ts";
import { startChild } from "./child.ts";
import { startClock } from "./clock.ts";
import type { Contestant } from "./contest.ts";
import { makeMetric } from "./metrics.ts";
import type { LoopTask } from "./statement_loop.ts";

/** `psql \copy` of the same rows from a file: the fastest that a client can do. */
export const copy: Contestant = {
  name: "copy",
  kind: "yardstick",
  what: "psql \\copy of the same rows from a file",
  async run(arena) {
    const file = join(arena.folder, "rows.txt");
    await writeRows(file, arena);
    const table = await newTable(arena, "copied");
    const { host, port, user, name } = arena.server.settings;
    const address = ["-h", host, "-p", String(port), "-U", user, "-d", name];
    const command = ["psql", "-X", "-q", ...address, "-c", copyCommand(table.name, file)];
    await using psql = startChild(command, join(arena.folder, "copy.log"));
    const clock = startClock(arena, psql.pid);
    await psql.ended;
    const figures = { ...clock.stop(), steady: await steadyPart(arena, table) };
    await dropTables(arena, table);
    return figures;
  },
};

/** Names the columns: the table has others too, which the file does not fill. */
export function copyCommand(table: string, file: string): string {
  return `\\copy ${table} (${METRIC_FIELDS.join(", ")}) from '${file}'`;
}

/** The rows in the text format of COPY: nothing in them needs an escape. */
async function writeRows(path: string, { rows, signal }: Arena): Promise<void> {
  await using file = await open(path, "w");
  for (let from = 0; from < rows; from += CHUNK) {
    signal.throwIfAborted();
    const lines = Array.from({ length: Math.min(CHUNK, rows - from) }, (_, i) => {
      const metric = makeMetric(from + i, BEGIN + from + i);
      return `${METRIC_FIELDS.map((field) => metric[field] ?? "\\N").join("\t")}\n`;
    });
    await file.write(lines.join(""));
  }
}

/** The flush statement alone, fed from memory: what the client library and the statement can do at best. */
const statementInto = (
  name: string,
  what: string,
  { partition = "none", incidents = false }: { readonly partition?: "month" | "none"; readonly incidents?: boolean } =
    {},
): Contestant => ({
  name,
  kind: "yardstick",
  what: `decoding and the flush statement in a bare loop, fed from memory${what}`,
  async run(arena) {
    const table = await newTable(arena, "looped", partition);
    const loop = fileURLToPath(new URL("statement_loop.ts", import.meta.url));
    const task: LoopTask = { settings: arena.server.settings, table: table.name, rows: arena.rows, incidents };
    const command = [process.execPath, loop, JSON.stringify(task)];
    await using child = startChild(command, join(arena.folder, "statement.log"), { ipc: true });
    await Promise.race([once(child.process, "message", { signal: arena.signal }), child.ended]);
    const clock = startClock(arena, child.pid);
    child.process.send("go");
    await child.ended;
    const figures = { ...clock.stop(), steady: await steadyPart(arena, table) };
    await dropTables(arena, table);
    return figures;
  },
});

export const statement = statementInto("statement", "");
/** The same with incidents, of which none begins or ends. */
export const statementWithIncidents = statementInto("statement-incidents", ", with incidents", { incidents: true });
/** The same, as a new table is: with a part for each month. */
export const statementIntoParts = statementInto("statement-parts", ", into a table with parts", { partition: "month" });

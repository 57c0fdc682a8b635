// The flush statement in a bare loop: started by yardsticks.ts, says when its messages are in
// memory, begins when told to.
import { once } from "node:events";
import process from "node:process";
import type { IncidentSettings } from "../../lib/config/settings.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { ReceivedEntry, Store } from "../../lib/postgres/store.ts";
import { BEGIN } from "./arena.ts";
import { makeMetric, toMessage } from "./metrics.ts";

export interface LoopTask {
  readonly settings: PostgresSettings;
  readonly table: string;
  readonly rows: number;
  /** True if incidents are written, by the default rules. */
  readonly incidents: boolean;
}

/** Rows a statement: what the consumer writes at a time when it is behind. */
const BATCH = 5_000;
const RULES: IncidentSettings = { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 };

if (process.send !== undefined) await loop(JSON.parse(process.argv[2] as string));

async function loop({ settings, table, rows, incidents }: LoopTask): Promise<void> {
  const source = { topic: "memory", topicId: "memory" };
  const encoder = new TextEncoder();
  const values = Array.from({ length: rows }, (_, n) => encoder.encode(toMessage(makeMetric(n, BEGIN + n)).value));
  await using database = openPostgres(settings);
  const store = await Store.open(database, { schema: null, name: table }, incidents ? { incidents: RULES } : {});
  await store.marks.claim(source, new Map([[0, 0]]));
  process.send?.("ready");
  await once(process, "message");
  for (let from = 0; from < rows; from += BATCH) {
    const next = Math.min(from + BATCH, rows);
    const entries = values.slice(from, next).map((value, i) => {
      return new ReceivedEntry({ partition: 0, offset: from + i, key: null, value, timestamp: BEGIN });
    });
    const outcome = await store.flush(source, new Map([[0, { start: from, next }]]), entries);
    if (outcome !== "stored") throw new Error("The loop's mark has moved");
  }
  process.disconnect();
}

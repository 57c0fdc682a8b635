// The flush statement in a bare loop: started by yardsticks.ts, says when its messages are in
// memory, begins when told to.
import { once } from "node:events";
import process from "node:process";
import type { IncidentSettings } from "../../lib/config/settings.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { ReceivedEntry, Store } from "../../lib/postgres/store.ts";
import { BEGIN } from "./arena.ts";
import { ADDRESSES, makeMetric, toMessage } from "./metrics.ts";

export interface LoopTask {
  readonly settings: PostgresSettings;
  readonly table: string;
  readonly rows: number;
  /** True if incidents are written, by the default rules. */
  readonly incidents: boolean;
}

/** Rows a statement: what the consumer writes at a time when it is behind. */
const BATCH = 5_000;
/**
 * Rows stored beforehand, which do not count: so the outages of the sites that are down have begun,
 * and the consumer knows all addresses, as it does after its first minutes.
 */
const KNOWN = 2 * ADDRESSES;
const SOURCE = { topic: "memory", topicId: "memory" };
const RULES: IncidentSettings = { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 };

if (process.send !== undefined) await loop(JSON.parse(process.argv[2] as string));

async function loop({ settings, table, rows, incidents }: LoopTask): Promise<void> {
  const encoder = new TextEncoder();
  const values = Array.from({ length: KNOWN + rows }, (_, n) => {
    return encoder.encode(toMessage(makeMetric(n, BEGIN + n)).value);
  });
  await using database = openPostgres(settings);
  const name = { schema: null, name: table };
  const store = await Store.open(database, name, incidents ? { incidents: RULES } : {});
  await store.marks.claim(SOURCE, new Map([[0, 0]]));
  await storeRows(store, values, 0, KNOWN);
  await database.query(`truncate ${quoteTables(name).main}`);
  process.send?.("ready");
  await once(process, "message");
  await storeRows(store, values, KNOWN, values.length);
  process.disconnect();
}

async function storeRows(store: Store, values: readonly Uint8Array[], first: number, end: number): Promise<void> {
  for (let from = first; from < end; from += BATCH) {
    const next = Math.min(from + BATCH, end);
    const entries = values.slice(from, next).map((value, i) => {
      return new ReceivedEntry({ partition: 0, offset: from + i, key: null, value, timestamp: BEGIN });
    });
    const outcome = await store.flush(SOURCE, new Map([[0, { start: from, next }]]), entries);
    if (outcome !== "stored") throw new Error("The loop's mark has moved");
  }
}

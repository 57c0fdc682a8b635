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

async function loop({ settings, table, rows, incidents }: LoopTask): Promise<void> {
  const batches = Array.from({ length: Math.ceil((KNOWN + rows) / BATCH) }, (_, n) => {
    return new Batch(n * BATCH, Math.min((n + 1) * BATCH, KNOWN + rows));
  });
  await using database = openPostgres(settings);
  const name = { schema: null, name: table };
  const store = await Store.open(database, name, incidents ? { incidents: RULES } : {});
  await store.marks.claim(SOURCE, new Map([[0, 0]]));
  const known = KNOWN / BATCH;
  for (const batch of batches.slice(0, known)) await batch.store(store);
  await database.query(`truncate ${quoteTables(name).main}`);
  process.send?.("ready");
  await once(process, "message");
  for (const batch of batches.slice(known)) await batch.store(store);
  process.disconnect();
}

/**
 * Messages that wait in memory: their bytes only. A million objects would have to be marked each
 * time that memory is cleared up.
 */
class Batch {
  readonly #start: number;
  readonly #next: number;
  readonly #bytes: Buffer;
  readonly #ends: Int32Array;

  /** Of the metrics with these numbers. */
  constructor(start: number, next: number) {
    [this.#start, this.#next] = [start, next];
    const values = Array.from({ length: next - start }, (_, i) => {
      return Buffer.from(toMessage(makeMetric(start + i, BEGIN + start + i)).value);
    });
    let end = 0;
    this.#ends = Int32Array.from(values, ({ length }) => end += length);
    this.#bytes = Buffer.concat(values);
  }

  async store(store: Store): Promise<void> {
    const entries = Array.from(this.#ends, (end, i) => {
      const value = this.#bytes.subarray(this.#ends[i - 1] ?? 0, end);
      return new ReceivedEntry({ partition: 0, offset: this.#start + i, key: null, value, timestamp: BEGIN });
    });
    const ranges = new Map([[0, { start: this.#start, next: this.#next }]]);
    if (await store.flush(SOURCE, ranges, entries) !== "stored") throw new Error("The loop's mark has moved");
  }
}

if (process.send !== undefined) await loop(JSON.parse(process.argv[2] as string));

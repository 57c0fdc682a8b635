import { setTimeout as delay } from "node:timers/promises";
import { loadClient } from "../../lib/kafka/access.ts";
import { type Arena, dropTables, newTable, PARTITIONS } from "./arena.ts";
import { quantile } from "./contest.ts";
import { makeMetric, toMessage } from "./metrics.ts";
import { type Client, type Runtime, startConsumer } from "./ours.ts";

/** Metrics a second, and milliseconds between two sends. */
const RATE = 1_000;
const SEND_EVERY = 10;
const SECONDS = 10;
/** Metrics sent before the counting begins: the consumer joins its group meanwhile. */
const WARM_UP = 3_000;

/** Seconds from `checked_at` to the commit of the row, at 1,000 metrics a second. */
export interface Freshness {
  readonly name: string;
  readonly p50: number;
  readonly p99: number;
}

/** The server keeps the time of each commit (track_commit_timestamp), so nobody has to look for the rows. */
export async function measureFreshness(arena: Arena, runtime: Runtime, client: Client): Promise<Freshness> {
  const topic = `live-${runtime}-${client}`;
  const table = await newTable(arena, `live_${runtime}_${client}`);
  const library = await loadClient("auto");
  const options = { bootstrapServers: [arena.broker.plain], topic, partitions: PARTITIONS };
  await using producer = await library.openProducer(options, () => {}, arena.signal);
  await using _consumer = startConsumer(arena, runtime, client, table.name, topic);
  const total = WARM_UP + RATE * SECONDS;
  const began = Date.now();
  for (let sent = 0; sent < total;) {
    await delay(SEND_EVERY, undefined, arena);
    const due = Math.min(total, Math.floor((Date.now() - began) / 1000 * RATE));
    await producer.send(Array.from({ length: due - sent }, (_, i) => toMessage(makeMetric(sent + i, Date.now()))));
    sent = due;
  }
  const { sql } = arena.server;
  const stored = async () => Number((await sql.unsafe(`select count(*) from ${table.name}`))[0]?.count);
  while (await stored() < total) await delay(SEND_EVERY, undefined, arena);
  const rows = await sql.unsafe<{ age: number }[]>(
    `select extract(epoch from pg_xact_commit_timestamp(xmin) - checked_at)::float8 as age
     from ${table.name} where checked_at > to_timestamp(${(began + WARM_UP / RATE * 1000) / 1000})`,
  );
  const ages = rows.map(({ age }) => age);
  await dropTables(arena, table);
  return { name: `${runtime}-${client}`, p50: quantile(ages, 0.5), p99: quantile(ages, 0.99) };
}

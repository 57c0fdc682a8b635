import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { TableName } from "../../lib/config/setting_types.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import type { Assignment } from "../../lib/kafka/kafka.ts";
import { spanOf } from "../../lib/postgres/part_spans.ts";
import { newPartSql } from "../../lib/postgres/parts.ts";
import { creation, quoteTables } from "../../lib/postgres/schema.ts";
import { canRunKafka, temporaryKafka } from "../../tests/support/kafka.ts";
import { ownPostgresMissing, startPostgres, type TestPostgres } from "../../tests/support/postgres.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import type { Steady } from "./contest.ts";
import { makeMetric, toMessage } from "./metrics.ts";

export const PARTITIONS = 8;
export const TOPIC = "metrics";
/** Metrics made at a time. */
export const CHUNK = 10_000;
/** One check a millisecond from here on. */
export const BEGIN = Date.parse("2026-01-01T00:00:00Z");

/** As on a server of its own: what is committed is on the disk, unless the connection says otherwise. */
export const SERVER_SETTINGS = [
  "fsync=on",
  "shared_buffers=1GB",
  "max_wal_size=8GB",
  "checkpoint_timeout=15min",
  "wal_writer_delay=200ms",
  "track_commit_timestamp=on",
] as const;

/** A topic full of metrics, a database to bring them to, and a folder for logs and files. */
export interface Arena {
  readonly rows: number;
  readonly broker: KafkaServer;
  readonly server: TestPostgres;
  /** The server's process: its connections are children of it. */
  readonly serverPid: number;
  readonly folder: string;
  /** Aborts when the bench is to end. */
  readonly signal: AbortSignal;
}

/**
 * Starts a broker and a database, and loads the topic. `locale`: by whose rules the database sorts.
 * Both end, and all files go, when the arena is disposed of.
 */
export async function openArena(rows: number, signal: AbortSignal, locale = "C"): Promise<Arena & AsyncDisposable> {
  if (ownPostgresMissing !== null) throw new Error(ownPostgresMissing);
  if (!canRunKafka()) throw new Error("The bench needs a Kafka broker");
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bench-consumer-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const broker = stack.use(await temporaryKafka());
  const server = stack.use(await startPostgres({ own: true, locale, settings: SERVER_SETTINGS }));
  const arena = { rows, broker, server, serverPid: server.pid as number, folder, signal };
  await loadTopic(arena);
  await joinOnce(arena);
  const kept = stack.move();
  return { ...arena, [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose]() };
}

async function loadTopic({ rows, broker, signal }: Arena): Promise<void> {
  const client = await loadClient("auto");
  const options = { bootstrapServers: [broker.plain], topic: TOPIC, partitions: PARTITIONS };
  await using producer = await client.openProducer(options, () => {}, signal);
  for (let from = 0; from < rows; from += CHUNK) {
    signal.throwIfAborted();
    const count = Math.min(CHUNK, rows - from);
    await producer.send(Array.from({ length: count }, (_, i) => toMessage(makeMetric(from + i, BEGIN + from + i))));
  }
}

/**
 * The first group of a cluster waits some seconds for the broker: none of those who are measured
 * shall.
 */
async function joinOnce({ broker, signal }: Arena): Promise<void> {
  const client = await loadClient("javascript");
  const options = { bootstrapServers: [broker.plain], topic: TOPIC, group: "first", start: "earliest" as const };
  await using consumer = await client.openConsumer(options, () => {}, signal);
  const starts = ({ partitions }: Assignment) => {
    return Promise.resolve(
      new Map(partitions.map(({ partition, logStart }) => [partition, { offset: logStart, epoch: null }])),
    );
  };
  for await (const _session of consumer.readings(starts, signal)) break;
}

/**
 * Makes an empty table with its index, and lets the server catch its breath: nobody pays for what
 * the one before left to do.
 */
export async function newTable(
  { server }: Arena,
  name: string,
  partition: "month" | "none" = "none",
): Promise<TableName> {
  const table = { schema: null, name };
  for (const statement of creation(table, partition).main) await server.sql.unsafe(statement);
  if (partition === "month") await server.sql.unsafe(newPartSql(table, partition, spanOf(partition, BEGIN)));
  await server.sql.unsafe("checkpoint");
  return table;
}

export async function dropTables({ server }: Arena, table: TableName): Promise<void> {
  const { main, offsets, rejected, incidents, notifications } = quoteTables(table);
  await server.sql.unsafe(`drop table if exists ${main}, ${offsets}, ${rejected}, ${incidents}, ${notifications}`);
}

/**
 * Bytes of a row in the table, a little less than the smallest: before there are so many, counting
 * would only disturb.
 */
const ROW_BYTES = 150;
const LOOK_EVERY = 50;

/** Waits until the table holds all rows. */
export async function untilStored(arena: Arena, { name }: TableName): Promise<void> {
  await untilSize(arena, name, arena.rows * ROW_BYTES);
  for (let count = 0; count !== arena.rows;) {
    await delay(LOOK_EVERY, undefined, arena);
    count = await ask(arena, `(select count(*) from ${name})`);
    if (count > arena.rows) throw new Error(`${name} has ${count} rows, more than there are metrics`);
  }
}

/** Tells by the times of the commits how fast the rows came, whatever the start-up took. */
export async function steadyPart({ server }: Arena, { name }: TableName): Promise<Steady | null> {
  const [found] = await server.sql.unsafe<Steady[]>(
    `with commits as (
       select pg_xact_commit_timestamp(xmin) as at, count(*) as rows from ${name} group by xmin
     )
     select (sum(rows) - (array_agg(rows order by at))[1])::float8 as rows,
       extract(epoch from max(at) - min(at))::float8 as seconds
     from commits`,
  );
  return found === undefined || found.seconds === 0 ? null : found;
}

/** Waits for the table's first row. */
export async function untilBegun(arena: Arena, { name }: TableName): Promise<void> {
  await untilSize(arena, name, 1);
}

async function untilSize(arena: Arena, name: string, size: number): Promise<void> {
  while (await ask(arena, `pg_relation_size('${name}')`) < size) await delay(LOOK_EVERY, undefined, arena);
}

async function ask({ server }: Arena, question: string): Promise<number> {
  const [found] = await server.sql.unsafe<{ answer: string }[]>(`select ${question} as answer`);
  return Number(found?.answer);
}

// Kafka topic → batches → PostgreSQL table.
import process from "node:process";
import { Health } from "../async/health.ts";
import { retry } from "../async/retry.ts";
import { count } from "../config/count.ts";
import { type ConsumerSettings, readConsumerSettings } from "../config/settings.ts";
import { allUsable } from "../config/usage_error.ts";
import { planSource, type SourcePlan } from "../ingest/source.ts";
import { transfer } from "../ingest/transfer.ts";
import { describeStored } from "../monitoring/consumer_report.ts";
import { monitorConsumer } from "../monitoring/consumer_monitor.ts";
import { followKeys } from "../net/certificate_store.ts";
import { classifyError, explain } from "../postgres/database.ts";
import { type DatabasePlan, planDatabase } from "../postgres/database_plan.ts";
import { askEmbedded, QueryError, ResultPrinter } from "../postgres/query.ts";
import { quoteTables } from "../postgres/schema.ts";
import { schemaSql } from "../postgres/schema_text.ts";
import { Store } from "../postgres/store.ts";
import { type Program, runProgram } from "./program.ts";

/**
 * Seconds after the first signal until the consumer gives up messages that are not stored yet.
 * docs/settings.md gives 8 seconds to the whole drain: closing has the last of them. No timer
 * enforces that. `START_LIMIT` in program.ts ends only a start, and each part limits its own
 * closing: `CLOSE_LIMIT` in kafka/client_settings.ts, for example. A Kafka client that closes
 * slowly may take longer than the 8 seconds.
 */
const STORE_LIMIT = 7;

await runProgram("consumer", readConsumerSettings, async (settings, program) => {
  const { database: place, query, table } = settings;
  // Only --print-schema needs no database.
  if (place === null) return await program.print(schemaSql(table)).then(() => 0);
  if (query !== null && place.kind === "embedded") return await ask(place.directory, query, program);
  const [source, database] = await allUsable<[SourcePlan, DatabasePlan]>(planSource(settings), planDatabase(place));
  try {
    return await consume(settings, source, database, program);
  } catch (error) {
    if (!program.stop.aborted || classifyError(error) !== "wait") throw error;
    program.log.warn(`${explain(error)}; what was not stored ${source.isLasting ? "is still in Kafka" : "is lost"}`);
    return source.isLasting ? 0 : 1;
  }
}, explain);

/**
 * Carries metrics from the source to the table until a signal comes or the input ends. Gives the
 * exit code.
 */
async function consume(
  { table, batchSize, batchInterval, listen }: ConsumerSettings,
  source: SourcePlan,
  place: DatabasePlan,
  program: Program,
): Promise<number> {
  const { log, stop } = program;
  const health = new Health();
  await using monitor = await monitorConsumer(listen, {
    health,
    certificateStore: source.certificateStore,
    isMember: source.isLasting,
  }, log);
  const { events } = monitor;
  const name = quoteTables(table).main;
  const limits = { size: batchSize, interval: batchInterval };
  log.info(
    `${source.description} → ${name} in ${place.description}, ${batchSize} at a time or every ${batchInterval} s`,
  );
  followKeys([source.certificateStore, place.certificateStore], program);
  await using database = await place.open({ stop, log });
  health.note("PostgreSQL", "PostgreSQL was not reached yet");
  const store = await retry(() => Store.open(database, table, { batchSize, events }), {
    signal: stop,
    isPassing: (error) => classifyError(error) === "wait",
    onWait: events.waiting,
    onRecovery: events.recovered,
  });
  health.note("PostgreSQL", null);
  monitor.count(() => store.counters);
  for (const warning of store.warnings) log.warn(warning);
  if (database.remark != null) log.info(database.remark);
  await using consumer = await source.open((event) => log.warn(event), health, program);
  if (consumer !== null) {
    await transfer(consumer, store, { limits, stop, giveUp: program.afterStop(STORE_LIMIT), events });
    await source.finish(store);
  }
  const { rows, rejected, missedDropped } = store.counters;
  const missed = count(missedDropped, "missed check");
  const dropped = missedDropped === 0 ? "" : `, ${missed} left out: the table has no column error`;
  log.info(`${describeStored(rows)}, ${rejected} rejected${dropped}`);
  return 0;
}

/** Runs `--query`. Gives the exit code. */
async function ask(directory: string, query: string, { log, stop, print, complain }: Program): Promise<number> {
  const printer = new ResultPrinter(print, { isTable: process.stdout.isTTY });
  const onWait = () => log.info(`${directory} is in use by a program that does not answer yet: waiting`);
  try {
    await askEmbedded(directory, query, { signal: stop, onWait, handOver: (part) => printer.take(part) });
    await printer.end();
    return 0;
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    complain(error.message);
    return 1;
  }
}

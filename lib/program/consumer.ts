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
import { startNotifier, testTargets } from "../monitoring/notify/notifier.ts";
import { monitorConsumer } from "../monitoring/consumer_monitor.ts";
import { followKeys } from "../net/certificate_store.ts";
import { classifyError, explain } from "../postgres/database.ts";
import { type DatabasePlan, planDatabase } from "../postgres/database_plan.ts";
import { askEmbedded, QueryError, ResultPrinter } from "../postgres/query.ts";
import { quoteTables } from "../postgres/schema.ts";
import { schemaSql } from "../postgres/schema_text.ts";
import { Store } from "../postgres/store.ts";
import { Page } from "../page/page.ts";
import { type Program, runProgram } from "./program.ts";
import { growHeapSlowly, keepNurserySmall } from "./start.js";

/**
 * Seconds after the first signal until the consumer gives up messages that are not stored yet. The
 * program ends at 8 seconds (`STOP_LIMIT` in program.ts): closing has the last of them.
 */
const STORE_LIMIT = 7;

// What loading has taken suffices for the batches under way.
keepNurserySmall();
growHeapSlowly();
// `runProgram` reads the settings, hands them over, and ends the process with the exit code.
await runProgram("consumer", readConsumerSettings, async (settings, program) => {
  const { database: place, query, table, partition, retention, notify, notifyTest } = settings;
  if (notifyTest) return await testTargets(notify.targets, program.print, program.stop) === 0 ? 0 : 1;
  // Only --print-schema needs no database.
  if (place === null) return await program.print(schemaSql(table, partition, retention)).then(() => 0);
  if (query !== null && place.kind === "embedded") return await ask(place.directory, query, program);
  const [source, database, page] = await allUsable<[SourcePlan, DatabasePlan, Page]>(
    planSource(settings),
    planDatabase(place),
    Page.plan(settings.page, program),
  );
  try {
    return await consume(settings, { source, place: database, page }, program);
  } catch (error) {
    return giveUp(error, source, program);
  }
}, explain);

/**
 * Says what becomes of messages that could not be stored before the stop. Gives the exit code.
 * Throws an error that has nothing to do with the stop.
 */
function giveUp(error: unknown, { isLasting }: SourcePlan, { log, stop, settled }: Program): number {
  if (!stop.aborted || classifyError(error) !== "wait") throw error;
  log.warn(`${explain(error)}; what was not stored ${isLasting ? "is still in Kafka" : "is lost"}`);
  return settled(isLasting ? 0 : 1);
}

/** What the settings lead to. */
interface Plans {
  readonly source: SourcePlan;
  readonly place: DatabasePlan;
  readonly page: Page;
}

/**
 * Carries metrics from the source to the table until a signal comes or the input ends. Gives the
 * exit code.
 */
async function consume(
  settings: ConsumerSettings,
  { source, place, page }: Plans,
  program: Program,
): Promise<number> {
  const { table, partition, retention, incidents, canaries, notify } = settings;
  const { batchSize, statementSize, batchInterval, listen } = settings;
  const { log, stop } = program;
  const health = new Health();
  await using monitor = await monitorConsumer(listen, {
    health,
    certificateStore: source.certificateStore,
    isMember: source.isLasting,
    namesHosts: settings.metricsHosts,
    site: page,
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
  const targets = notify.targets.map((target) => target.name);
  const options = { batchSize: statementSize, partition, retention, incidents, canaries, targets, events };
  const store = await retry(() => Store.open(database, table, options), {
    signal: stop,
    isPassing: (error) => classifyError(error) === "wait",
    onWait: events.waiting,
    onRecovery: events.recovered,
  });
  health.note("PostgreSQL", null);
  monitor.count(() => store.counters);
  for (const warning of store.warnings) log.warn(warning);
  if (database.remark != null) log.info(database.remark);
  const tell = (what: string, isTrouble: boolean) => isTrouble ? log.warn(what) : log.info(what);
  await using _retention = store.retain({ open: () => place.openBeside(database), tell });
  await using _packing = place.openForHours && store.packIndexes({ open: place.openForHours, tell });
  await using _rollUp = store.rollUpDays();
  await using _silence = store.watchSilence({ ...monitor.silence, open: () => place.openBeside(database) });
  await using _canaries = store.watchCanaries(monitor.canaries);
  await using _notifier = startNotifier(store, { ...notify, page: settings.page.url }, log);
  await using reader = place.openReader(database);
  page.read(store.reader(reader));
  monitor.readHosts(() => store.reader(reader).now());
  monitor.readUnknownPlaces(() => store.unknownPlaces);
  await using _files = page.write(store.reader(reader));
  await using consumer = await source.open((event) => log.warn(event), health, program);
  if (consumer !== null) {
    try {
      await transfer(consumer, store, { limits, stop, giveUp: program.afterStop(STORE_LIMIT), events });
      await source.finish(store);
    } catch (error) {
      // Before anything is closed, which may take its time.
      return giveUp(error, source, program);
    }
  }
  const { rows, rejected, missedDropped } = store.counters;
  const missed = count(missedDropped, "missed check");
  const dropped = missedDropped === 0 ? "" : `, ${missed} left out: the table has no column error`;
  log.info(`${describeStored(rows)}, ${rejected} rejected${dropped}`);
  return program.settled(0);
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

// Hosts file → due hosts → checks → Kafka topic.
import { watchBacklog } from "./lib/backlog.ts";
import { checks } from "./lib/checks.ts";
import { deliver, type Figures } from "./lib/delivery.ts";
import { dueHosts, everyHostOnce, firstDueTime } from "./lib/due.ts";
import { dueTimes } from "./lib/due_times.ts";
import type { Host } from "./lib/hosts.ts";
import { readHosts } from "./lib/hosts_file.ts";
import { openOutbox } from "./lib/outbox.ts";
import { type Program, runProgram } from "./lib/program.ts";
import { type ProducerSettings, readProducerSettings } from "./lib/settings.ts";
import { planSink, type SinkPlan } from "./lib/sink.ts";
import { allUsable } from "./lib/usage_error.ts";
import { USER_AGENT } from "./lib/version.ts";

/** Seconds after the first signal until checks, and until metrics on their way are given up: the end is at 8. */
const CHECKS_LIMIT = 6;
const DELIVERY_LIMIT = 7;
/** Seconds after the last check that `--once` waits for the delivery. */
const ONCE_LIMIT = 60;
/** Metrics that wait in memory while Kafka is away, some 50 MB; beyond that the oldest give way. */
const MOST_IN_MEMORY = 100_000;
/** Bytes of metrics that wait in a spool: some two million. */
const MOST_ON_DISK = 2 ** 30;

await runProgram("producer", readProducerSettings, async (settings, program) => {
  const [hosts, plan] = await allUsable<[readonly Host[], SinkPlan]>(
    readHosts(settings),
    planSink(settings, program.print),
  );
  if (settings.mode !== "check") return await produce(settings, hosts, plan, program);
  for (const text of dueTimes(hosts, Date.now())) await program.print(text);
  return 0;
});

/** Checks hosts and delivers the metrics, until a signal comes or, with --once, every host is checked. Gives the exit code. */
async function produce(
  settings: ProducerSettings,
  hosts: readonly Host[],
  plan: SinkPlan,
  { log, stop, afterStop }: Program,
): Promise<number> {
  const isOnce = settings.mode === "once";
  const mostInMemory = isOnce ? Infinity : MOST_IN_MEMORY;
  await using outbox = await openOutbox(settings, { mostInMemory, mostOnDisk: MOST_ON_DISK, events: log });
  log.info(`${settings.hostsFile}: ${count(hosts.length, "host")} → ${plan.description}; ${firstCheck(hosts, isOnce)}`);
  await using sink = plan.open((event) => log.warn(event));
  using _watch = watchBacklog(() => outbox.figures, log);
  const late = new AbortController();
  const failed = new AbortController();
  const giveUp = AbortSignal.any([afterStop(DELIVERY_LIMIT), late.signal]);
  const delivery = deliver(outbox, sink, giveUp).catch((error: unknown) => failed.abort(error));

  const due = (isOnce ? everyHostOnce : dueHosts)(hosts, AbortSignal.any([stop, failed.signal]));
  const noMoreChecks = AbortSignal.any([afterStop(CHECKS_LIMIT), failed.signal]);
  for await (const metric of checks(due, { ...settings, userAgent: USER_AGENT }, noMoreChecks)) outbox.push(metric);
  outbox.end();
  if (isOnce) setTimeout(() => late.abort(), ONCE_LIMIT * 1000);
  await delivery;
  await outbox.settle();

  const { figures } = outbox;
  const result = resultOf(figures);
  const isLost = figures.dropped > 0 || figures.waiting > figures.kept;
  // What waits on disk is not lost; but it is not what --once was asked for, unless it was told to stop.
  const isLate = isLost || (figures.kept > 0 && isOnce && !stop.aborted);
  if (failed.signal.aborted && !giveUp.aborted) log.error(`${(failed.signal.reason as Error).message} (${result})`);
  else if (isLate) log.error(giveUp.aborted ? `${result}: time is up for the others` : result);
  else log.info(result);
  return isLate || (failed.signal.aborted && !giveUp.aborted) ? 1 : 0;
}

function resultOf({ made, delivered, kept, dropped }: Figures): string {
  const parts = [`${count(made, "check")} made, ${count(delivered, "metric")} delivered`];
  if (kept > 0) parts.push(`${kept} in the spool for the next start`);
  if (dropped > 0) parts.push(`${dropped} dropped`);
  return parts.join(", ");
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function firstCheck(hosts: readonly Host[], isOnce: boolean): string {
  const now = Date.now();
  const first = isOnce ? now : firstDueTime(hosts, now);
  if (first === null) return "none of them belongs to this shard";
  return `the first check is due ${new Date(first).toISOString()}`;
}

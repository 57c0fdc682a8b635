// Hosts file → due hosts → checks → Kafka topic.
import { Bell } from "./lib/bell.ts";
import { Checks } from "./lib/checks.ts";
import { deliver } from "./lib/delivery.ts";
import { dueTimes } from "./lib/due_times.ts";
import type { Host } from "./lib/hosts.ts";
import { type HostsReading, readHosts, rereadHosts } from "./lib/hosts_file.ts";
import type { Log } from "./lib/log.ts";
import type { Metric } from "./lib/metric.ts";
import { type Program, runProgram } from "./lib/program.ts";
import { Queue } from "./lib/queue.ts";
import { type ProducerSettings, readProducerSettings } from "./lib/settings.ts";
import { planSink, type SinkPlan } from "./lib/sink.ts";
import { allUsable, UsageError } from "./lib/usage_error.ts";
import { USER_AGENT } from "./lib/version.ts";

/** Seconds after the first signal until checks, and until metrics on their way are given up: the end is at 8. */
const CHECKS_LIMIT = 6;
const DELIVERY_LIMIT = 7;
/** Seconds after the last check that `--once` waits for the delivery. */
const ONCE_LIMIT = 60;
/** Metrics that wait while Kafka is away, some 50 MB; beyond that the oldest give way. */
const MOST_WAITING = 100_000;

await runProgram("producer", readProducerSettings, async (settings, program) => {
  const [reading, plan] = await allUsable<[HostsReading, SinkPlan]>(
    readHosts(settings),
    planSink(settings, program.print),
  );
  if (settings.mode !== "check") return await produce(settings, reading, plan, program);
  for (const text of dueTimes(reading.hosts, Date.now())) await program.print(text);
  return 0;
});

/** Checks hosts and delivers the metrics, until a signal comes or, with --once, every host is checked. Gives the exit code. */
async function produce(
  settings: ProducerSettings,
  { hosts, digest }: HostsReading,
  plan: SinkPlan,
  { log, stop, afterStop, onHangUp }: Program,
): Promise<number> {
  const isOnce = settings.mode === "once";
  const late = new AbortController();
  const failed = new AbortController();
  const checks = new Checks(
    hosts,
    { ...settings, isOnce, userAgent: USER_AGENT },
    AbortSignal.any([stop, failed.signal]),
    AbortSignal.any([afterStop(CHECKS_LIMIT), failed.signal]),
  );
  log.info(`${settings.hostsFile}: ${count(hosts.length, "host")} → ${plan.description}; ${describeFirst(checks)}`);
  await using sink = plan.open((event) => log.warn(event));
  const queue = new Queue<Metric>(isOnce ? Infinity : MOST_WAITING);
  let [made, missed, delivered] = [0, 0, 0];
  const giveUp = AbortSignal.any([afterStop(DELIVERY_LIMIT), late.signal]);
  const delivery = deliver(queue, sink, (count) => delivered += count, giveUp)
    .catch((error: unknown) => failed.abort(error));

  if (!isOnce && settings.hostsFile !== "-") {
    const asked = new Bell();
    onHangUp(() => asked.ring());
    follow(rereadHosts(settings, digest, asked, stop), settings.hostsFile, checks, log)
      .catch((error: unknown) => failed.abort(error));
  }
  for await (const metric of checks) {
    if (metric.error === "missed") missed++;
    else made++;
    queue.push(metric);
  }
  queue.end();
  if (isOnce) setTimeout(() => late.abort(), ONCE_LIMIT * 1000);
  await delivery;

  const result = `${count(made, "check")} made${missed === 0 ? "" : `, ${missed} missed`}, ${
    count(delivered, "metric")
  } delivered`;
  const isFailed = failed.signal.aborted || delivered < made + missed;
  if (!isFailed) log.info(result);
  else if (giveUp.aborted) log.error(`${result}: time is up for the others`);
  else log.error(`${(failed.signal.reason as Error).message} (${result})`);
  return isFailed ? 1 : 0;
}

/** Checks the hosts of every new reading of the hosts file; one with anything wrong in it changes nothing. */
async function follow(
  readings: AsyncIterable<readonly Host[] | UsageError>,
  name: string,
  checks: Checks,
  log: Log,
): Promise<void> {
  for await (const reading of readings) {
    if (reading instanceof UsageError) {
      for (const problem of reading.problems) log.error(problem);
      log.warn(`${name}: not taken over, the hosts stay as they were`);
      continue;
    }
    const { added, removed, changed } = checks.replace(reading);
    log.info(
      `${name}: read again, ${count(reading.length, "host")}: ${added} added, ${removed} removed, ${changed} changed`,
    );
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function describeFirst({ firstDue }: Checks): string {
  if (firstDue === null) return "none of them belongs to this shard";
  return `the first check is due ${new Date(firstDue).toISOString()}`;
}

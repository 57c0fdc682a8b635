// Hosts file → due hosts → checks → Kafka topic.
import { checks } from "./lib/checks.ts";
import { deliver } from "./lib/delivery.ts";
import { dueHosts, everyHostOnce, firstDueTime } from "./lib/due.ts";
import { dueTimes } from "./lib/due_times.ts";
import type { Host } from "./lib/hosts.ts";
import { readHosts } from "./lib/hosts_file.ts";
import { openMatcher } from "./lib/matching.ts";
import type { Metric } from "./lib/metric.ts";
import { systemNames } from "./lib/names.ts";
import { isPrivateAddress } from "./lib/private_address.ts";
import { type Program, runProgram } from "./lib/program.ts";
import { Queue } from "./lib/queue.ts";
import { type ProducerSettings, readProducerSettings } from "./lib/settings.ts";
import { planSink, type SinkPlan } from "./lib/sink.ts";
import { allUsable } from "./lib/usage_error.ts";
import { USER_AGENT } from "./lib/version.ts";

/** Seconds after the first signal until checks, and until metrics on their way are given up: the end is at 8. */
const CHECKS_LIMIT = 6;
const DELIVERY_LIMIT = 7;
/** Seconds after the last check that `--once` waits for the delivery. */
const ONCE_LIMIT = 60;
/** Metrics that wait while Kafka is away, some 50 MB; beyond that the oldest give way. */
const MOST_WAITING = 100_000;

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
  log.info(`${settings.hostsFile}: ${count(hosts.length, "host")} → ${plan.description}; ${firstCheck(hosts, isOnce)}`);
  await using matcher = openMatcher({ isExpected: hosts.some(({ pattern }) => pattern !== null) });
  await using sink = plan.open((event) => log.warn(event));
  const late = new AbortController();
  const failed = new AbortController();
  const queue = new Queue<Metric>(isOnce ? Infinity : MOST_WAITING);
  let [made, delivered] = [0, 0];
  const giveUp = AbortSignal.any([afterStop(DELIVERY_LIMIT), late.signal]);
  const delivery = deliver(queue, sink, (count) => delivered += count, giveUp)
    .catch((error: unknown) => failed.abort(error));

  const due = (isOnce ? everyHostOnce : dueHosts)(hosts, AbortSignal.any([stop, failed.signal]));
  const noMoreChecks = AbortSignal.any([afterStop(CHECKS_LIMIT), failed.signal]);
  const isBlocked = settings.blockPrivateAddresses ? isPrivateAddress : null;
  const options = { ...settings, userAgent: USER_AGENT, names: systemNames(), isBlocked, matcher };
  for await (const metric of checks(due, options, noMoreChecks)) {
    made++;
    queue.push(metric);
  }
  queue.end();
  if (isOnce) setTimeout(() => late.abort(), ONCE_LIMIT * 1000);
  await delivery;

  const result = `${count(made, "check")} made, ${count(delivered, "metric")} delivered`;
  const isFailed = failed.signal.aborted || delivered < made;
  if (!isFailed) log.info(result);
  else if (giveUp.aborted) log.error(`${result}: time is up for the others`);
  else log.error(`${(failed.signal.reason as Error).message} (${result})`);
  return isFailed ? 1 : 0;
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

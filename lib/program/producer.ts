// Hosts file → due hosts → checks → Kafka topic.
import { Bell } from "../async/bell.ts";
import { Health } from "../async/health.ts";
import { runtimeAuthorities } from "../check/authorities.ts";
import { CheckRunner } from "../check/check_runner.ts";
import { CertificateJudge } from "../check/judgement.ts";
import { openMatcher } from "../check/matching.ts";
import { fitConcurrency, openableFor } from "../check/open_files.ts";
import { StandingsFile } from "../check/standings_file.ts";
import { count } from "../config/count.ts";
import { denoCertificatesFile, type ProducerSettings, readProducerSettings } from "../config/settings.ts";
import { allUsable, UsageError } from "../config/usage_error.ts";
import { USER_AGENT } from "../config/version.ts";
import { watchBacklog } from "../delivery/backlog.ts";
import { deliver, type Figures, untilKept } from "../delivery/delivery.ts";
import { openOutbox } from "../delivery/outbox.ts";
import { planSink, type SinkPlan } from "../delivery/sink.ts";
import { dueTimes } from "../hosts/due_times.ts";
import { type HostsReading, readHosts, rereadHosts } from "../hosts/hosts_file.ts";
import { monitorProducer, type ProducerMonitor } from "../monitoring/producer_monitor.ts";
import { followKeys, warnOfKeys } from "../net/certificate_store.ts";
import { systemResolver } from "../net/resolver.ts";
import { isPrivateAddress } from "../net/private_address.ts";
import { type Program, runProgram } from "./program.ts";

/**
 * Seconds after the first signal until checks, and until metrics on their way are given up: the end
 * is at 8.
 */
const CHECKS_LIMIT = 6;
const DELIVERY_LIMIT = 7;
/** Seconds after the last check that `--once` waits for the delivery. */
const ONCE_LIMIT = 60;
/** Metrics that wait in memory while Kafka is away, some 50 MB; beyond that the oldest give way. */
const MOST_IN_MEMORY = 100_000;
/** Bytes of metrics that wait in a spool: some two million. */
const MOST_ON_DISK = 2 ** 30;

await runProgram("producer", readProducerSettings, async (settings, program) => {
  const [reading, plan] = await allUsable<[HostsReading, SinkPlan]>(
    readHosts(settings),
    planSink(settings, program.print),
  );
  for (const warning of reading.warnings) program.log.warn(warning);
  if (settings.mode !== "check") return await produce(settings, reading, plan, program);
  warnOfKeys([plan.certificateStore], program.log);
  for (const text of dueTimes(reading.hosts, Date.now())) await program.print(text);
  return 0;
});

/**
 * Checks hosts and delivers the metrics, until a signal comes or, with --once, every host is
 * checked. Gives the exit code.
 */
async function produce(
  settings: ProducerSettings,
  reading: HostsReading,
  plan: SinkPlan,
  program: Program,
): Promise<number> {
  const { log, stop, afterStop } = program;
  const isOnce = settings.mode === "once";
  const { concurrency, warning } = fitConcurrency(settings.concurrency, openableFor(settings.concurrency));
  if (warning !== null) log.warn(warning);
  const [late, failed] = [new AbortController(), new AbortController()];
  await using matcher = openMatcher({ isExpected: reading.hosts.some(({ pattern }) => pattern !== null) });
  const isBlocked = settings.blockPrivateAddresses ? isPrivateAddress : null;
  const mostInMemory = isOnce ? Infinity : MOST_IN_MEMORY;
  await using outbox = await openOutbox(settings, { mostInMemory, mostOnDisk: MOST_ON_DISK, events: log });
  // In the spool's folder, which the outbox holds.
  const keepsStandings = settings.spool !== null && settings.kafka !== null && !isOnce;
  const standings = keepsStandings ? await StandingsFile.open(settings.spool) : null;
  const recall = standings === null ? undefined : (address: string) => standings.recall(address);
  const certificates = new CertificateJudge(runtimeAuthorities(denoCertificatesFile()));
  const route = { resolver: systemResolver(), isBlocked, certificates };
  const checks = new CheckRunner(
    reading.hosts,
    { recall, ...settings, ...route, concurrency, isOnce, userAgent: USER_AGENT, matcher },
    AbortSignal.any([stop, failed.signal]),
    AbortSignal.any([afterStop(CHECKS_LIMIT), failed.signal]),
  );
  const health = new Health();
  await using monitor = await monitorProducer(settings.listen, {
    checks,
    outbox,
    health,
    certificateStore: plan.certificateStore,
  }, log);
  const hosts = count(reading.hosts.length, "host");
  const hasCron = reading.hosts.some(({ frequency }) => frequency.kind === "cron");
  const zone = hasCron ? `; cron expressions are in ${settings.timeZone}` : "";
  log.info(`${settings.hostsFile}: ${hosts} → ${plan.description}; ${describeFirst(checks)}${zone}`);
  followKeys([plan.certificateStore], program);
  await using sink = plan.open((event) => log.warn(event), health);
  using _backlog = watchBacklog(() => outbox.figures, log);
  const giveUp = AbortSignal.any([afterStop(DELIVERY_LIMIT), late.signal]);
  const delivery = deliver(outbox, sink, giveUp).catch((error: unknown) => failed.abort(error));

  if (!isOnce && settings.hostsFile !== "-") {
    follow(settings, reading, checks, monitor, program).catch((error: unknown) => failed.abort(error));
  }
  const isChecked = new AbortController();
  const standingsKept = standings?.follow(() => checks.standings(), isChecked.signal);
  let missed = 0;
  for await (const metric of checks) {
    if (metric.error === "missed") missed++;
    monitor.see(metric);
    outbox.push(metric);
  }
  outbox.end();
  isChecked.abort();
  await standingsKept;
  if (isOnce) setTimeout(() => late.abort(), ONCE_LIMIT * 1000);
  const isDelivered = new AbortController();
  untilKept(outbox, stop, isDelivered.signal).then(() => late.abort(), () => {});
  await delivery;
  isDelivered.abort();
  await outbox.settle();

  const { figures } = outbox;
  const result = resultOf(figures, missed);
  const isLost = figures.dropped > 0 || figures.waiting > figures.kept;
  // What waits on disk is not lost; but it is not what --once was asked for, unless it was told to
  // stop.
  const isLate = isLost || (figures.kept > 0 && isOnce && !stop.aborted);
  const hasFailed = failed.signal.aborted && !giveUp.aborted;
  if (hasFailed) log.error(`${(failed.signal.reason as Error).message} (${result})`);
  else if (isLate) log.error(giveUp.aborted ? `${result}: time is up for the others` : result);
  else log.info(result);
  return isLate || hasFailed ? 1 : 0;
}

/**
 * Checks the hosts of every new reading of the hosts file; one with anything wrong in it changes
 * nothing.
 */
async function follow(
  settings: ProducerSettings,
  reading: HostsReading,
  checks: CheckRunner,
  monitor: ProducerMonitor,
  { log, stop, onHangUp }: Program,
): Promise<void> {
  const name = settings.hostsFile;
  const asked = new Bell();
  onHangUp(() => asked.ring());
  let known = reading.hosts;
  let isWrong = false;
  for await (const content of rereadHosts(settings, reading.digest, asked, stop)) {
    if (content instanceof UsageError) {
      for (const problem of content.problems) log.error(problem);
      log.warn(`${name}: not taken over, the hosts stay as they were`);
      isWrong = true;
      continue;
    }
    const { hosts, warnings } = content;
    for (const warning of warnings) log.warn(warning);
    const { added, removed, changed } = checks.replace(hosts);
    const kept = new Set(hosts.map(({ address }) => address));
    monitor.forget(known.map(({ address }) => address).filter((address) => !kept.has(address)));
    known = hosts;
    const news = `${name}: read again, ${
      count(hosts.length, "host")
    }: ${added} added, ${removed} removed, ${changed} changed`;
    // A trouble ends at the level at which it began.
    if (isWrong) log.warn(news);
    else log.info(news);
    isWrong = false;
  }
}

function resultOf({ made, delivered, kept, dropped }: Figures, missed: number): string {
  const parts = [`${count(made - missed, "check")} made`];
  if (missed > 0) parts.push(`${missed} missed`);
  parts.push(`${count(delivered, "metric")} delivered`);
  if (kept > 0) parts.push(`${kept} in the spool for the next start`);
  if (dropped > 0) parts.push(`${dropped} dropped`);
  return parts.join(", ");
}

function describeFirst({ firstDue }: CheckRunner): string {
  if (firstDue === null) return "none of them belongs to this shard";
  return `the first check is due ${new Date(firstDue).toISOString()}`;
}

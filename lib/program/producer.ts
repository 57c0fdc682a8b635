// Hosts file → due hosts → checks → Kafka topic.
import { Health } from "../async/health.ts";
import { CheckRunner } from "../check/check_runner.ts";
import { count } from "../config/count.ts";
import type { Environment } from "../config/environment.ts";
import { type Parsed, type ProducerSettings, readProducerSettings } from "../config/settings.ts";
import { allUsable, UsageError } from "../config/usage_error.ts";
import { watchBacklog } from "../delivery/backlog.ts";
import { deliver } from "../delivery/delivery.ts";
import { openOutbox, planSink, type SinkPlan } from "../delivery/setup.ts";
import { dueTimes } from "../hosts/due_times.ts";
import { type HostsReading, readHosts } from "../hosts/hosts_file.ts";
import { monitorProducer } from "../monitoring/producer_monitor.ts";
import { followKeys, warnOfKeys } from "../net/certificate_store.ts";
import { followHosts, type ReplaceHosts } from "./follow_hosts.ts";
import { GroupedHosts } from "./grouped_hosts.ts";
import { checkOptions, openPageMatcher, openStandings, openThreads, usableConcurrency } from "./producer_checks.ts";
import { ProducerShutdown } from "./producer_shutdown.ts";
import { type Program, runProgram } from "./program.ts";

// `runProgram` reads the settings, hands them over, and ends the process with the exit code.
await runProgram("producer", readSettings, async (settings, program) => {
  if (settings.from !== null) {
    // Loaded here only: no other start needs it.
    const { hostsFrom } = await import("../hosts/hosts_from.ts");
    await program.print(await hostsFrom(settings.from));
    return 0;
  }
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

/** Reads the settings. Where some are wrong, a person hears of the hosts file at once too. */
async function readSettings(args: readonly string[], environment: Environment): Promise<Parsed<ProducerSettings>> {
  const parsed = readProducerSettings(args, environment);
  if (parsed.kind !== "problems") return parsed;
  const { hostsFile, timeZone, shard } = parsed.draft ?? {};
  if (!hostsFile || hostsFile === "-" || !timeZone || !shard) return parsed;
  try {
    await readHosts({ hostsFile, timeZone, shard });
    return parsed;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { ...parsed, problems: [...parsed.problems, ...error.problems] };
  }
}

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
  const { log } = program;
  const { certificateStore } = plan;
  const health = new Health();

  const concurrency = usableConcurrency(settings, log);
  await using outbox = await openOutbox(settings, log);
  const standings = await openStandings(settings);
  const shutdown = new ProducerShutdown(program, settings.mode === "once");
  const group = await plan.group((event, isTrouble) => isTrouble ? log.warn(event) : log.info(event), health);
  const isGrouped = group !== null;
  await using matcher = openPageMatcher(reading);
  await using checker = await openThreads(settings, { matcher, isGrouped, failed: shutdown.fail, log });
  const options = checkOptions(settings, { concurrency, checker, standings, group });
  // A group says later which hosts are checked here.
  const hosts = isGrouped ? [] : reading.hosts;
  const runner = new CheckRunner(hosts, options, shutdown.stopChecks, shutdown.giveUpChecks);
  await using monitor = await monitorProducer(
    settings.listen,
    { checks: runner, outbox, health, certificateStore, group },
    log,
  );
  log.info(describeStart(settings, reading, plan, runner));
  followKeys([certificateStore], program);
  await using sink = plan.open((event) => log.warn(event), health);
  using _backlog = watchBacklog(() => outbox.figures, log);

  const delivery = deliver(outbox, sink, shutdown.giveUpDelivery).catch(shutdown.fail);
  const grouped = group && settings.group !== null
    ? new GroupedHosts(
      { group, runner, outbox, monitor, health, log },
      { ...settings, group: settings.group },
      reading,
      shutdown.stopChecks,
    )
    : null;
  const replace: ReplaceHosts = async (content) => await (grouped?.replace(content) ?? runner.replace(content.hosts));
  followHosts(settings, reading, replace, monitor, program).catch(shutdown.fail);
  const membership = grouped?.follow().catch(shutdown.fail);
  const isChecked = new AbortController();
  const standingsKept = standings?.follow(() => runner.standings(), isChecked.signal);
  let missed = 0;
  for await (const metric of runner) {
    if (metric.error === "missed") missed++;
    // It tells of no check.
    if (metric.error !== "removed") monitor.see(metric);
    outbox.push(metric);
  }
  outbox.end();
  isChecked.abort();
  await standingsKept;
  await membership;
  await shutdown.settle(outbox, delivery);
  return program.settled(shutdown.report(outbox.figures, missed));
}

/** The line that says what is checked, where the metrics go, and when the first check is due. */
function describeStart(
  { hostsFile, timeZone, group }: ProducerSettings,
  { hosts }: HostsReading,
  { description }: SinkPlan,
  { firstDue }: CheckRunner,
): string {
  const due = group !== null
    ? `the group ${group} says which of them are checked here`
    : firstDue === null
    ? "none of them belongs to this shard"
    : `the first check is due ${new Date(firstDue).toISOString()}`;
  const hasCron = hosts.some(({ frequency }) => frequency.kind === "cron");
  const zone = hasCron ? `; cron expressions are in ${timeZone}` : "";
  return `${hostsFile}: ${count(hosts.length, "host")} → ${description}; ${due}${zone}`;
}

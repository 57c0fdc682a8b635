import type { Host } from "../hosts/hosts.ts";
import { nextDue } from "../hosts/schedule.ts";
import { emptyMetric, type Metric, type MetricSource } from "../metric.ts";
import type { MissedCause, MissedRun } from "./scheduler.ts";

const CAUSES: Readonly<Record<MissedCause, string>> = {
  running: "the check before it still ran",
  waiting: "its turn did not come in time; a higher --concurrency may help",
  suspect:
    "its turn did not come in time: hosts that take long to answer, or never do, have only a part of the slots; " +
    "a higher --concurrency may help",
  asleep: "the program did not run then: the machine slept, or its clock was set forward",
  stalled: "the program did not run then: it was frozen, or the processor was busy",
  unheard: "this producer had not heard from its group, which may have given the host to another one",
  untended: "no producer had this host",
};

/**
 * The metrics that report a loss: one for each due time, or one for all (docs/checks.md, "When").
 */
export function* missedMetrics(missed: MissedRun, source: MetricSource): Generator<Metric, void> {
  const { host, first, count, summary } = missed;
  const why = CAUSES[missed.cause];
  if (summary !== null) {
    const until = new Date(summary.last).toISOString();
    // It stands for many due times: a check of the first one must not take its place.
    const ownId = { ...source, isGrouped: false };
    return yield metricOf(missed, first, ownId, `${count} more checks until ${until}: ${why}`);
  }
  for (let [at, told] = [first, 0]; told < count; told++, at = nextDue(host.frequency, host.address, at)) {
    yield metricOf(missed, at, source, why);
  }
}

/** A host that left the hosts file; of one that stood in another producer's file only the address is known. */
export type RemovedHost = Pick<Host, "address"> & Partial<Pick<Host, "options">>;

/** The last metric of a host that left the hosts file. */
export function removedMetric({ address, options }: RemovedHost, at: Date, source: MetricSource): Metric {
  const origin = { address, scheduledAt: at, checkedAt: at, nextAt: null, labels: options?.labels };
  const metric = emptyMetric({ ...origin, ...source, isGrouped: false });
  return { ...metric, error: "removed", error_detail: "the host is no longer in the hosts file" };
}

function metricOf(
  { host, noticedAt, summary }: MissedRun,
  scheduledAt: number,
  source: MetricSource,
  detail: string,
): Metric {
  const { address, frequency, options } = host;
  const nextAt = nextDue(frequency, address, summary?.last ?? scheduledAt);
  const metric = emptyMetric({
    address,
    scheduledAt: new Date(scheduledAt),
    checkedAt: new Date(noticedAt),
    nextAt: new Date(nextAt),
    labels: options?.labels,
    ...source,
  });
  return { ...metric, error: "missed", error_detail: detail };
}

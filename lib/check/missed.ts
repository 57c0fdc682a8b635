import { nextDue } from "../hosts/schedule.ts";
import { emptyMetric, type Metric } from "../metric.ts";
import type { MissedCause, MissedRun } from "./scheduler.ts";

const CAUSES: Readonly<Record<MissedCause, string>> = {
  running: "the check before it still ran",
  waiting: "its turn did not come in time; a higher --concurrency may help",
  suspect:
    "its turn did not come in time: hosts that take long to answer, or never do, have only a part of the slots; " +
    "a higher --concurrency may help",
  asleep: "the program did not run then: the machine slept, or its clock was set forward",
};

/**
 * The metrics that report a loss: one for each due time, or one for all (docs/checks.md, "When").
 */
export function* missedMetrics(missed: MissedRun, location: string | null): Generator<Metric, void> {
  const { host, first, count, summary } = missed;
  const why = CAUSES[missed.cause];
  if (summary !== null) {
    const until = new Date(summary.last).toISOString();
    return yield metricOf(missed, first, location, `${count} more checks until ${until}: ${why}`);
  }
  for (let [at, told] = [first, 0]; told < count; told++, at = nextDue(host.frequency, host.address, at)) {
    yield metricOf(missed, at, location, why);
  }
}

function metricOf(
  { host, noticedAt }: MissedRun,
  scheduledAt: number,
  location: string | null,
  detail: string,
): Metric {
  const { address } = host;
  const metric = emptyMetric({ address, scheduledAt: new Date(scheduledAt), checkedAt: new Date(noticedAt), location });
  return { ...metric, error: "missed", error_detail: detail };
}

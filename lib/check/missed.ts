import { randomUUID } from "node:crypto";
import { nextDue } from "../hosts/schedule.ts";
import type { Metric } from "../metric.ts";
import type { MissedCause, MissedRun } from "./scheduler.ts";

const CAUSES: Readonly<Record<MissedCause, string>> = {
  running: "the check before it still ran",
  waiting: "its turn did not come in time; a higher --concurrency may help",
  suspect:
    "its turn did not come in time: hosts that take long to answer, or never do, have only a part of the slots; " +
    "a higher --concurrency may help",
  asleep: "the program did not run then: the machine slept, or its clock was set forward",
};

/** The metrics that a loss is told by: one for each due time, or one for all (contract: "Metric", `missed`). */
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
  return {
    address: host.address,
    status_code: null,
    latency: 0,
    is_valid: false,
    scheduled_at: new Date(scheduledAt).toISOString(),
    checked_at: new Date(noticedAt).toISOString(),
    error: "missed",
    error_detail: detail,
    latency_dns: null,
    latency_connect: null,
    latency_tls: null,
    latency_first_byte: null,
    latency_body: null,
    tls_expires_at: null,
    location,
    check_id: randomUUID(),
  };
}

import { randomUUID } from "node:crypto";
import type { OutgoingMessage } from "../../lib/kafka/kafka.ts";
import { encodeMetric, type Metric } from "../../lib/metric.ts";

/** Sites that take turns, as they do where a producer checks them on schedule. */
const SITES = 5_000;
/** Parts of the world that each is asked for. */
const REGIONS = 7;
/** Different addresses. */
export const ADDRESSES = SITES * REGIONS;
const SECOND = 1000;
const YEAR = 365 * 86_400 * SECOND;

/** Check number `n` as a producer would have made it: every site in turn, most of them up, each 50th not. */
export function makeMetric(n: number, checkedAt: number): Metric {
  const latency = (n * 7919) % 900_000 / 1_000_000 + 0.02;
  const at = new Date(checkedAt).toISOString();
  const isDown = n % 50 === 49;
  return {
    address: `https://site-${n % SITES}.example/health?region=${n % REGIONS}`,
    status_code: isDown ? null : 200,
    latency,
    is_valid: !isDown,
    scheduled_at: new Date(checkedAt - checkedAt % SECOND).toISOString(),
    checked_at: at,
    error: isDown ? "timeout" : null,
    error_detail: isDown ? "no answer within 10 seconds" : null,
    latency_dns: share(latency, 0.05),
    latency_connect: share(latency, 0.15),
    latency_tls: isDown ? null : share(latency, 0.3),
    latency_first_byte: isDown ? null : share(latency, 0.4),
    latency_body: isDown ? null : share(latency, 0.1),
    tls_expires_at: isDown ? null : new Date(checkedAt + YEAR).toISOString(),
    location: "fra-1",
    check_id: randomUUID(),
    up: !isDown,
    remote_address: "192.0.2.1",
    producer: "checker-1",
    next_at: new Date(checkedAt - checkedAt % SECOND + 60 * SECOND).toISOString(),
    labels: null,
  };
}

function share(latency: number, part: number): number {
  return Math.round(latency * part * 1e6) / 1e6;
}

/** The metric as the message that a producer sends. */
export function toMessage(metric: Metric): OutgoingMessage {
  return { key: metric.address, value: encodeMetric(metric), timestamp: Date.parse(metric.checked_at ?? "") };
}

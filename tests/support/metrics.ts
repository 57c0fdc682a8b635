import type { Metric } from "../../lib/metric.ts";

/** A metric of a good host, with some fields changed. */
export function metricWith(fields: Partial<Metric> = {}): Metric {
  return {
    address: "https://a.example",
    status_code: 200,
    latency: 0.1,
    is_valid: true,
    scheduled_at: "2026-01-31T12:00:00.000Z",
    checked_at: "2026-01-31T12:00:00.004Z",
    error: null,
    error_detail: null,
    latency_dns: 0,
    latency_connect: 0.02,
    latency_tls: null,
    latency_first_byte: 0.03,
    latency_body: 0.05,
    tls_expires_at: null,
    location: null,
    check_id: "6f1c1b0e-7f1a-4d4e-9f0b-0d1c2b3a4f5e",
    up: null,
    remote_address: "192.0.2.1",
    producer: "checker-1",
    next_at: null,
    labels: null,
    ...fields,
  };
}

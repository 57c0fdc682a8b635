import { expect, it } from "vitest";
import { ConsumerTelemetry } from "../../lib/monitoring/consumer_telemetry.ts";
import { ProducerTelemetry } from "../../lib/monitoring/producer_telemetry.ts";
import { metricWith } from "../support/metrics.ts";

const samples = (text: string) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

it("ProducerTelemetry counts results, and reads the rest when it is asked", async () => {
  let waiting = 3;
  const telemetry = new ProducerTelemetry(() => {
    return { hosts: 5, down: 1, inFlight: 2, waiting, delivered: 40, dropped: 0 };
  });
  telemetry.see(metricWith());
  telemetry.see(metricWith({ error: "timeout", is_valid: false, latency: 10 }));
  telemetry.see(metricWith({ error: "missed", is_valid: false, latency: 0 }));
  const first = samples(await telemetry.text());
  expect(first).toEqual(expect.arrayContaining([
    'host_checker_checks_total{result="up",error="none"} 1',
    'host_checker_checks_total{result="down",error="timeout"} 1',
    'host_checker_checks_total{result="missed",error="missed"} 1',
    'host_checker_check_latency_seconds_bucket{le="0.1"} 1',
    'host_checker_check_latency_seconds_bucket{le="10"} 2',
    "host_checker_check_latency_seconds_count 2",
    'host_checker_check_lateness_seconds_bucket{le="0.001"} 0',
    'host_checker_check_lateness_seconds_bucket{le="0.005"} 2',
    "host_checker_hosts 5",
    "host_checker_hosts_down 1",
    "host_checker_checks_in_flight 2",
    "host_checker_metrics_waiting 3",
    "host_checker_metrics_delivered_total 40",
    "host_checker_metrics_dropped_total 0",
  ]));
  waiting = 0;
  const second = samples(await telemetry.text());
  expect(second).toContain("host_checker_metrics_waiting 0");
  expect(second).toContain("host_checker_metrics_delivered_total 40");
});

it("ConsumerTelemetry asks once for a page, and gives the lag of each partition that it has", async () => {
  let asked = 0;
  const lags = [new Map([[0, 5], [3, 0]]), new Map([[3, 7]])];
  const telemetry = new ConsumerTelemetry(() => {
    const lag = lags[asked++] ?? new Map();
    return Promise.resolve({ rows: 9, rejected: 1, replayed: 2, doubles: 3, lag, newest: null, unknownPlaces: [] });
  });
  telemetry.flushed("size", 0.02);
  telemetry.flushed("age", 0.2);
  const first = samples(await telemetry.text());
  expect(asked).toBe(1);
  expect(first).toEqual(expect.arrayContaining([
    'host_checker_flushes_total{cause="size"} 1',
    'host_checker_flushes_total{cause="age"} 1',
    'host_checker_flush_duration_seconds_bucket{le="0.025"} 1',
    "host_checker_flush_duration_seconds_count 2",
    "host_checker_rows_total 9",
    "host_checker_rejected_total 1",
    "host_checker_replayed_total 2",
    "host_checker_double_checks_total 3",
    'host_checker_lag{partition="0"} 5',
    'host_checker_lag{partition="3"} 0',
    "host_checker_newest_row_age_seconds Nan",
  ]));
  const second = samples(await telemetry.text());
  expect(second.filter((line) => line.startsWith("host_checker_lag"))).toEqual(['host_checker_lag{partition="3"} 7']);
});

it("either telemetry gives the time at which the client's certificate expires, and nothing where there is none", async () => {
  const readings = { hosts: 0, down: 0, inFlight: 0, waiting: 0, delivered: 0, dropped: 0 };
  const stored = { rows: 0, rejected: 0, replayed: 0, doubles: 0, lag: new Map(), newest: null, unknownPlaces: [] };
  let expiresAt = new Date("2027-01-01T00:00:00Z");
  const telemetries = [
    new ProducerTelemetry(() => readings, () => expiresAt),
    new ConsumerTelemetry(() => Promise.resolve(stored), () => expiresAt),
  ];
  const expiries = async (all: readonly { text(): Promise<string> }[]) =>
    (await Promise.all(all.map((telemetry) => telemetry.text()))).flatMap(samples)
      .filter((line) => line.includes("certificate"));
  const sample = (seconds: number) => `host_checker_kafka_certificate_expiry_timestamp_seconds ${seconds}`;
  expect(await expiries(telemetries)).toEqual([sample(1798761600), sample(1798761600)]);
  // The certificate was renewed.
  expiresAt = new Date("2028-01-01T00:00:00Z");
  expect(await expiries(telemetries)).toEqual([sample(1830297600), sample(1830297600)]);
  const without = [new ProducerTelemetry(() => readings), new ConsumerTelemetry(() => Promise.resolve(stored))];
  expect(await expiries(without)).toEqual([]);
});

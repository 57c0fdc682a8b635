import { Counter, Histogram, Registry } from "prom-client";
import type { GroupFigures } from "../kafka/kafka.ts";
import type { Metric } from "../metric.ts";
import { stateOf } from "../postgres/host_state.ts";
import { addCertificateGauge, addCounter, addGauge } from "./telemetry.ts";

/** Figures that are read when somebody asks for them. */
export interface ProducerReadings {
  readonly hosts: number;
  /** Hosts whose last check found them down. */
  readonly down: number;
  readonly inFlight: number;
  /** Metrics that Kafka does not have yet. */
  readonly waiting: number;
  readonly delivered: number;
  /** Metrics that gave way to newer ones, or that Kafka refuses. */
  readonly dropped: number;
}

/** Seconds. A check ends within its deadline, 10 s by default. */
const LATENCY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const LATENESS_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The producer's figures for Prometheus. The names follow prometheus.io/docs/practices/naming. */
export class ProducerTelemetry {
  readonly #registry = new Registry();
  readonly #results: Counter<"result" | "error">;
  readonly #latency: Histogram;
  readonly #lateness: Histogram;

  /**
   * `expiresAt` gives the end of the client's certificate for Kafka; null without one. `group` gives
   * the state in a group of producers; null without one.
   */
  constructor(
    read: () => ProducerReadings,
    expiresAt: () => Date | null = () => null,
    group: (() => GroupFigures) | null = null,
  ) {
    const registers = [this.#registry];
    this.#results = new Counter({
      name: "host_checker_checks_total",
      help: "Checks that have ended, by result (up, down, missed) and by what went wrong (none where an answer came).",
      labelNames: ["result", "error"],
      registers,
    });
    this.#latency = new Histogram({
      name: "host_checker_check_latency_seconds",
      help: "Time from the start of a check to its last byte or its failure.",
      buckets: LATENCY_BUCKETS,
      registers,
    });
    this.#lateness = new Histogram({
      name: "host_checker_check_lateness_seconds",
      help: "Time from when a check was due to when it began.",
      buckets: LATENESS_BUCKETS,
      registers,
    });
    const gauge = (name: string, help: string, value: (readings: ProducerReadings) => number) =>
      addGauge(this.#registry, { name, help }, () => value(read()));
    const counter = (name: string, help: string, value: (readings: ProducerReadings) => number) =>
      addCounter(this.#registry, { name, help }, () => value(read()));
    addCertificateGauge(this.#registry, expiresAt);
    gauge("host_checker_hosts", "Hosts that this program checks.", ({ hosts }) => hosts);
    gauge("host_checker_hosts_down", "Hosts whose last check found them down.", ({ down }) => down);
    gauge("host_checker_checks_in_flight", "Checks under way.", ({ inFlight }) => inFlight);
    gauge("host_checker_metrics_waiting", "Metrics that Kafka has not confirmed yet.", ({ waiting }) => waiting);
    counter("host_checker_metrics_delivered_total", "Metrics that Kafka has confirmed.", ({ delivered }) => delivered);
    const lost = "Metrics lost because too many waited, or because Kafka refuses them.";
    counter("host_checker_metrics_dropped_total", lost, ({ dropped }) => dropped);
    if (group !== null) addGroupFigures(this.#registry, group);
  }

  /** A check has ended, or was missed. */
  see(metric: Metric): void {
    const state = stateOf(metric);
    this.#results.inc({ result: state === "unknown" ? "missed" : state, error: metric.error ?? "none" });
    if (state === "unknown") return;
    this.#latency.observe(metric.latency);
    if (metric.checked_at === null || metric.scheduled_at === null) return;
    this.#lateness.observe(Math.max(0, Date.parse(metric.checked_at) - Date.parse(metric.scheduled_at)) / 1000);
  }

  /** In Prometheus' text format, version 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function addGroupFigures(registry: Registry, group: () => GroupFigures): void {
  const held = "Partitions whose hosts this member of a group of producers checks.";
  addGauge(registry, { name: "host_checker_group_partitions", help: held }, () => group().held);
  const given = "Partitions that the group gave to this member, at its start and later.";
  addCounter(registry, { name: "host_checker_group_takeovers_total", help: given }, () => group().given);
  const silence = "Time since the group last answered this member.";
  addGauge(registry, { name: "host_checker_group_silence_seconds", help: silence }, () => group().silence ?? NaN);
}

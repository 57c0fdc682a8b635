import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { BatchCause } from "../async/batches.ts";
import { addCertificateGauge, addCounter, addGauge } from "./telemetry.ts";

/** Figures that are read when somebody asks for them. */
export interface ConsumerReadings {
  readonly rows: number;
  readonly rejected: number;
  /** Messages that were read again although they are stored. */
  readonly replayed: number;
  /** Due times that two producers have checked, as far as this was looked at. */
  readonly doubles: number;
  /** Partition → messages in the topic that are not stored yet. */
  readonly lag: ReadonlyMap<number, number>;
  /**
   * `checked_at` of the newest stored metric, in milliseconds since 1970; null before the first.
   */
  readonly newest: number | null;
  /** The places whose canaries are all down. */
  readonly unknownPlaces: readonly (string | null)[];
}

/** What the figures say of a host. */
export interface HostFigures {
  readonly address: string;
  /** Null where nobody checks it, or people work at it. */
  readonly isUp: boolean | null;
  /** True if a check was due and did not come. */
  readonly isSilent: boolean;
  /** Seconds. */
  readonly latency: number;
  /** Days until its certificate expires; null: it has none. */
  readonly certificateDays: number | null;
}

const DAY = 86_400;
/** Seconds. */
const FLUSH_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** The consumer's figures for Prometheus. The names follow prometheus.io/docs/practices/naming. */
export class ConsumerTelemetry {
  readonly #registry = new Registry();
  readonly #flushes: Counter<"cause">;
  readonly #duration: Histogram;

  /**
   * `read` may ask the broker where the log ends. `expiresAt` gives the end of the client's
   * certificate for Kafka; null without one. `hosts` reads what is known of the hosts; absent: the
   * figures name none.
   */
  constructor(
    read: () => Promise<ConsumerReadings>,
    expiresAt: () => Date | null = () => null,
    hosts?: () => Promise<readonly HostFigures[]>,
  ) {
    const registers = [this.#registry];
    let readings: Promise<ConsumerReadings> | undefined;
    // Read once for all figures of a page.
    const shared = () => readings ??= read().finally(() => readings = undefined);
    this.#flushes = new Counter({
      name: "host_checker_flushes_total",
      help:
        "Batches written, by cause: size (full), age (the oldest message waited long enough), end (of the reading).",
      labelNames: ["cause"],
      registers,
    });
    this.#duration = new Histogram({
      name: "host_checker_flush_duration_seconds",
      help: "Time that the database took for a batch, waiting for it included.",
      buckets: FLUSH_BUCKETS,
      registers,
    });
    const counter = (name: string, help: string, value: (readings: ConsumerReadings) => number) =>
      addCounter(this.#registry, { name, help }, async () => value(await shared()));
    counter(
      "host_checker_rows_total",
      "Metrics stored in the table; one that came again counts each time.",
      ({ rows }) => rows,
    );
    counter("host_checker_rejected_total", "Messages kept among the rejected.", ({ rejected }) => rejected);
    counter("host_checker_replayed_total", "Messages read again although stored already.", ({ replayed }) => replayed);
    counter(
      "host_checker_double_checks_total",
      "Due times that two producers outside a group have checked, in the batches looked at.",
      ({ doubles }) => doubles,
    );
    addCertificateGauge(this.#registry, expiresAt);
    new Gauge({
      name: "host_checker_lag",
      help: "Messages of a partition of this consumer that are not stored yet.",
      labelNames: ["partition"],
      registers,
      async collect() {
        const { lag } = await shared();
        this.reset();
        for (const [partition, messages] of lag) this.set({ partition: String(partition) }, messages);
      },
    });
    new Gauge({
      name: "host_checker_unknown_place",
      help: "1 for each place from which nothing is known: all its canaries are down.",
      labelNames: ["location"],
      registers,
      async collect() {
        const { unknownPlaces } = await shared();
        this.reset();
        for (const location of unknownPlaces) this.set({ location: location ?? "" }, 1);
      },
    });
    addGauge(this.#registry, {
      name: "host_checker_newest_row_age_seconds",
      help: "Time since the newest metric stored was made; NaN before the first.",
    }, async () => {
      const { newest } = await shared();
      return newest === null ? NaN : Math.max(0, Date.now() - newest) / 1000;
    });
    if (hosts !== undefined) this.#addHosts(hosts);
  }

  #addHosts(hosts: () => Promise<readonly HostFigures[]>): void {
    let found: Promise<readonly HostFigures[]> | undefined;
    // Read once for all figures of a page.
    const shared = () => found ??= hosts().finally(() => found = undefined);
    const gauge = (name: string, help: string, value: (host: HostFigures) => number | null) =>
      new Gauge({
        name,
        help,
        labelNames: ["address"],
        registers: [this.#registry],
        async collect() {
          const rows = await shared();
          this.reset();
          for (const host of rows) {
            const figure = value(host);
            if (figure !== null) this.set({ address: host.address }, figure);
          }
        },
      });
    gauge("host_checker_host_up", "1 if the newest check of a host was up, 0 if not.", ({ isUp }) => {
      return isUp === null ? null : Number(isUp);
    });
    gauge("host_checker_host_silent", "1 for each host of which no check came since it was due.", ({ isSilent }) => {
      return isSilent ? 1 : null;
    });
    gauge(
      "host_checker_host_latency_seconds",
      "Time that the newest check of a host that is up took.",
      ({ isUp, latency }) => isUp === true ? latency : null,
    );
    gauge(
      "host_checker_host_certificate_left_seconds",
      "Time until a host's certificate expires, in whole days.",
      ({ certificateDays }) => certificateDays === null ? null : certificateDays * DAY,
    );
  }

  /** A batch was written, in so many seconds. */
  flushed(cause: BatchCause, seconds: number): void {
    this.#flushes.inc({ cause });
    this.#duration.observe(seconds);
  }

  /** In Prometheus' text format, version 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

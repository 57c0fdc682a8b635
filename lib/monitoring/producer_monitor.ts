import type { Health } from "../async/health.ts";
import type { CheckRunner } from "../check/check_runner.ts";
import type { ListenAddress } from "../config/setting_types.ts";
import type { Outbox } from "../delivery/delivery.ts";
import type { ProducerGroup } from "../kafka/kafka.ts";
import type { Metric } from "../metric.ts";
import type { CertificateStore } from "../net/certificate_store.ts";
import type { Log } from "./log.ts";
import { ProducerReport } from "./producer_report.ts";

/** Tells of the checks: a person in the log and, if there is a port, Prometheus. */
export interface ProducerMonitor extends AsyncDisposable {
  /** A check has ended, or was missed. */
  see(metric: Metric): void;
  /** Forgets hosts that are no longer checked. */
  forget(addresses: Iterable<string>): void;
}

export interface MonitoredProducer {
  readonly checks: CheckRunner;
  readonly outbox: Outbox;
  readonly health: Health;
  /** The certificates for Kafka. */
  readonly certificateStore: CertificateStore | null;
  /** The group of producers; null: there is none. */
  readonly group: ProducerGroup | null;
}

/** Begins to watch. Throws a `UsageError` if it cannot listen at the address. Null: no port. */
export async function monitorProducer(
  listen: ListenAddress | null,
  { checks, outbox, health, certificateStore, group }: MonitoredProducer,
  log: Log,
): Promise<ProducerMonitor> {
  const resources = new AsyncDisposableStack();
  const report = resources.use(new ProducerReport(log, () => outbox.figures));
  const forget = (addresses: Iterable<string>) => report.forget(addresses);
  const dispose = () => resources.disposeAsync();
  if (listen === null) return { see: (metric) => report.see(metric), forget, [Symbol.asyncDispose]: dispose };
  // Loaded late, and only for a port: it takes as long as all the rest of the program.
  const [{ ProducerTelemetry }, { openProgramPort }] = await Promise.all([
    import("./producer_telemetry.ts"),
    import("./program_port.ts"),
  ]);
  const telemetry = new ProducerTelemetry(
    () => {
      const { waiting, delivered, dropped } = outbox.figures;
      return { hosts: checks.size, down: report.down, inFlight: checks.running, waiting, delivered, dropped };
    },
    () => certificateStore?.expiresAt ?? null,
    group && (() => group.figures),
  );
  resources.use(await openProgramPort("producer", listen, { health, metrics: () => telemetry.text() }));
  const see = (metric: Metric) => {
    report.see(metric);
    telemetry.see(metric);
  };
  return { see, forget, [Symbol.asyncDispose]: dispose };
}

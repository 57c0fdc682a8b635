import { Counter, Gauge, type Registry } from "prom-client";

// The figures that both programs tell Prometheus of. Loaded only by a program that has a port.

/** The name and the meaning of a figure. */
export interface Figure {
  readonly name: string;
  readonly help: string;
}

/** Adds a counter whose value is read when somebody asks for it. */
export function addCounter(registry: Registry, figure: Figure, read: () => number | Promise<number>): void {
  new Counter({
    ...figure,
    registers: [registry],
    async collect() {
      const now = await read();
      this.reset();
      this.inc(now);
    },
  });
}

/** Adds a gauge whose value is read when somebody asks for it. */
export function addGauge(registry: Registry, figure: Figure, read: () => number | Promise<number>): void {
  new Gauge({
    ...figure,
    registers: [registry],
    async collect() {
      this.set(await read());
    },
  });
}

/**
 * Tells when the client's certificate for Kafka expires, if there is one. It gives the time, as
 * Prometheus' practices ask for.
 */
export function addCertificateGauge(registry: Registry, expiresAt: () => Date | null): void {
  if (expiresAt() === null) return;
  addGauge(registry, {
    name: "host_checker_kafka_certificate_expiry_timestamp_seconds",
    help: "When the client certificate in use for Kafka expires, in seconds since 1970.",
  }, () => (expiresAt()?.getTime() ?? NaN) / 1000);
}

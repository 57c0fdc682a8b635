import { Gauge, type Registry } from "prom-client";

/**
 * Tells when the client's certificate for Kafka expires, if there is one. It gives the time, as
 * Prometheus' practices ask for.
 */
export function addCertificateGauge(registry: Registry, expiresAt: () => Date | null): void {
  if (expiresAt() === null) return;
  new Gauge({
    name: "host_checker_kafka_certificate_expiry_timestamp_seconds",
    help: "When the client certificate in use for Kafka expires, in seconds since 1970.",
    registers: [registry],
    collect() {
      this.set((expiresAt()?.getTime() ?? NaN) / 1000);
    },
  });
}

// Both programs' figures for Prometheus. Loaded only by a program that has a port.
export { ConsumerTelemetry, type FlushCause } from "./telemetry/consumer.ts";
export { ProducerTelemetry } from "./telemetry/producer.ts";

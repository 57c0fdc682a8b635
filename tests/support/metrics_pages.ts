import { ConsumerTelemetry } from "../../lib/monitoring/consumer_telemetry.ts";
import { ProducerTelemetry } from "../../lib/monitoring/producer_telemetry.ts";
import { metricWith } from "./metrics.ts";

/** The expiry of the client's certificate for Kafka. */
const EXPIRY = new Date("2027-01-01T00:00:00Z");

const HOST = { address: "https://a.example", isUp: true, isSilent: true, latency: 0.25, certificateDays: 30 };

/** The producer's page at /metrics, with a value for each metric. */
export async function producerPage(): Promise<string> {
  const telemetry = new ProducerTelemetry(
    () => {
      return { hosts: 5, down: 1, inFlight: 2, waiting: 3, delivered: 40, dropped: 0 };
    },
    () => EXPIRY,
    () => ({ held: 4, given: 6, silence: 0.2 }),
  );
  telemetry.see(metricWith());
  return await telemetry.text();
}

/** The consumer's page at /metrics, with a value for each metric. */
export async function consumerPage(): Promise<string> {
  const telemetry = new ConsumerTelemetry(
    () => {
      const lag = new Map([[0, 5]]);
      return Promise.resolve({
        rows: 9,
        rejected: 1,
        replayed: 2,
        doubles: 3,
        lag,
        newest: Date.now(),
        unknownPlaces: ["Oslo"],
      });
    },
    () => EXPIRY,
    () => Promise.resolve([HOST]),
  );
  telemetry.flushed("size", 0.02);
  return await telemetry.text();
}

/**
 * The names of metrics and labels on such a page, with those that Prometheus adds: `up`, `job` and
 * `instance`.
 */
export function namesOnPage(page: string): { metrics: Set<string>; labels: Set<string> } {
  const samples = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return {
    metrics: new Set(["up", ...samples.map((line) => /^\w+/.exec(line)?.[0] ?? "")]),
    labels: new Set(["job", "instance", ...samples.flatMap((line) => line.match(/\w+(?==")/g) ?? [])]),
  };
}

/** One metric on such a page: its `# TYPE` line and its samples. */
export interface Family {
  readonly name: string;
  readonly type: string;
  /** In the order of the page. A histogram's `le` is left out. */
  readonly labels: readonly string[];
}

/** The metrics on a page, in its order; a histogram is one. */
export function familiesOnPage(page: string): Family[] {
  return [...page.matchAll(/^# TYPE (\w+) (\w+)\n((?:[^#\n].*\n?)*)/gm)].map(
    ([, name = "", type = "", samples = ""]) => {
      const labels = new Set(samples.match(/\w+(?==")/g) ?? []);
      labels.delete("le");
      return { name, type, labels: [...labels] };
    },
  );
}

import type { OutgoingMessage } from "../kafka/kafka.ts";
import { encodeMetric, type Metric } from "../metric.ts";

/**
 * Kafka's sign for a message without a time. A topic that refuses times far from the broker's takes
 * it.
 */
export const NO_TIMESTAMP = -1;
/** Texts of a metric that may be cut if it is too large for the topic, the least needed first. */
const TEXTS = ["error_detail", "location"] as const;
type MetricText = typeof TEXTS[number];
/** Characters that are left of a text at the first try, and at the second. */
const LENGTHS = [200, 20] as const;
/** Stands behind the rest of a cut text. ASCII, so that any database can store it. */
const MARK = "... (cut)";

/** The messages for Kafka that are made of metrics, and others for those that a topic refuses. */
export class MetricMessages {
  readonly #metrics = new WeakMap<OutgoingMessage, Metric>();
  readonly #retimed = new WeakSet<OutgoingMessage>();

  /** The message of a metric. Its key is the address, its time that of the check. */
  of(metric: Metric): OutgoingMessage {
    const checkedAt = metric.checked_at === null ? Date.now() : Date.parse(metric.checked_at);
    const message = { key: metric.address, value: encodeMetric(metric), timestamp: checkedAt };
    this.#metrics.set(message, metric);
    return message;
  }

  /**
   * The message with another time: first the present time, then none, as this machine's clock may
   * be wrong. The metric itself keeps its times.
   */
  retimed(message: OutgoingMessage): OutgoingMessage {
    const other = { ...message, timestamp: this.#retimed.has(message) ? NO_TIMESTAMP : Date.now() };
    this.#retimed.add(other);
    const metric = this.#metrics.get(message);
    if (metric !== undefined) this.#metrics.set(other, metric);
    return other;
  }

  /**
   * The message with a text of its metric cut, and which text; null if all texts are cut already.
   */
  shortened(message: OutgoingMessage): { readonly message: OutgoingMessage; readonly cut: MetricText } | null {
    const metric = this.#metrics.get(message);
    const shorter = metric === undefined ? null : shorterMetric(metric);
    if (shorter === null) return null;
    const other = { ...message, value: encodeMetric(shorter.metric) };
    this.#metrics.set(other, shorter.metric);
    if (this.#retimed.has(message)) this.#retimed.add(other);
    return { message: other, cut: shorter.cut };
  }
}

/** A metric with a cut text, and the name of that text. */
interface ShorterMetric {
  readonly metric: Metric;
  readonly cut: MetricText;
}

/** A metric somewhat shorter than the given one; null if all texts are cut already. */
function shorterMetric(metric: Metric): ShorterMetric | null {
  for (const cut of TEXTS) {
    const text = metric[cut] ?? "";
    const length = LENGTHS.find((length) => text.length > length + MARK.length);
    if (length === undefined) continue;
    // A character of two units stays whole, or goes.
    const kept = text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "");
    return { metric: { ...metric, [cut]: kept + MARK }, cut };
  }
  return null;
}

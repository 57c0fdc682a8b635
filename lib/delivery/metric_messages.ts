import type { OutgoingMessage } from "../kafka/kafka.ts";
import { encodeMetric, evidenceOf, type Metric } from "../metric.ts";

// What goes to the topic: metrics as messages, in pieces that it takes.

/**
 * Kafka's sign for a message without a time. A topic that refuses times far from the broker's takes
 * it.
 */
export const NO_TIMESTAMP = -1;
/** Texts of a metric that may be cut if it is too large for the topic, the least needed first. */
const TEXTS = ["error_detail", "location"] as const;
type MetricText = typeof TEXTS[number] | "evidence";
/** Characters that are left of a text at the first try, and at the second. */
const LENGTHS = [200, 20] as const;
/** Stands behind the rest of a cut text. ASCII, so that any database can store it. */
const MARK = "... (cut)";

/** Pieces of the full size that must pass in a row before a larger one is tried. */
const PASSES = 16;
/**
 * Bytes beyond which a piece has no limit any more: more than a broker usually takes in a batch.
 */
const ENOUGH = 4 * 1024 * 1024;

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
  const evidence = evidenceOf(metric);
  if (evidence !== null) {
    const rest = evidence.body === null ? null : { ...evidence, body: null };
    const shorter = { ...metric, evidence: rest };
    return { metric: shorter, cut: "evidence" };
  }
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

/** Bytes of a message as it is sent, before compression. */
export function bytesOfMessage({ key, value }: OutgoingMessage): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}

/**
 * How much goes to the topic at a time. Asking for the topic's limit takes a right of its own, so
 * it is learned. It is halved when a batch was refused, and doubled after many passed.
 */
export class PieceSize {
  #most = Infinity;
  #passed = 0;
  /**
   * The size of the smallest message that was refused by itself. Others as large go alone, so that
   * no piece is split for their sake.
   */
  #tooLarge = Infinity;

  /** Cuts messages into pieces of that size, in their order. */
  cut(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
    const pieces: OutgoingMessage[][] = [];
    let room = 0;
    for (const message of messages) {
      const size = bytesOfMessage(message);
      const isAlone = size >= this.#tooLarge;
      if (pieces.length === 0 || isAlone || size > room) {
        pieces.push([]);
        room = this.#most;
      }
      pieces.at(-1)?.push(message);
      room = isAlone ? 0 : room - size;
    }
    return pieces;
  }

  /** The topic has taken a piece. */
  pass(piece: readonly OutgoingMessage[]): void {
    const isFull = this.#most < Infinity && totalSize(piece) > this.#most / 2;
    if (!isFull || ++this.#passed < PASSES) return;
    this.#passed = 0;
    this.#most = this.#most * 2 > ENOUGH ? Infinity : this.#most * 2;
  }

  /**
   * The topic has refused these messages of one piece, at least two, for their size. Gives them in
   * smaller pieces.
   */
  refuse(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
    this.#passed = 0;
    this.#most = totalSize(messages) / 2;
    return this.cut(messages);
  }

  /**
   * The topic has refused a message by itself. So that message caused the earlier refusals, not the
   * size of the piece.
   */
  refuseAlone(message: OutgoingMessage): void {
    this.#tooLarge = Math.min(this.#tooLarge, bytesOfMessage(message));
    this.#passed = 0;
    this.#most = Infinity;
  }
}

/** Cuts a piece of at least two messages in two. */
export function halves(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
  const middle = Math.ceil(messages.length / 2);
  return [messages.slice(0, middle), messages.slice(middle)];
}

function totalSize(messages: readonly OutgoingMessage[]): number {
  return messages.reduce((total, message) => total + bytesOfMessage(message), 0);
}

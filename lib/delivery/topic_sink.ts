import { pause, retry } from "../async/retry.ts";
import { unlessAborted } from "../async/waits.ts";
import {
  DeliveryError,
  type KafkaProducer,
  type Listener,
  type OutgoingMessage,
  type Refusal,
} from "../kafka/kafka.ts";
import { encodeMetric, evidenceOf, type Metric } from "../metric.ts";
import type { Sink } from "./delivery.ts";
import { RefusalReport } from "./refusal_report.ts";

/**
 * Bytes that an ordinary metric stays below. A topic that refuses it for its size is not set up for
 * metrics.
 */
const ORDINARY = 1_024;
/**
 * Metrics that may be dropped in a row, with none taken in between. Beyond that the metrics are not
 * at fault.
 */
const MOST_IN_A_ROW = 100;

/**
 * Kafka's sign for a message without a time. A topic that refuses times far from the broker's takes
 * it.
 */
const NO_TIMESTAMP = -1;
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

/** A message that was refused by itself, with nothing left to try. */
interface Unwanted {
  readonly message: OutgoingMessage;
  readonly refusal: Refusal;
}

/**
 * Sends metrics to a Kafka topic. The key is the address, so that an address stays in one
 * partition. A metric that was sent twice has the same `check_id`, by which it is stored once. A
 * refused metric is tried in smaller pieces, with another time, and shortened. If it is still
 * refused it is left out, and a person is told.
 */
export class TopicSink implements Sink {
  readonly #closing = new AbortController();
  readonly #opening: Promise<KafkaProducer>;
  readonly #listener: Listener;
  readonly #report: RefusalReport;
  readonly #size = new PieceSize();
  readonly #messages = new MetricMessages();
  #isWaiting = false;
  #hasTaken = false;
  #inARow = 0;

  /**
   * `open` may take as long as the broker is away, until its signal aborts. Checks need not wait
   * for it, only `send` does. `listener` hears what becomes of metrics that the topic refuses.
   */
  constructor(open: (signal: AbortSignal) => Promise<KafkaProducer>, listener: Listener = () => {}) {
    this.#listener = listener;
    this.#report = new RefusalReport((text) => listener(text, false));
    this.#opening = open(this.#closing.signal);
    // `send` throws it. Unheeded until then, it would end the process as an unhandled rejection.
    this.#opening.catch(() => {});
  }

  async send(metrics: readonly Metric[], giveUp: AbortSignal): Promise<number> {
    const producer = await unlessAborted(this.#opening, giveUp);
    return await unlessAborted(this.#sendAll(producer, metrics, giveUp), giveUp);
  }

  async #sendAll(producer: KafkaProducer, metrics: readonly Metric[], giveUp: AbortSignal): Promise<number> {
    let pieces = this.#size.cut(metrics.map((metric) => this.#messages.of(metric)));
    let dropped = 0;
    for (let attempt = 0;; attempt++) {
      // Good messages go first: they tell whether the topic takes anything at all.
      const unwanted = await this.#sendPieces(producer, pieces, giveUp);
      const kept = unwanted.filter((one) => !this.#drop(one));
      dropped += unwanted.length - kept.length;
      const [first] = kept;
      if (first === undefined) break;
      this.#note(this.#report.refusesAll(first.refusal, bytesOfMessage(first.message)), true);
      await pause(attempt, giveUp);
      giveUp.throwIfAborted();
      pieces = kept.map(({ message }) => [message]);
    }
    this.#note("Kafka takes metrics again", false);
    return dropped;
  }

  /** Sends pieces in their order. Gives the messages that are refused whatever is tried. */
  async #sendPieces(
    producer: KafkaProducer,
    pieces: readonly OutgoingMessage[][],
    giveUp: AbortSignal,
  ): Promise<readonly Unwanted[]> {
    const unwanted: Unwanted[] = [];
    const left = [...pieces];
    for (let piece = left.shift(); piece !== undefined; piece = left.shift()) {
      const refused = await sendPiece(producer, piece, giveUp);
      if (refused.size < piece.length) {
        this.#hasTaken = true;
        this.#inARow = 0;
      }
      if (refused.size === 0) this.#size.pass(piece);
      left.unshift(...this.#tryOtherwise(refused, unwanted));
    }
    return unwanted;
  }

  /** The pieces to send instead of refused messages. A message without one goes to `unwanted`. */
  #tryOtherwise(refused: ReadonlyMap<OutgoingMessage, Refusal>, unwanted: Unwanted[]): OutgoingMessage[][] {
    const alike = Map.groupBy(refused, ([message, { remedy }]) => {
      return remedy === "retime" && message.timestamp === NO_TIMESTAMP ? "drop" : remedy;
    });
    return [...alike].flatMap(([remedy, entries]) => {
      const messages = entries.map(([message]) => message);
      const [first] = entries;
      if (first === undefined) return [];
      const [message, refusal] = first;
      if (remedy === "retime") return this.#retime(messages, refusal);
      if (messages.length > 1) return remedy === "split" ? this.#split(messages, refusal) : halves(messages);
      const shorter = remedy === "split" ? this.#shorten(message, refusal) : null;
      if (shorter === null) unwanted.push({ message, refusal });
      return shorter === null ? [] : [[shorter]];
    });
  }

  #split(messages: readonly OutgoingMessage[], refusal: Refusal): OutgoingMessage[][] {
    this.#report.splits(refusal);
    return this.#size.refuse(messages);
  }

  #retime(messages: readonly OutgoingMessage[], refusal: Refusal): OutgoingMessage[][] {
    this.#report.retimes(refusal);
    return [messages.map((message) => this.#messages.retimed(message))];
  }

  #shorten(message: OutgoingMessage, refusal: Refusal): OutgoingMessage | null {
    this.#size.refuseAlone(message);
    const shorter = this.#messages.shortened(message);
    if (shorter === null) return null;
    this.#report.shortens(message.key, shorter.cut, refusal);
    return shorter.message;
  }

  /** Leaves out a metric that is at fault. False if all metrics are refused alike. */
  #drop({ message, refusal }: Unwanted): boolean {
    const size = bytesOfMessage(message);
    const isLarge = refusal.remedy === "split" && size > ORDINARY;
    if (!isLarge && (!this.#hasTaken || this.#inARow >= MOST_IN_A_ROW)) return false;
    this.#inARow++;
    this.#report.drops(message.key, refusal, size);
    return true;
  }

  /** Says once that all metrics wait, and once that they no longer do. */
  #note(event: string, isWaiting: boolean): void {
    if (this.#isWaiting === isWaiting) return;
    this.#isWaiting = isWaiting;
    this.#listener(event, isWaiting);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the producer was closed"));
    await this.#opening.then((producer) => producer[Symbol.asyncDispose](), () => {});
  }
}

/** Sends one piece, and waits as long as waiting helps. Gives the refused messages. */
async function sendPiece(
  producer: KafkaProducer,
  piece: readonly OutgoingMessage[],
  giveUp: AbortSignal,
): Promise<ReadonlyMap<OutgoingMessage, Refusal>> {
  const refused = new Map<OutgoingMessage, Refusal>();
  let left = piece;
  const send = async () => {
    try {
      await producer.send(left);
    } catch (error) {
      if (!(error instanceof DeliveryError)) throw error;
      for (const [message, refusal] of error.refused) refused.set(message, refusal);
      left = error.undelivered.filter((message) => !error.refused.has(message));
      if (left.length > 0) throw error;
    }
  };
  await retry(send, { signal: giveUp, isPassing: (error) => error instanceof DeliveryError });
  return refused;
}

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
function bytesOfMessage({ key, value }: OutgoingMessage): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}

/**
 * How much goes to the topic at a time. Asking for the topic's limit takes a right of its own, so
 * it is learned. It is halved when a batch was refused, and doubled after many passed.
 */
class PieceSize {
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
function halves(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
  const middle = Math.ceil(messages.length / 2);
  return [messages.slice(0, middle), messages.slice(middle)];
}

function totalSize(messages: readonly OutgoingMessage[]): number {
  return messages.reduce((total, message) => total + bytesOfMessage(message), 0);
}

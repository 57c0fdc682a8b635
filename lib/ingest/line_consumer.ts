import {
  type Assignment,
  type ConsumerSession,
  type IncomingMessage,
  type KafkaConsumer,
  KEPT_BYTES,
  type Position,
} from "../kafka/kafka.ts";
import { type Line, readLines } from "./lines.ts";

const FIRST_LINE = 1;

/**
 * Reads metrics from a stream of bytes, one JSON document a line. It looks like a topic of one
 * partition whose offsets are the line numbers. `runId` takes the place of the topic's id: every
 * run is new input, with marks of its own.
 */
export class LineConsumer implements KafkaConsumer {
  readonly #input: AsyncIterable<Uint8Array>;
  readonly assignment: Assignment;

  constructor(input: AsyncIterable<Uint8Array>, runId: string) {
    this.#input = input;
    const partition = { partition: 0, logStart: FIRST_LINE, logEnd: Infinity };
    this.assignment = { topic: "stdin", topicId: runId, partitions: [partition] };
  }

  /** Gives a single session, which ends with the input. To end it earlier, end the input. */
  async *readings(position: Position): AsyncGenerator<ConsumerSession, void> {
    const positions = await position(this.assignment);
    let ended = false;
    async function* messages(lines: AsyncIterable<Line>) {
      for await (const line of lines) yield [toMessage(line)];
      ended = true;
    }
    const lines = readLines(this.#input, KEPT_BYTES);
    yield { assignment: this.assignment, positions, messages: messages(lines), sparse: true };
    if (!ended) throw new Error("The marks of this run were deleted from the database while it ran: start it again");
  }

  async commit(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A line has no timestamp: a metric without `checked_at` gets the time of reading. */
function toMessage({ number, bytes, length }: Line): IncomingMessage {
  const message = { partition: 0, offset: number, key: null, value: bytes, timestamp: Date.now() };
  return length > bytes.length ? { ...message, valueLength: length } : message;
}

import {
  type Assignment,
  type ConsumerSession,
  type FindPositions,
  type IncomingMessage,
  type KafkaConsumer,
  KEPT_BYTES,
} from "../kafka/kafka.ts";

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
  async *readings(find: FindPositions): AsyncGenerator<ConsumerSession, void> {
    const positions = await find(this.assignment);
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

/** A line of a text, with its number from 1 and without its line break. */
export interface Line {
  readonly number: number;
  readonly bytes: Uint8Array;
  /** The length of the whole line; `bytes` may be only its beginning. */
  readonly length: number;
}

const LINE_FEED = 10;

/**
 * Splits a stream of bytes into its lines, and leaves out lines of blanks only. Keeps the first
 * `limit` bytes of a longer line, so that no input fills the memory.
 */
export async function* readLines(input: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Line, void> {
  let number = 0;
  let held: Uint8Array[] = [];
  let size = 0;
  const hold = (piece: Uint8Array) => {
    const room = limit - size;
    if (room > 0 && piece.length > 0) held.push(piece.subarray(0, room));
    size += piece.length;
  };
  const take = (): Line => {
    const bytes = held.length === 1 ? held[0] as Uint8Array : Buffer.concat(held);
    const length = size;
    held = [];
    size = 0;
    return { number: ++number, bytes, length };
  };
  for await (const chunk of input) {
    let from = 0;
    for (let to = chunk.indexOf(LINE_FEED); to >= 0; to = chunk.indexOf(LINE_FEED, from)) {
      hold(chunk.subarray(from, to));
      from = to + 1;
      const line = take();
      if (!isBlank(line.bytes)) yield line;
    }
    hold(chunk.subarray(from));
  }
  const last = take();
  if (!isBlank(last.bytes)) yield last;
}

/** True for spaces, tabs and carriage returns only. */
function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

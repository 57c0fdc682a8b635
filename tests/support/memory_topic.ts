import type {
  Assignment,
  ConsumerSession,
  FindPositions,
  IncomingMessage,
  KafkaConsumer,
  LogCut,
  LogPositions,
} from "../../lib/kafka/kafka.ts";
import { offsetsOf } from "./log_positions.ts";

interface Log {
  start: number;
  end: number;
  messages: IncomingMessage[];
}

/**
 * The messages of reading number `reading`, as from a client that loses its way. The right ones
 * would be `messages`.
 */
export type Distort = (messages: IncomingMessage[], reading: number) => IncomingMessage[];

/**
 * A topic in memory, and a consumer of all its partitions. A reading gives the messages from its
 * positions on, then waits for more. It ends at once where a position is out of range, as with a
 * real client.
 */
export class MemoryTopic implements KafkaConsumer {
  readonly topicId: string;
  /** The positions at which each reading began. */
  readonly begun: ReadonlyMap<number, number>[] = [];
  readonly commits: ReadonlyMap<number, number>[] = [];
  /** The number of messages that were given. */
  given = 0;
  distort: Distort = (messages) => messages;
  /** Called when a reading ends because a position is out of range. */
  onOutOfRange: () => void = () => {};
  /** How many readings end at once, as if their positions were out of range. */
  refusals = 0;
  /** The partitions that the group gave to this consumer; absent: all. */
  own: readonly number[] | null = null;
  /** True where `--kafka-start` means the end of the log. */
  isLatest = false;
  /** The holes that somebody asked about. Absent: the brokers cannot be asked. */
  holesAsked: [from: number, to: number][] | null = null;
  /** The cut of the log of partition 0. Only the next reading is told. */
  cut: LogCut | undefined;
  readonly #logs = new Map<number, Log>();
  #wake = Promise.withResolvers<void>();

  constructor(topicId: string) {
    this.topicId = topicId;
  }

  /** Writes a message at the end of a partition's log, or at a later offset. */
  write(value: string | null, { partition = 0, offset = this.#log(partition).end, epoch = 0 } = {}): void {
    const log = this.#log(partition);
    const bytes = value === null ? null : new TextEncoder().encode(value);
    log.messages.push({ partition, offset, epoch, key: null, value: bytes, timestamp: Date.now() });
    log.end = offset + 1;
    this.wake();
  }

  /** Sets the bounds of a partition's log. */
  bound(start: number, end: number, partition = 0): void {
    Object.assign(this.#log(partition), { start, end });
  }

  /** Lets the reading under way look for new messages. */
  wake(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async *readings(position: FindPositions, signal: AbortSignal): AsyncGenerator<ConsumerSession, void> {
    signal.addEventListener("abort", () => this.wake(), { once: true });
    while (!signal.aborted) {
      const assignment = this.#assignment();
      const positions = await position(assignment);
      const messages = this.#messages(positions, this.begun.length, signal);
      this.begun.push(offsetsOf(positions));
      yield { assignment, positions, messages, ...this.holesAsked !== null && { isHole: this.#isHole } };
    }
  }

  async *#messages(
    positions: LogPositions,
    reading: number,
    signal: AbortSignal,
  ): AsyncGenerator<IncomingMessage[], void> {
    const next = offsetsOf(positions);
    if (this.refusals > 0) {
      this.refusals--;
      return this.onOutOfRange();
    }
    while (!signal.aborted) {
      const woken = this.#wake.promise;
      const isInRange = ([partition, offset]: [number, number]) => {
        const { start, end } = this.#log(partition);
        return start <= offset && offset <= end;
      };
      if (![...next].every(isInRange)) return this.onOutOfRange();
      const there = [...next].flatMap(([partition, offset]) =>
        this.#log(partition).messages.filter((message) => message.offset >= offset)
      );
      for (const { partition, offset } of there) next.set(partition, offset + 1);
      for (const message of this.distort(there, reading)) {
        this.given++;
        yield [message];
      }
      await woken;
    }
  }

  readonly #isHole = (partition: number, from: number, to: number): Promise<boolean> => {
    this.holesAsked?.push([from, to]);
    return Promise.resolve(!this.#log(partition).messages.some(({ offset }) => from <= offset && offset < to));
  };

  #assignment(): Assignment {
    const all = [...this.#logs].map(([partition, { start, end }]) => {
      const isCut = partition === 0 && this.cut !== undefined;
      return { partition, logStart: start, logEnd: end, ...isCut && { cut: this.cut } };
    });
    this.cut = undefined;
    const partitions = all.filter(({ partition }) => this.own?.includes(partition) ?? true);
    const ends = new Map(all.map(({ partition, logEnd }) => [partition, logEnd]));
    const firstStarts = () => Promise.resolve(ends);
    return { topic: "metrics", topicId: this.topicId, partitions, ...this.isLatest && { firstStarts } };
  }

  #log(partition: number): Log {
    const log = this.#logs.get(partition) ?? { start: 0, end: 0, messages: [] };
    this.#logs.set(partition, log);
    return log;
  }

  commit(positions: LogPositions): Promise<void> {
    this.commits.push(offsetsOf(positions));
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

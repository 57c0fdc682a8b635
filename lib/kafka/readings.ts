import { setTimeout as delay } from "node:timers/promises";
import { pause, retry } from "../async/retry.ts";
import { unlessAborted } from "../async/waits.ts";
import type { Start } from "../config/setting_types.ts";
import type {
  AssignedPartition,
  Assignment,
  ConsumerSession,
  IncomingMessage,
  KafkaSetupError,
  Position,
  Positions,
} from "./kafka.ts";
import { isPassing, type StatusReporter } from "./setup.ts";

/** A share of the group with all that is known of its partitions. */
export interface Described {
  readonly assignment: Assignment;
  /** Aborts when the group takes the share away. */
  readonly changed: AbortSignal;
  /** Partitions of the share that nobody leads for the moment: they are no part of the assignment. */
  readonly leaderless: readonly number[];
}

/** What a client does for `readings`. */
export interface Group<D extends Described> {
  /**
   * Joins where that is needed, waits for a share and looks at its partitions. May reject with
   * anything; is then tried again.
   */
  describe(signal: AbortSignal): Promise<D>;
  /** The messages from exactly these positions. Ends when `stop` aborts, throws where it cannot go on. */
  messages(described: D, positions: Positions, stop: AbortSignal): AsyncIterable<readonly IncomingMessage[]>;
  /** Where the log of each partition of a share ends now. */
  logEnds(described: D): Promise<Positions>;
  /**
   * True where the brokers, asked by another way than the messages came, have none from `from` to
   * `to` (not included).
   */
  isHole(described: D, partition: number, from: number, to: number): Promise<boolean>;
  /**
   * Where logs were cut below these positions since they were read, as far as can be known. Asked
   * before each reading.
   */
  cuts(described: D, positions: Positions): Promise<Positions>;
  /** True where a leaderless partition of the share has a leader now. */
  hasNewLeader(described: D): Promise<boolean>;
  /** An error as one that no waiting mends, or null; and what it says to a person. */
  asSetupError(error: unknown): KafkaSetupError | null;
  reason(error: unknown): string;
}

/**
 * One reading after the other, until `signal` aborts: how every client goes on after a change of
 * the share or a failure.
 */
export async function* readings<D extends Described>(
  group: Group<D>,
  position: Position,
  status: StatusReporter,
  signal: AbortSignal,
): AsyncGenerator<ConsumerSession, void> {
  let failures = 0;
  const fail = async (error: unknown) => {
    const setup = group.asSetupError(error);
    if (setup !== null) throw setup;
    report(group, status, error);
    await pause(failures, signal);
  };
  while (!signal.aborted) {
    const described = await waitForShare(group, status, signal);
    if (described === null) return;
    const { changed } = described;
    const found = await lookUp(group, described, position, signal);
    // It took its time, perhaps: what is no longer this member's must not be read.
    if (changed.aborted || signal.aborted) continue;
    if ("failure" in found) {
      failures++;
      await fail(found.failure);
      continue;
    }
    const { assignment, positions } = found;
    const left = new AbortController();
    const stop = AbortSignal.any([signal, changed, left.signal]);
    const read = new Read(group.messages(described, positions, stop), status);
    if (described.leaderless.length > 0) {
      status.remark(`Nobody leads partition ${described.leaderless.join(", ")} of the topic: the others are read`);
      void awaitLeader(group, described, left, stop);
    }
    try {
      const isHole = (partition: number, from: number, to: number) => group.isHole(described, partition, from, to);
      yield { assignment, positions, messages: read.messages(), logEnds: () => group.logEnds(described), isHole };
    } finally {
      // The reader may have left while the messages were waiting for more.
      left.abort();
    }
    failures = read.succeeded ? 0 : failures + 1;
    if (read.failure !== undefined) await fail(read.failure);
  }
}

/** Milliseconds between two looks whether a partition that nobody led has a leader. */
const LEADER_EVERY = 2_000;

/** Ends a reading as soon as a partition that it had to leave out can be read. */
async function awaitLeader<D extends Described>(
  group: Group<D>,
  described: D,
  left: AbortController,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    await delay(LEADER_EVERY, undefined, { signal: stop }).catch(() => {});
    if (!stop.aborted && await group.hasNewLeader(described).catch(() => false)) left.abort();
  }
}

/** Where to read each partition from, or how Kafka failed meanwhile. Throws what `position` does. */
async function lookUp<D extends Described>(
  group: Group<D>,
  described: D,
  position: Position,
  signal: AbortSignal,
): Promise<{ assignment: Assignment; positions: Positions } | { failure: unknown }> {
  let failed: { readonly failure: unknown } | undefined;
  const { firstStarts, ...rest } = described.assignment;
  const asked = async (ask: () => Promise<Positions>) => {
    try {
      return await unlessAborted(ask(), signal);
    } catch (failure) {
      failed = { failure };
      throw failure;
    }
  };
  const assignment = firstStarts === undefined ? rest : { ...rest, firstStarts: () => asked(firstStarts) };
  try {
    const positions = await position(assignment);
    // What cannot be asked now shows in the reading, or before the next one.
    const cuts = await unlessAborted(group.cuts(described, positions), signal).catch(() => new Map<number, number>());
    if (cuts.size === 0) return { assignment, positions };
    const partitions = assignment.partitions.map((one) => {
      const cutAt = cuts.get(one.partition);
      return cutAt === undefined ? one : { ...one, cutAt };
    });
    return { assignment, positions: await position({ ...assignment, partitions }) };
  } catch (error) {
    if (failed === undefined || failed.failure !== error) throw error;
    return failed;
  }
}

/** Null where `signal` aborts first. */
async function waitForShare<D extends Described>(
  group: Group<D>,
  status: StatusReporter,
  signal: AbortSignal,
): Promise<D | null> {
  const work = async () => {
    try {
      return await group.describe(signal);
    } catch (error) {
      const setup = group.asSetupError(error);
      // Each, since a later one may be of another kind.
      if (setup === null && !signal.aborted) report(group, status, error);
      throw setup ?? error;
    }
  };
  try {
    // Joining a group may take as long as its slowest member does; whoever stops need not wait for that.
    return await unlessAborted(retry(work, { signal, isPassing }), signal);
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

function report(group: Pick<Group<Described>, "reason">, status: StatusReporter, error: unknown): void {
  status.report(`Kafka gives no messages (${group.reason(error)}): trying again`);
}

/**
 * Asks for an offset of each of some partitions, by time: the first at that time or later, below 0
 * if there is none.
 */
export type Find = (partitions: readonly number[], time: number) => Promise<Positions>;

/** Times that mean the first offset and the end of a log: Kafka's protocol. */
export const EARLIEST = -2;
export const LATEST = -1;

/** Where `--kafka-start` says to begin in each of these partitions, where that is not their first message. */
export async function startOffsets(
  start: Exclude<Start, "earliest">,
  partitions: readonly number[],
  find: Find,
): Promise<Positions> {
  // The ends first: a message written between the two questions is found by its time, or else is behind the end.
  const ends = await find(partitions, LATEST);
  if (start === "latest") return new Map(partitions.map((partition) => [partition, endOf(partition, ends)]));
  const times = await find(partitions, start.time);
  const starts = new Map(partitions.map((partition) => {
    const offset = endOf(partition, times);
    return [partition, offset < 0 ? endOf(partition, ends) : offset];
  }));
  // Written since then; or a broker speaks of an earlier topic of this name, and a start beyond the
  // end would lose messages.
  const later = await find(partitions, LATEST);
  for (const [partition, offset] of starts) if (offset > endOf(partition, later)) throw unknownLog(partition);
  return starts;
}

function endOf(partition: number, offsets: Positions): number {
  const offset = offsets.get(partition);
  if (offset === undefined) throw unknownLog(partition);
  return offset;
}

/** Where the logs of these partitions begin and end. */
export async function bounds(partitions: readonly number[], find: Find): Promise<AssignedPartition[]> {
  if (partitions.length === 0) return [];
  const [starts, ends] = await Promise.all([find(partitions, EARLIEST), find(partitions, LATEST)]);
  return partitions.map((partition) => {
    const [logStart, logEnd] = [endOf(partition, starts), endOf(partition, ends)];
    // Two brokers of which one speaks of an earlier topic of this name.
    if (logStart > logEnd) throw unknownLog(partition);
    return { partition, logStart, logEnd };
  });
}

/**
 * One position for each assigned partition, no more and no less: a partition read from elsewhere
 * would be lost or read by two.
 */
export function exactly({ partitions }: Assignment, positions: Positions): Map<number, number> {
  return new Map(partitions.map(({ partition }) => {
    const position = positions.get(partition);
    if (position === undefined) throw new TypeError(`No position was given for the assigned partition ${partition}`);
    return [partition, position];
  }));
}

/** Nothing may be taken for the bounds of a log instead: marks beyond them are moved. */
export function unknownLog(partition: number): Error {
  return new Error(`The brokers did not say where the log of partition ${partition} begins and ends`);
}

/** One pass over messages, which just ends for the reader: why it ended is kept here. */
class Read {
  readonly #messages: AsyncIterable<readonly IncomingMessage[]>;
  readonly #status: StatusReporter;
  failure: unknown;
  succeeded = false;

  constructor(messages: AsyncIterable<readonly IncomingMessage[]>, status: StatusReporter) {
    this.#messages = messages;
    this.#status = status;
  }

  async *messages(): AsyncGenerator<readonly IncomingMessage[], void> {
    try {
      for await (const messages of this.#messages) {
        this.#status.settle("Kafka gives messages again");
        this.succeeded = true;
        yield messages;
      }
    } catch (error) {
      this.failure = error;
    }
  }
}

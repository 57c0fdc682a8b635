import type { Assignment, IncomingMessage, KafkaSetupError, Position, Positions, Reading, Start } from "../kafka.ts";
import { isPassing, type Troubles } from "./setup.ts";
import { pause, retry } from "../retry.ts";
import { unlessAborted } from "../unless_aborted.ts";

/** A share of the group with all that is known of its partitions. */
export interface Described {
  readonly assignment: Assignment;
  /** Aborts when the group takes the share away. */
  readonly changed: AbortSignal;
}

/** What a client does for `readings`. */
export interface Group<D extends Described> {
  /** Joins where that is needed, waits for a share and looks at its partitions. May reject with anything; is then tried again. */
  describe(signal: AbortSignal): Promise<D>;
  /** The messages from exactly these positions. Ends when `stop` aborts, throws where it cannot go on. */
  messages(described: D, positions: Positions, stop: AbortSignal): AsyncIterable<readonly IncomingMessage[]>;
  /** Where the log of each partition of a share ends now. */
  logEnds(described: D): Promise<Positions>;
  /** An error as one that no waiting mends, or null; and what it says to a person. */
  asSetupError(error: unknown): KafkaSetupError | null;
  reason(error: unknown): string;
}

/** One reading after the other, until `signal` aborts: how every client goes on after a change of the share or a failure. */
export async function* readings<D extends Described>(
  group: Group<D>,
  position: Position,
  troubles: Troubles,
  signal: AbortSignal,
): AsyncGenerator<Reading, void> {
  for (let failures = 0; !signal.aborted;) {
    const described = await waitForShare(group, troubles, signal);
    if (described === null) return;
    const { assignment, changed } = described;
    const positions = await position(assignment);
    // It took its time, perhaps: what is no longer this member's must not be read.
    if (changed.aborted) continue;
    const left = new AbortController();
    const read = new Read(
      group.messages(described, positions, AbortSignal.any([signal, changed, left.signal])),
      troubles,
    );
    yield { assignment, positions, messages: read.messages(), logEnds: () => group.logEnds(described) };
    // The reader may have left while the messages were waiting for more.
    left.abort();
    failures = read.succeeded ? 0 : failures + 1;
    if (read.failure === undefined) continue;
    const setup = group.asSetupError(read.failure);
    if (setup !== null) throw setup;
    report(group, troubles, read.failure);
    await pause(failures, signal);
  }
}

/** Null where `signal` aborts first. */
async function waitForShare<D extends Described>(
  group: Group<D>,
  troubles: Troubles,
  signal: AbortSignal,
): Promise<D | null> {
  const work = async () => {
    try {
      return await group.describe(signal);
    } catch (error) {
      const setup = group.asSetupError(error);
      // Each, since a later one may be of another kind.
      if (setup === null && !signal.aborted) report(group, troubles, error);
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

function report(group: Pick<Group<Described>, "reason">, troubles: Troubles, error: unknown): void {
  troubles.report(`Kafka gives no messages (${group.reason(error)}): trying again`);
}

/** Where `--kafka-start` says to begin in a partition. `byTime`: the first offset at that time or later, below 0 if there is none. */
export function startOffset(start: Start, logStart: number, logEnd: number, byTime: number): number {
  if (start === "earliest") return logStart;
  return start === "latest" || byTime < 0 ? logEnd : byTime;
}

/** One position for each assigned partition, no more and no less: a partition read from elsewhere would be lost or read by two. */
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
  readonly #troubles: Troubles;
  failure: unknown;
  succeeded = false;

  constructor(messages: AsyncIterable<readonly IncomingMessage[]>, troubles: Troubles) {
    this.#messages = messages;
    this.#troubles = troubles;
  }

  async *messages(): AsyncGenerator<readonly IncomingMessage[], void> {
    try {
      for await (const messages of this.#messages) {
        this.#troubles.settle("Kafka gives messages again");
        this.succeeded = true;
        yield messages;
      }
    } catch (error) {
      this.failure = error;
    }
  }
}

import { addAbortListener } from "node:events";
import type { LogConsumer } from "./javascript/log_consumer.ts";
import type { LogPositions, Positions } from "./kafka.ts";
import type { TopicDescription } from "./topic.ts";

/** Joins the group. Rejects when `signal` aborts, and has left the group then. */
export type JoinGroup = (signal: AbortSignal) => Promise<GroupMember>;

/** A member of the group, through either library. Its errors are explained (`ErrorReader`). */
export interface GroupMember {
  /** The state of its membership, which the library's callbacks write. */
  readonly membership: Membership;
  /** The client that fetches messages: the member itself, or another one beside it. */
  readonly fetching: LogConsumer;
  /** The partitions that the group gave it. Waits for them; rejects as `Membership.held` does. */
  held(signal: AbortSignal): Promise<HeldPartitions>;
  identifyTopic(): Promise<TopicDescription>;
  /**
   * The first offset at a time or later of each partition, below 0 if there is none. Rejects with
   * an `UnknownPartitionError` where only a new client can say.
   */
  findOffsets(partitions: readonly number[], time: number): Promise<Positions>;
  /** Tells the group how far it is. Never rejects. */
  commit(positions: LogPositions): Promise<void>;
  /**
   * Leaves the group and ends the clients. `isLast`: the process is about to end. Never rejects.
   */
  leave(isLast: boolean): Promise<void>;
}

/** The partitions that the group gave to a member; `changed` aborts when that is no longer so. */
export interface HeldPartitions {
  readonly partitions: readonly number[];
  readonly changed: AbortSignal;
}

/**
 * The topic is another one, or has other partitions, than when the group assigned them: it must
 * assign them anew.
 */
export class OutdatedAssignment extends Error {
  override name = "OutdatedAssignment";
}

/**
 * A client does not know a partition that the topic has. It would say so again and again; a new
 * client would not.
 */
export class UnknownPartitionError extends Error {
  override name = "UnknownPartitionError";
}

/** The topic of the group's present assignments, as far as a member knows. */
export interface TopicSnapshot {
  /**
   * How many partitions it assigned as the group's leader: its knowledge may have been some seconds
   * old.
   */
  assigned: number | null;
  /** The topic's id when this member first looked at it. */
  id: string | null;
  /** The partitions of the whole topic when it first looked at it with the present assignment. */
  partitions: number | null;
}

/**
 * What a member holds and knows of the topic, from joining to leaving. A client's callbacks write
 * it.
 */
export class Membership {
  readonly snapshot: TopicSnapshot = { assigned: null, id: null, partitions: null };
  #held: HeldPartitions | undefined;
  #change = new AbortController();
  #failure: Error | undefined;
  #wake: () => void = () => {};

  /** True where the membership is over, and a new one is needed. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** The group gave these partitions, and no others. */
  gain(partitions: readonly number[]): void {
    this.lose();
    this.#change = new AbortController();
    this.#held = { partitions: partitions.toSorted((a, b) => a - b), changed: this.#change.signal };
    this.#wake();
  }

  /** The group is assigning anew: this member has no partition now. */
  lose(): void {
    this.#held = undefined;
    this.#change.abort();
  }

  /** The client cannot go on. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.lose();
    this.#wake();
  }

  /**
   * The partitions, as soon as there are some. Rejects with what ended the membership, or when
   * `signal` aborts.
   */
  async held(signal: AbortSignal): Promise<HeldPartitions> {
    while (this.#held === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      signal.throwIfAborted();
      await this.#news(signal);
    }
    return this.#held;
  }

  async #news(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    using _listener = addAbortListener(signal, () => resolve());
    await promise;
  }

  /** Takes down what the topic is, where this is the first look at it. */
  note(now: TopicDescription): void {
    this.snapshot.id ??= now.id;
    this.snapshot.partitions ??= now.partitions;
  }

  /**
   * True where the topic was deleted and made again, some partition of it belongs to no member, or
   * one of `partitions` does not exist.
   */
  isOutdated(partitions: readonly number[], now: TopicDescription): boolean {
    if (partitions.some((partition) => partition >= now.partitions)) return true;
    const { id, partitions: known, assigned } = this.snapshot;
    const isOther = (count: number | null) => count !== null && count !== now.partitions;
    return (id ?? now.id) !== now.id || isOther(known) || isOther(assigned);
  }
}

import { randomUUID } from "node:crypto";
import type { IncidentSettings } from "../../config/settings.ts";
import type { MovedMark } from "../marks.ts";
import type { OffsetRanges, TopicIdentity } from "../piece.ts";
import type { Canaries } from "./canaries.ts";
import type { MaintenanceWindows } from "./maintenance.ts";
import {
  type AddressState,
  type IncidentChange,
  type Observation,
  observe,
  passQuietly,
  UNKNOWN_ADDRESS,
} from "./rules.ts";

/** What the table tells of marks, addresses, and the times in which nobody wants to hear of them. */
export interface TrackedTable {
  marks(identity: TopicIdentity, partitions: readonly number[]): Promise<ReadonlyMap<number, MovedMark>>;
  states(addresses: readonly string[]): Promise<ReadonlyMap<string, AddressState>>;
  maintenance(): Promise<MaintenanceWindows>;
  /** Addresses that tell of the network of a place; absent: nobody has named any. */
  readonly canaries?: Canaries | null;
}

/** Calls `visit` for each check of a statement, in order. What it is called with is valid meanwhile. */
export type ForEachCheck = (visit: (check: Observation) => void) => void;

/** What a statement changes, and on top of what. */
export interface PlannedStatement {
  readonly changes: readonly IncidentChange[];
  /** Its name: a UUID that no other statement has. */
  readonly name: string;
  /** Partition → the statement that must have moved its mark last; null: one without a name. */
  readonly after: ReadonlyMap<number, string | null>;
}

/** A statement that waits for its answer. */
export interface IncidentPlan extends PlannedStatement {
  /**
   * It has an answer. `isStored`: it has found all marks as it was planned for, and moved them.
   */
  settle(isStored: boolean): void;
}

/** Addresses that are kept in mind. With more of them everything is forgotten now and then. */
const MOST_KNOWN = 500_000;

/**
 * What is known of addresses: what the table tells when the marks stand as `marks` says. It runs
 * ahead of the table by the statements that have no answer yet.
 */
class Knowledge {
  readonly marks = new Map<string, MovedMark>();
  readonly states = new Map<string, AddressState>();
}

/**
 * The state of each address, as the messages that were sent tell it. Each statement has a name,
 * which it leaves at the marks that it moves. It is planned on top of what is known, and tells which
 * statement it follows: where another one has moved a mark last, it stores nothing of that
 * partition. Then everything is forgotten, and read from the table when an address comes by again.
 */
export class IncidentTracker {
  readonly #rules: IncidentSettings;
  readonly #table: TrackedTable;
  #known = new Knowledge();

  constructor(rules: IncidentSettings, table: TrackedTable) {
    this.#rules = rules;
    this.#table = table;
  }

  /**
   * Forgets everything. Partitions were assigned: addresses may have come to them from others, and
   * another consumer may have stored their checks since.
   */
  forget(): void {
    this.#known = new Knowledge();
  }

  /** True if a statement with these ranges may be planned on top of others that have no answer yet. */
  continues(identity: TopicIdentity, ranges: OffsetRanges): boolean {
    return this.#known.marks.size > 0 && this.#fits(identity, ranges);
  }

  /** True if these ranges begin where what is known ends, as far as something is known. */
  #fits(identity: TopicIdentity, ranges: OffsetRanges): boolean {
    return [...ranges].every(([partition, { start }]) => {
      const mark = this.#known.marks.get(keyOf(identity, partition));
      return mark === undefined || mark.offset === start;
    });
  }

  /** Plans a statement that stores these ranges with these checks. One at a time may be planned. */
  async plan(identity: TopicIdentity, ranges: OffsetRanges, forEachCheck: ForEachCheck): Promise<IncidentPlan> {
    if (!this.#fits(identity, ranges) || this.#known.states.size > MOST_KNOWN) this.#known = new Knowledge();
    const windows = await this.#table.maintenance();
    const { canaries } = this.#table;
    if (canaries) {
      await canaries.refresh();
      forEachCheck((check) => canaries.note(check));
    }
    for (;;) {
      const known = this.#known;
      // The marks come first: what is read after them is as new as they are, or newer. If it is
      // newer, the marks have moved, and the statement finds that.
      const unmarked = [...ranges.keys()].filter((partition) => !known.marks.has(keyOf(identity, partition)));
      if (unmarked.length > 0) {
        const marks = await this.#table.marks(identity, unmarked);
        for (const partition of unmarked) {
          known.marks.set(keyOf(identity, partition), marks.get(partition) ?? { offset: -1, statement: null });
        }
        continue;
      }
      const states: AddressState[] = [];
      const unknown = new Set<string>();
      forEachCheck(({ address }) => {
        const state = known.states.get(address);
        if (state === undefined) unknown.add(address);
        else states.push(state);
      });
      // At once: nothing may be forgotten in between.
      if (unknown.size === 0) return this.#planFrom(identity, ranges, states, forEachCheck, windows);
      const read = await this.#table.states([...unknown]);
      for (const address of unknown) known.states.set(address, read.get(address) ?? UNKNOWN_ADDRESS);
    }
  }

  /** `before` has the state of each check's address. */
  #planFrom(
    identity: TopicIdentity,
    ranges: OffsetRanges,
    before: readonly AddressState[],
    forEachCheck: ForEachCheck,
    windows: MaintenanceWindows,
  ): IncidentPlan {
    const known = this.#known;
    const { states } = known;
    const changes: IncidentChange[] = [];
    let i = 0;
    let isChanged = false;
    forEachCheck((check) => {
      const state = (isChanged ? states.get(check.address) : before[i++]) ?? UNKNOWN_ADDRESS;
      // Nearly always. Nothing is made for it.
      if (passQuietly(state, check)) return;
      isChanged = true;
      states.set(check.address, this.#after(state, check, changes, windows));
    });
    const name = randomUUID();
    const after = new Map<number, string | null>();
    for (const [partition, { start, next }] of ranges) {
      const key = keyOf(identity, partition);
      after.set(partition, known.marks.get(key)?.statement ?? null);
      if (next > start) known.marks.set(key, { offset: next, statement: name });
    }
    const settle = (isStored: boolean) => {
      if (!isStored && known === this.#known) this.#known = new Knowledge();
    };
    return { changes, name, after, settle };
  }

  #after(
    state: AddressState,
    check: Observation,
    changes: IncidentChange[],
    windows: MaintenanceWindows,
  ): AddressState {
    const inMaintenance = windows.has(check.address, check.due);
    return observe(this.#rules, state, check, changes, inMaintenance, this.#table.canaries);
  }
}

function keyOf({ topicId }: TopicIdentity, partition: number): string {
  return `${partition} ${topicId}`;
}

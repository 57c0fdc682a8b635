import type { IncidentSettings } from "../../config/settings.ts";
import {
  type AddressState,
  type IncidentChange,
  type Observation,
  observe,
  passQuietly,
  UNKNOWN_ADDRESS,
} from "./rules.ts";

/** Finds out what the table tells of addresses. */
export type ReadStates = (addresses: readonly string[]) => Promise<ReadonlyMap<string, AddressState>>;

/** Calls `visit` for each check of a statement, in order. What it is called with is valid meanwhile. */
export type ForEachCheck = (visit: (check: Observation) => void) => void;

/** What a statement changes. */
export interface IncidentPlan {
  readonly changes: readonly IncidentChange[];
  /**
   * The statement has an answer. `isSound`: all of it is in the table, and nobody else had stored
   * any of it before.
   */
  settle(isSound: boolean): void;
}

/**
 * The state of each address, as the messages that were sent tell it. A statement is planned before
 * it is sent, on top of those that are under way. Where one is not stored as it was sent, everything
 * is forgotten: the table tells what it was, when an address comes by again.
 */
export class IncidentTracker {
  readonly #rules: IncidentSettings;
  readonly #read: ReadStates;
  #known = new Map<string, AddressState>();
  /** Statements that have no answer yet, each with what was known when it was sent. */
  readonly #unsettled = new Map<PromiseWithResolvers<void>, ReadonlyMap<string, AddressState>>();

  constructor(rules: IncidentSettings, read: ReadStates) {
    this.#rules = rules;
    this.#read = read;
  }

  /** Forgets everything: messages will be read from other places, or be sent again. */
  forget(): void {
    this.#known = new Map();
  }

  /** Plans a statement with these checks. One at a time may be planned. */
  async plan(forEachCheck: ForEachCheck): Promise<IncidentPlan> {
    for (;;) {
      const known = this.#known;
      const states: AddressState[] = [];
      const unknown = new Set<string>();
      forEachCheck(({ address }) => {
        const state = known.get(address);
        if (state === undefined) unknown.add(address);
        else states.push(state);
      });
      // At once: nothing may be forgotten in between.
      if (unknown.size === 0) return this.#planFrom(states, forEachCheck);
      await this.#settleForgotten();
      const read = await this.#read([...unknown]);
      // If everything is forgotten meanwhile, this is older than what is read next.
      for (const address of unknown) known.set(address, read.get(address) ?? UNKNOWN_ADDRESS);
    }
  }

  /** `before` has the state of each check's address. */
  #planFrom(before: readonly AddressState[], forEachCheck: ForEachCheck): IncidentPlan {
    const known = this.#known;
    const changes: IncidentChange[] = [];
    let i = 0;
    let isChanged = false;
    forEachCheck((check) => {
      const state = (isChanged ? known.get(check.address) : before[i++]) ?? UNKNOWN_ADDRESS;
      // Nearly always. Nothing is made for it.
      if (passQuietly(state, check)) return;
      isChanged = true;
      known.set(check.address, observe(this.#rules, state, check, changes));
    });
    const settled = Promise.withResolvers<void>();
    this.#unsettled.set(settled, known);
    return {
      changes,
      settle: (isSound) => {
        this.#unsettled.delete(settled);
        settled.resolve();
        // A later statement was planned on top of this one.
        if (!isSound || known !== this.#known) this.forget();
      },
    };
  }

  /** The table must have what was sent before everything was forgotten, or never get it. */
  async #settleForgotten(): Promise<void> {
    for (const [settled, known] of [...this.#unsettled]) if (known !== this.#known) await settled.promise;
  }
}

import { randomUUID } from "node:crypto";
import { delay } from "../async/waits.ts";
import { classifyError, type Database, explain, sqlFailure } from "./database.ts";
import { adoptDays, biteSql, finishDaySql, heedMaintenanceSql, leaveDaySql, takeDaySql } from "./days.ts";
import { spanOf } from "./part_spans.ts";
import { readParts } from "./parts.ts";
import type { Tables } from "./tables.ts";

/** Events of the roll-ups that a person wants to know of. */
export interface RollUpEvents {
  /** A day was rolled up, or could not be. */
  rolledUp(what: string, isTrouble: boolean): void;
}

/** The moments at which a day is rolled up, in seconds. */
export interface RollUpTimes {
  /** So long after its end: most of what is under way then has come. */
  readonly after: number;
  /** Rows came since: so long after the last time. A spool brings many, one by one. */
  readonly again: number;
}

const TIMES: RollUpTimes = { after: 600, again: 600 };

/** Milliseconds between two looks for a day. */
const LOOK_INTERVAL = 60_000;
/** Milliseconds that a statement should take: metrics wait behind it. */
const LONGEST_BITE = 50;
/** Addresses in one statement: the first one, and the most. */
const FIRST_BITE = 16;
const MOST_ADDRESSES = 4096;

/** What a roll-up needs to know of the work that it must not hold up. */
export interface Foreground {
  /** Settles when no metrics are being stored, or after some time all the same. */
  quiet(signal: AbortSignal): Promise<void>;
  /**
   * The moment before which no rows are kept, as `toISOString` writes it; null: all are. Days from
   * before it come first: their part waits for them before it goes.
   */
  keptFrom?(): string | null;
}

interface Bite {
  /** Null: there was no address left. */
  readonly last: string | null;
  readonly size: number;
}

/**
 * Rolls up the days of a table, one after the other and in small bites. Of several consumers one
 * does so at a time; if it dies, another one goes on. Whatever happens in between, a day counts as
 * rolled up only if each of its rows was read.
 */
export class RollUp {
  readonly #database: Database;
  readonly #tables: Tables;
  readonly #events: RollUpEvents;
  readonly #foreground: Foreground;
  readonly #times: RollUpTimes;
  readonly #roller = randomUUID();
  #size = FIRST_BITE;

  constructor(
    database: Database,
    tables: Tables,
    events: RollUpEvents,
    foreground: Foreground = { quiet: () => Promise.resolve() },
    times: RollUpTimes = TIMES,
  ) {
    this.#database = database;
    this.#tables = tables;
    this.#events = events;
    this.#foreground = foreground;
    this.#times = times;
  }

  /** Rolls up each day that can be, until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    if (!this.#tables.hasDays) return;
    for (let isAdopted = false; !signal.aborted;) {
      let isMore = false;
      try {
        if (!isAdopted) await this.adopt();
        isAdopted = true;
        await this.heedMaintenance();
        isMore = await this.next(signal) !== null;
      } catch (error) {
        // While the server is away, the storing says so.
        if (!signal.aborted && classifyError(error) !== "wait") {
          this.#events.rolledUp(`No day of ${this.#tables.main} could be rolled up: ${explain(error)}`, true);
        }
      }
      if (!isMore) await delay(LOOK_INTERVAL, signal);
    }
  }

  /** Notes the days of parts that somebody else has filled. */
  async adopt(): Promise<void> {
    const parts = (await readParts(this.#database, this.#tables.main))?.parts ?? [];
    const known = parts.filter(({ from, to }) => Number.isFinite(from) && Number.isFinite(to));
    if (known.length > 0) await adoptDays(this.#database, this.#tables, known);
  }

  /** Finds the days that count otherwise since somebody has written of maintenance: they come again. */
  async heedMaintenance(): Promise<void> {
    const { hasMaintenance, hasIncidents } = this.#tables;
    // The table of the leases comes with the incidents.
    if (hasMaintenance && hasIncidents) await this.#database.query(heedMaintenanceSql(this.#tables));
  }

  /**
   * Rolls up one day. Gives it; null if there is none, another consumer is at work, or `signal` has
   * aborted. A day that is left in the middle is taken up again, by anybody.
   */
  async next(signal: AbortSignal): Promise<string | null> {
    await this.#foreground.quiet(signal);
    const { after, again } = this.#times;
    const [taken] = await this.#database.query<{ day: string; rolled_to: string | null }>(
      takeDaySql(this.#tables),
      [this.#roller, String(after), String(again), this.#foreground.keptFrom?.()?.slice(0, 10) ?? null],
    );
    if (taken === undefined) return null;
    const began = performance.now();
    const addresses = await this.#rollUp(taken.day, taken.rolled_to, signal);
    if (addresses === null) {
      await this.#database.query(leaveDaySql(this.#tables), [taken.day, this.#roller]);
      return null;
    }
    const finished = await this.#database.query(finishDaySql(this.#tables), [taken.day, this.#roller]);
    if (finished.length === 0) return null;
    if (addresses > 0) {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const { daily } = this.#tables;
      this.#events.rolledUp(
        `${taken.day} is rolled up in ${daily}: addresses: ${addresses}, seconds: ${seconds}`,
        false,
      );
    }
    return taken.day;
  }

  /** Gives the number of addresses; null if the day is not done. */
  async #rollUp(day: string, from: string | null, signal: AbortSignal): Promise<number | null> {
    const { partLength } = this.#tables;
    const span = partLength === null ? null : spanOf(partLength, Date.parse(day));
    let addresses = 0;
    for (let last = from; !signal.aborted;) {
      await this.#foreground.quiet(signal);
      if (signal.aborted) break;
      const began = performance.now();
      const size = this.#size;
      const bite = await this.#bite(last, [day, this.#roller, String(size)], span);
      // Somebody took it for dead, and took over.
      if (bite === null) return null;
      const took = performance.now() - began;
      addresses += bite.size;
      if (bite.size < size) return addresses;
      last = bite.last;
      if (took > 2 * LONGEST_BITE) this.#size = Math.max(1, size >> 1);
      else if (2 * took < LONGEST_BITE) this.#size = Math.min(2 * size, MOST_ADDRESSES);
      // Whoever else asks the database has half of its time at least.
      await delay(took, signal);
    }
    return null;
  }

  async #bite(
    last: string | null,
    parameters: readonly string[],
    span: Parameters<typeof biteSql>[1],
  ): Promise<Bite | null> {
    const text = biteSql(this.#tables, span, last === null);
    try {
      const [bite] = await this.#database.query<Bite>(text, last === null ? parameters : [...parameters, last]);
      return bite ?? null;
    } catch (error) {
      // The server ended it for its time.
      if (sqlFailure(error)?.code === "57014") this.#size = Math.max(1, this.#size >> 2);
      throw error;
    }
  }
}

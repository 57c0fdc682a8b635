import { cutoffOf, type Keep, keepText } from "../config/keep.ts";
import type { RetentionSettings } from "../config/settings.ts";
import type { Database } from "./database.ts";
import {
  isShorter,
  type KeepState,
  keptFrom,
  type KeptKind,
  nextState,
  readKeepStates,
  writeKeepState,
} from "./keep_state.ts";
import { readOldParts } from "./old_parts.ts";
import { hasOldDays } from "./old_rows.ts";
import type { KeptSince, Tables } from "./tables.ts";

/** Times that the state is read again because another consumer has just changed it. */
const MOST_LOOKS = 5;

/** The settings by their names, for a person. */
export const KEEP_SETTINGS: Readonly<Record<KeptKind, string>> = {
  rows: "DB_KEEP (--db-keep)",
  rejected: "DB_KEEP_REJECTED (--db-keep-rejected)",
  daily: "DB_KEEP_DAILY (--db-keep-daily)",
};

/** How long everything is kept now. */
export interface Kept {
  readonly states: Readonly<Record<KeptKind, KeepState>>;
  /** The moment before which nothing is kept, by kind; `-Infinity`: all is kept. */
  readonly cutoffs: Readonly<Record<KeptKind, number>>;
}

export interface KeptTimesOptions {
  readonly wanted: RetentionSettings;
  /** The tables as they are known now. */
  tables(): Tables;
  /** Hears before which moment metrics are not taken. */
  onKept(kept: KeptSince | null): void;
}

/** Decides how long rows are kept, by the settings and by what the database remembers. */
export class KeptTimes {
  readonly #options: KeptTimesOptions;

  constructor(options: KeptTimesOptions) {
    this.#options = options;
  }

  /** Reads how long everything is kept, and decides on what has changed. */
  async look(database: Database): Promise<Kept> {
    const rows = await this.#decide(database, "rows");
    const rejected = await this.#decide(database, "rejected");
    const daily = await this.#decide(database, "daily");
    // A clock that is ahead must let nothing go: the server's and this machine's must agree.
    const now = Math.min(rows.now, Date.now());
    const from = keptFrom(rows.state, now);
    const { keep } = rows.state;
    const why = keep === "all" ? "what was older has gone" : `${KEEP_SETTINGS.rows} is ${keepText(keep)}`;
    this.#options.onKept(Number.isFinite(from) ? { from: new Date(from).toISOString(), why } : null);
    return {
      states: { rows: rows.state, rejected: rejected.state, daily: daily.state },
      cutoffs: { rows: from, rejected: cutoffOf(rejected.state.keep, now), daily: cutoffOf(daily.state.keep, now) },
    };
  }

  /** As `look`, unless everything is kept and always was. */
  async lookIfKnown(database: Database): Promise<void> {
    const { keep } = this.#options.tables();
    const found = await database.query("select where to_regclass($1::text) is not null", [keep]);
    if (found.length > 0) await this.look(database);
  }

  async #decide(database: Database, kind: KeptKind): Promise<{ state: KeepState; now: number }> {
    const { wanted: { [kind]: wanted, isNow }, tables } = this.#options;
    for (let looks = 1;; looks++) {
      const { now, states } = await readKeepStates(database, tables());
      const before = states[kind];
      const isHarmless = isShorter(wanted, before.keep, now) &&
        !await this.#holdsOlder(database, kind, wanted, Math.min(now, Date.now()));
      const state = nextState(before, wanted, { now, isNow, isHarmless });
      if (isSame(before, state) || looks === MOST_LOOKS) return { state: before, now };
      if (await writeKeepState(database, tables(), kind, before, state)) return { state, now };
    }
  }

  /** True if something may be older. Without parts that takes too long to find out. */
  async #holdsOlder(database: Database, kind: KeptKind, keep: Keep, now: number): Promise<boolean> {
    const tables = this.#options.tables();
    if (kind === "rows" && tables.partLength !== null) {
      return (await readOldParts(database, tables, cutoffOf(keep, now))).length > 0;
    }
    if (kind === "daily") return tables.hasDays && await hasOldDays(database, tables, cutoffOf(keep, now));
    const table = kind === "rows" ? tables.main : tables.rejected;
    return (await database.query(`select from ${table} limit 1`)).length > 0;
  }
}

function isSame(a: KeepState, b: KeepState): boolean {
  const [one, other] = [a, b].map(({ keep, shorter }) => `${keepText(keep)} ${shorter && keepText(shorter)}`);
  return one === other;
}

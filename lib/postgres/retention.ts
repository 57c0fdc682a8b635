import { addAbortListener } from "node:events";
import { pause } from "../async/retry.ts";
import { delay } from "../async/waits.ts";
import { count } from "../config/count.ts";
import { cutoffOf, type Keep, keepText } from "../config/keep.ts";
import type { RetentionSettings } from "../config/settings.ts";
import { type Database, explain, isConnectionLoss, sqlFailure } from "./database.ts";
import {
  claimSweep,
  endSweep,
  goneSql,
  isShorter,
  type KeepState,
  keptFrom,
  type KeptKind,
  nextState,
  readKeepStates,
  writeKeepState,
} from "./keep_state.ts";
import {
  BITE,
  countRows,
  deleteBite,
  dropPartSql,
  type OldPart,
  PART_GONE,
  readLeaves,
  readOldParts,
} from "./old_rows.ts";
import { lengthOf, type Span } from "./part_spans.ts";
import { readParts } from "./parts.ts";
import { quoteTables } from "./schema.ts";
import type { KeptSince, Tables } from "./tables.ts";

/** Milliseconds between two looks at what is too old. */
const LOOK_INTERVAL = 3_600_000;
/** Milliseconds until what could not go is tried again. */
const RETRY_INTERVAL = 60_000;
/** Milliseconds. What stays too long is said once a day. */
const WARNING_INTERVAL = 86_400_000;
/**
 * Milliseconds that the tries to drop a part wait for its locks, one after the other. Flushes wait
 * behind each of them. All are below PostgreSQL's time limit for deadlocks.
 */
const PATIENCES = [100, 200, 400, 800];
/** Milliseconds between two bites, at least. A pass is at work half of the time. */
const LEAST_PAUSE = 10;
/** Times that the state is read again because another consumer has just changed it. */
const MOST_LOOKS = 5;

/** The settings by their names, for a person. */
const SETTINGS: Readonly<Record<KeptKind, string>> = {
  rows: "DB_KEEP (--db-keep)",
  rejected: "DB_KEEP_REJECTED (--db-keep-rejected)",
};

export interface RetentionOptions {
  readonly wanted: RetentionSettings;
  /** The tables as they are known now. */
  tables(): Tables;
  /** Hears before which moment metrics are not taken. */
  onKept(kept: KeptSince | null): void;
  /** The days of a part, for a person, for whose sake it must not go yet. */
  daysHolding(span: Span): Promise<readonly string[]>;
}

/** How a retention is carried out. */
export interface RetentionWork {
  /** A way to the database on which nobody else waits. */
  open(): Database;
  /** Ends the work. */
  readonly signal: AbortSignal;
  /** Something went, or cannot go, or will go soon. */
  tell(what: string, isTrouble: boolean): void;
}

/** What a look has found. */
interface Look {
  readonly states: Readonly<Record<KeptKind, KeepState>>;
  /** The moment before which nothing is kept, by kind. */
  readonly cutoffs: Readonly<Record<KeptKind, number>>;
}

/**
 * Lets go what is older than `--db-keep` and `--db-keep-rejected` say: parts as a whole, rows of a
 * table without parts, and rejected messages. A time that was shortened counts a day later
 * (keep_state.ts).
 */
export class Retention {
  readonly #options: RetentionOptions;
  /** When a thing was last told, by its name. */
  readonly #told = new Map<string, number>();
  /** Rows of parts that could not go yet. */
  readonly #counted = new Map<string, number | null>();

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  get #tables(): Tables {
    return this.#options.tables();
  }

  /** Reads how long everything is kept, and decides on what has changed. */
  async look(database: Database): Promise<Look> {
    const states = { rows: await this.#decide(database, "rows"), rejected: await this.#decide(database, "rejected") };
    // A clock that is ahead must let nothing go: the server's and this machine's must agree.
    const now = Math.min(states.rows.now, Date.now());
    const cutoffs = {
      rows: keptFrom(states.rows.state, now),
      rejected: cutoffOf(states.rejected.state.keep, now),
    };
    const [from, { keep }] = [cutoffs.rows, states.rows.state];
    const why = keep === "all" ? "what was older has gone" : `${SETTINGS.rows} is ${keepText(keep)}`;
    this.#options.onKept(Number.isFinite(from) ? { from: new Date(from).toISOString(), why } : null);
    return { states: { rows: states.rows.state, rejected: states.rejected.state }, cutoffs };
  }

  async #decide(database: Database, kind: KeptKind): Promise<{ state: KeepState; now: number }> {
    const { wanted } = this.#options;
    for (let looks = 1;; looks++) {
      const { now, states } = await readKeepStates(database, this.#tables);
      const before = states[kind];
      const isHarmless = isShorter(wanted[kind], before.keep, now) &&
        !await this.#holdsOlder(database, kind, wanted[kind], Math.min(now, Date.now()));
      const state = nextState(before, wanted[kind], { now, isNow: wanted.isNow, isHarmless });
      if (isSame(before, state) || looks === MOST_LOOKS) return { state: before, now };
      if (await writeKeepState(database, this.#tables, kind, before, state)) return { state, now };
    }
  }

  /** True if something may be older. Without parts that takes too long to find out. */
  async #holdsOlder(database: Database, kind: KeptKind, keep: Keep, now: number): Promise<boolean> {
    const tables = this.#tables;
    if (kind === "rows" && tables.partLength !== null) {
      return (await readOldParts(database, tables, cutoffOf(keep, now))).length > 0;
    }
    const table = kind === "rows" ? tables.main : tables.rejected;
    return (await database.query(`select from ${table} limit 1`)).length > 0;
  }

  /** Looks and lets go, again and again, until `signal` aborts. Never rejects. */
  async run(work: RetentionWork): Promise<void> {
    while (!work.signal.aborted) {
      let isDone = false;
      const database = work.open();
      try {
        using _listening = addAbortListener(work.signal, () => void database[Symbol.asyncDispose]());
        isDone = await this.sweep(database, work);
      } catch (error) {
        // The flushes tell of a database that is away.
        if (!work.signal.aborted && !isConnectionLoss(error)) {
          this.#tellDaily(work, "failure", `What is too old could not go: ${explain(error)}`);
        }
      } finally {
        await database[Symbol.asyncDispose]();
      }
      await delay(isDone ? LOOK_INTERVAL : RETRY_INTERVAL, work.signal);
    }
  }

  /** Lets go what may go now. False if something could not go that may. */
  async sweep(database: Database, work: Pick<RetentionWork, "signal" | "tell">): Promise<boolean> {
    const { states, cutoffs } = await this.look(database);
    await this.#announce(database, "rows", states.rows, work);
    await this.#announce(database, "rejected", states.rejected, work);
    const rows = await this.#sweepRows(database, cutoffs.rows, states.rows.keep, work);
    const { rejected } = this.#tables;
    const time = { table: rejected, time: "rejected_at", before: cutoffs.rejected };
    await this.#deleteOld(database, "rejected", time, states.rejected.keep, work);
    return rows;
  }

  async #sweepRows(
    database: Database,
    cutoff: number,
    keep: Keep,
    work: Pick<RetentionWork, "signal" | "tell">,
  ): Promise<boolean> {
    if (keep === "all") return true;
    const { main, columns } = this.#tables;
    const parted = await readParts(database, main);
    if (parted !== null && lengthOf(parted.parts) !== null) {
      if (quoteTables(parted.name).main === main) return await this.#dropOld(database, cutoff, keep, work);
      this.#tellDaily(work, "view", `Parts under the view ${main} are not dropped: name their table in DB_TABLE`);
      return true;
    }
    const times = (["scheduled_at", "checked_at"] as const).filter((column) => columns.includes(column));
    if (times.length === 0) {
      const what = `${main} has no column scheduled_at or checked_at that tells how old a row is: none is deleted`;
      this.#tellDaily(work, "times", what);
      return true;
    }
    const time = times.length === 1 ? String(times[0]) : `coalesce(${times.join(", ")})`;
    await this.#deleteOld(database, "rows", { table: main, time, before: cutoff }, keep, work);
    return true;
  }

  async #dropOld(
    database: Database,
    cutoff: number,
    keep: Keep,
    work: Pick<RetentionWork, "signal" | "tell">,
  ): Promise<boolean> {
    let isDone = true;
    for (const part of await readOldParts(database, this.#tables, cutoff)) {
      if (work.signal.aborted) return false;
      const days = await this.#options.daysHolding(part);
      if (days.length > 0) {
        this.#tellDaily(work, part.relation, `${part.relation} stays for now: ${days.join(", ")} must be kept`);
        isDone = false;
      } else if (!await this.#drop(database, part, keep, work)) isDone = false;
    }
    return isDone;
  }

  /** Drops a part. False if somebody holds it, or it cannot be dropped, which is said once a day. */
  async #drop(
    database: Database,
    part: OldPart,
    keep: Keep,
    work: Pick<RetentionWork, "signal" | "tell">,
  ): Promise<boolean> {
    const { relation } = part;
    const rows = this.#counted.get(relation) ?? await countRows(database, relation);
    this.#counted.set(relation, rows);
    for (const [attempt, patience] of PATIENCES.entries()) {
      if (attempt > 0) await pause(attempt, work.signal);
      if (work.signal.aborted) return false;
      try {
        await database.script(dropPartSql(this.#tables, part, patience));
        this.#counted.delete(relation);
        const what = rows === null ? "its rows" : `its ${count(rows, "row")}`;
        work.tell(`${relation} was dropped with ${what}: ${keepText(keep)} are kept`, false);
        return true;
      } catch (error) {
        const failure = sqlFailure(error);
        if (failure === null) throw error;
        if (failure.code === PART_GONE) return true;
        if (BUSY.includes(failure.code)) continue;
        const remedy = failure.code === "42501" ? `; let its owner run: drop table ${relation};` : "";
        this.#tellDaily(work, relation, `${relation} is too old, but cannot be dropped: ${explain(error)}${remedy}`);
        return false;
      }
    }
    this.#tellDaily(work, relation, `${relation} is too old, but is in use: it goes as soon as nobody reads it`);
    return false;
  }

  /** Passes through a table, if that is due, and deletes its old rows bite by bite. */
  async #deleteOld(
    database: Database,
    kind: KeptKind,
    { table, time, before }: { readonly table: string; readonly time: string; readonly before: number },
    keep: Keep,
    { signal, tell }: Pick<RetentionWork, "signal" | "tell">,
  ): Promise<void> {
    if (!Number.isFinite(before) || !await claimSweep(database, this.#tables, kind)) return;
    // Said first: a metric that comes meanwhile must not be older than what has gone.
    await database.query(goneSql(this.#tables, kind, before));
    let gone = 0;
    for (const { relation, blocks } of await readLeaves(database, table)) {
      for (let block = 0; block < blocks && !signal.aborted; block += BITE) {
        const began = performance.now();
        gone += await deleteBite(database, { relation, time, before }, block);
        await delay(Math.max(LEAST_PAUSE, performance.now() - began), signal);
      }
    }
    if (gone > 0) tell(`${count(gone, "row")} of ${table} deleted: ${keepText(keep)} are kept`, false);
    if (!signal.aborted) await endSweep(database, this.#tables, kind);
  }

  /** Says what will go once a time that was shortened counts. */
  async #announce(
    database: Database,
    kind: KeptKind,
    { keep, shorter, shorterAt }: KeepState,
    work: Pick<RetentionWork, "tell">,
  ): Promise<void> {
    if (shorter === null) return;
    const tables = this.#tables;
    const cutoff = cutoffOf(shorter, shorterAt);
    const parts = kind === "rows" && tables.partLength !== null ? await readOldParts(database, tables, cutoff) : null;
    const table = kind === "rows" ? tables.main : tables.rejected;
    const what = parts === null ? `rows of ${table} from before ${minuteOf(cutoff)}` : named(parts);
    this.#tellDaily(
      work,
      `shorter ${kind} ${keepText(shorter)}`,
      `${SETTINGS[kind]} was shortened from ${keepText(keep)} to ${keepText(shorter)}, which counts from ` +
        `${minuteOf(shorterAt)} on. Then these go: ${what}. Set it back to keep them; ` +
        `with --db-keep-now they go at once`,
    );
  }

  #tellDaily({ tell }: Pick<RetentionWork, "tell">, name: string, what: string): void {
    const now = performance.now();
    if (now - (this.#told.get(name) ?? -Infinity) < WARNING_INTERVAL) return;
    this.#told.set(name, now);
    tell(what, true);
  }
}

/** A lock was not there in time, a deadlock, or the time limit of a statement. */
const BUSY = ["55P03", "40P01", "57014"];

function isSame(a: KeepState, b: KeepState): boolean {
  const [one, other] = [a, b].map(({ keep, shorter }) => `${keepText(keep)} ${shorter && keepText(shorter)}`);
  return one === other;
}

const minuteOf = (at: number) => `${new Date(at).toISOString().slice(0, 16)}Z`;

/** Parts and their size, for a person. */
function named(parts: readonly OldPart[]): string {
  const [first, last] = [parts[0]?.relation, parts.at(-1)?.relation];
  if (first === undefined) return "no parts yet";
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const size = `${count(parts.length, "part")}, ${Math.ceil(bytes / 1024 / 1024)} MiB`;
  return first === last ? `${first} (${size})` : `${first} to ${last} (${size})`;
}

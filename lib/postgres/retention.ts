import { count } from "../config/count.ts";
import { cutoffOf, type Keep, keepText } from "../config/keep.ts";
import { type Database, explain, sqlFailure } from "./database.ts";
import { claimSweep, endSweep, goneSql, type KeepState, type KeptKind } from "./keep_state.ts";
import { KEEP_SETTINGS, KeptTimes, type KeptTimesOptions } from "./kept_times.ts";
import { countRows, dropPart, type OldPart, readOldParts } from "./old_parts.ts";
import { deleteOldDays, deleteOldRows, isView } from "./old_rows.ts";
import { lengthOf } from "./part_spans.ts";
import { readParts } from "./parts.ts";
import { quoteTables } from "./schema.ts";
import { DailyWarnings, sweepAgain, type SweepingWork } from "./sweeping.ts";
import type { Tables } from "./tables.ts";

export interface RetentionOptions extends KeptTimesOptions {
  /** The days of a part, for a person, for whose sake it must not go yet. */
  daysHolding(database: Database, part: OldPart): Promise<readonly string[]>;
}

type Sweep = Pick<SweepingWork, "signal" | "tell">;

/** Rows of a table from before a moment, by `time`, an expression. Without it they are days. */
interface Old {
  readonly table: string;
  readonly time?: string;
  readonly before: number;
}

/**
 * Lets go what is older than `--db-keep`, `--db-keep-rejected` and `--db-keep-daily` say: parts as
 * a whole, rows of a table without parts, rejected messages, and days. A time that was shortened
 * counts a day later (keep_state.ts).
 */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #times: KeptTimes;
  readonly #warnings = new DailyWarnings();
  /** Rows of parts that could not go yet. */
  readonly #counted = new Map<string, number | null>();

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#times = new KeptTimes(options);
  }

  get #tables(): Tables {
    return this.#options.tables();
  }

  /** Finds out how long everything is kept, if something is not kept for ever. */
  async look(database: Database): Promise<void> {
    await this.#times.lookIfKnown(database);
  }

  /** Looks and lets go, again and again, until the work's signal aborts. Never rejects. */
  async run(work: SweepingWork): Promise<void> {
    await sweepAgain(
      work,
      (database) => this.sweep(database, work),
      (why) => this.#warnings.tell(work, "failure", `What is too old could not go: ${why}`),
    );
  }

  /** Lets go what may go now. False if something could not go that may. */
  async sweep(database: Database, work: Sweep): Promise<boolean> {
    const { states, cutoffs } = await this.#times.look(database);
    await this.#announce(database, "rows", states.rows, work);
    await this.#announce(database, "rejected", states.rejected, work);
    await this.#announce(database, "daily", states.daily, work);
    try {
      return await this.#sweepRows(database, cutoffs.rows, states.rows.keep, work);
    } finally {
      // Whatever keeps the rows of metrics need not keep these.
      const rejected = { table: this.#tables.rejected, time: "rejected_at", before: cutoffs.rejected };
      await this.#deleteOld(database, "rejected", rejected, states.rejected.keep, work);
      await this.#deleteDays(database, cutoffs.daily, states.daily.keep, work);
    }
  }

  async #deleteDays(database: Database, before: number, keep: Keep, work: Sweep): Promise<void> {
    if (keep === "all") return;
    const { daily: table, main, hasDays } = this.#tables;
    if (!hasDays) {
      this.#warnings.tell(work, "days", `${KEEP_SETTINGS.daily} has no effect: no days of ${main} are rolled up`);
      return;
    }
    await this.#deleteOld(database, "daily", { table, before }, keep, work);
  }

  async #sweepRows(
    database: Database,
    cutoff: number,
    keep: Keep,
    work: Sweep,
  ): Promise<boolean> {
    if (keep === "all") return true;
    const { main, columns } = this.#tables;
    const parted = await readParts(database, main);
    if (parted !== null && lengthOf(parted.parts) !== null) {
      if (quoteTables(parted.name).main === main) return await this.#dropOld(database, cutoff, keep, work);
      this.#warnings.tell(work, "view", `Parts under the view ${main} are not dropped: name their table in DB_TABLE`);
      return true;
    }
    if (await isView(database, main)) {
      this.#warnings.tell(work, "view", `Rows under the view ${main} are not deleted: name their table in DB_TABLE`);
      return true;
    }
    const times = (["scheduled_at", "checked_at"] as const).filter((column) => columns.includes(column));
    if (times.length === 0) {
      const what = `${main} has no column scheduled_at or checked_at that tells how old a row is: none is deleted`;
      this.#warnings.tell(work, "times", what);
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
    work: Sweep,
  ): Promise<boolean> {
    let isDone = true;
    for (const part of await readOldParts(database, this.#tables, cutoff)) {
      if (work.signal.aborted) return false;
      const days = await this.#options.daysHolding(database, part);
      if (days.length > 0) {
        this.#warnings.tell(work, part.relation, `${part.relation} stays for now: ${days.join(", ")} must be kept`);
        isDone = false;
      } else if (!await this.#drop(database, part, keep, work)) isDone = false;
    }
    return isDone;
  }

  /** Drops a part. False if somebody holds it, or it cannot be dropped, which is said once a day. */
  async #drop(database: Database, part: OldPart, keep: Keep, work: Sweep): Promise<boolean> {
    const { relation } = part;
    const rows = this.#counted.get(relation) ?? await countRows(database, relation);
    this.#counted.set(relation, rows);
    try {
      const outcome = await dropPart(database, this.#tables, part, work.signal);
      if (outcome === "busy") {
        const what = `${relation} is too old, but is in use: it goes as soon as nobody reads it`;
        if (!work.signal.aborted) this.#warnings.tell(work, relation, what);
        return false;
      }
      // The next look says which days it waits for.
      if (outcome === "needed") return false;
      const what = rows === null ? "its rows" : `its ${count(rows, "row")}`;
      if (outcome === "dropped") work.tell(`${relation} was dropped with ${what}: ${keepText(keep)} are kept`, false);
      this.#counted.delete(relation);
      return true;
    } catch (error) {
      const failure = sqlFailure(error);
      if (failure === null) throw error;
      const remedy = failure.code === "42501" ? `; let its owner run: drop table ${relation};` : "";
      this.#warnings.tell(work, relation, `${relation} is too old, but cannot be dropped: ${explain(error)}${remedy}`);
      return false;
    }
  }

  /** Passes through a table, if that is due, and deletes its old rows. */
  async #deleteOld(database: Database, kind: KeptKind, old: Old, keep: Keep, work: Sweep): Promise<void> {
    const { table, time, before } = old;
    if (!Number.isFinite(before) || !await claimSweep(database, this.#tables, kind)) return;
    // Said first: a metric that comes meanwhile must not be older than what has gone.
    await database.query(goneSql(this.#tables, kind, before));
    const gone = time === undefined
      ? await deleteOldDays(database, this.#tables, before, work.signal)
      : await deleteOldRows(database, { table, time, before }, work.signal);
    if (gone > 0) work.tell(`${count(gone, "row")} of ${table} deleted: ${keepText(keep)} are kept`, false);
    if (!work.signal.aborted) await endSweep(database, this.#tables, kind);
  }

  /** Says what will go once a time that was shortened counts. */
  async #announce(
    database: Database,
    kind: KeptKind,
    { keep, shorter, shorterAt }: KeepState,
    work: Pick<SweepingWork, "tell">,
  ): Promise<void> {
    if (shorter === null) return;
    const tables = this.#tables;
    const cutoff = cutoffOf(shorter, shorterAt);
    const parts = kind === "rows" && tables.partLength !== null ? await readOldParts(database, tables, cutoff) : null;
    const table = { rows: tables.main, rejected: tables.rejected, daily: tables.daily }[kind];
    const what = parts === null ? `rows of ${table} from before ${minuteOf(cutoff)}` : named(parts);
    this.#warnings.tell(
      work,
      `shorter ${kind} ${keepText(shorter)}`,
      `${KEEP_SETTINGS[kind]} was shortened from ${keepText(keep)} to ${keepText(shorter)}, which counts from ` +
        `${minuteOf(shorterAt)} on. Then these go: ${what}. Set it back to keep them; ` +
        `with --db-keep-now they go at once`,
    );
  }
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

import { indexName, lookUpIndex } from "./catalog.ts";
import { type Database, sqlFailure } from "./database.ts";
import { type KeptSince, lookAgain, type Tables } from "./tables.ts";

/**
 * Milliseconds until a column that refused null is looked up again: with many parts that takes a
 * while.
 */
const LOOK_INTERVAL = 60_000;

/** No index fits `on conflict` (any longer). */
const INDEX_GONE = "42P10";

/**
 * The tables as the store knows them. They may change under it without stopping it: a refused
 * statement tells that, and then they are looked at again.
 */
export class CurrentTables {
  readonly #database: Database;
  #tables: Tables;
  /**
   * Indexes and columns that were looked up during this flush, and refuse its rows all the same.
   */
  readonly #strangers = new Set<string>();
  /** When a column that refused null was last looked up, by `performance.now()`. */
  readonly #looked = new Map<string, number>();

  constructor(database: Database, tables: Tables) {
    this.#database = database;
    this.#tables = tables;
  }

  get tables(): Tables {
    return this.#tables;
  }

  /** From now on older metrics are not taken; null: all are. */
  keepSince(kept: KeptSince | null): void {
    this.#tables = { ...this.#tables, kept };
  }

  async #lookAgain(before: Tables): Promise<void> {
    const tables = await lookAgain(this.#database, before);
    // What is kept may have changed meanwhile.
    this.#tables = { ...tables, kept: this.#tables.kept };
  }

  /** A flush begins: unknown indexes and columns may be looked up again. */
  begin(): void {
    this.#strangers.clear();
  }

  /**
   * True if a metric was sent twice. False for any other duplicate that a user's own index refuses.
   */
  isRepeat(error: unknown): boolean {
    const index = violatedIndex(error);
    return index !== null && this.#tables.repeatIndexes.has(indexName(...index));
  }

  /** True if a column wants a value that is not ours to give: no metric is at fault then. */
  isUnwrittenColumn(error: unknown): boolean {
    const failure = sqlFailure(error);
    if (failure?.code !== "23502" || failure.column === null) return false;
    return !(this.#tables.columns as readonly string[]).includes(failure.column);
  }

  /**
   * True if the same portion may pass once its repeats are left out. An unknown index may be
   * younger than this store, or have another name by now: it is looked up once a flush.
   */
  async mayPass(error: unknown, skipRepeats: boolean): Promise<boolean> {
    if (skipRepeats && this.#tables.repeatKey !== null && sqlFailure(error)?.code === INDEX_GONE) {
      const { repeatKey } = this.#tables;
      await this.#lookAgain(this.#tables);
      return this.#tables.repeatKey !== repeatKey;
    }
    const index = violatedIndex(error);
    if (index === null) return false;
    const name = indexName(...index);
    if (this.#tables.repeatIndexes.has(name)) return !skipRepeats;
    if (this.#strangers.has(name)) return false;
    this.#strangers.add(name);
    const before = this.#tables;
    const kind = await lookUpIndex(this.#database, ...index);
    if (kind === "repeats") await this.#lookAgain(before);
    // The statement finds the index that has come in its place.
    if (kind === "gone") return true;
    if (!this.#tables.repeatIndexes.has(name)) return false;
    return !skipRepeats || before.repeatKey !== this.#tables.repeatKey;
  }

  /**
   * True if a value stands for null in a column of which that was not known until now: that it
   * refuses null, or has a default.
   */
  async hasNewDefault(error: unknown): Promise<boolean> {
    const failure = sqlFailure(error);
    if (failure?.code !== "23502" || this.isUnwrittenColumn(error)) return false;
    // Of a domain that refuses null the server does not name the column.
    const name = `column ${failure.column}`;
    if (this.#strangers.has(name)) return false;
    this.#strangers.add(name);
    const before = this.#tables;
    const now = performance.now();
    if (now - (this.#looked.get(name) ?? -Infinity) >= LOOK_INTERVAL) {
      this.#looked.set(name, now);
      await this.#lookAgain(before);
    }
    // Messages may have been encoded for the statement before the last look.
    const { statusCodeRequired, scheduledAtRequired, defaults } = this.#tables;
    return statusCodeRequired || scheduledAtRequired || defaults.size > before.defaults.size;
  }
}

/** Schema and name of the unique index that refused a row. */
function violatedIndex(error: unknown): [schema: string, name: string] | null {
  const failure = sqlFailure(error);
  if (failure?.code !== "23505" || failure.schema === null || failure.constraint === null) return null;
  return [failure.schema, failure.constraint];
}

import { classifyError, type Database, explain, SetupError } from "./database.ts";
import { scheduledAt, type SortedEntries } from "./encoded_batch.ts";
import { lengthOf, missingSpans, type PartLength, PARTS_AHEAD, type Span, spansFrom } from "./part_spans.ts";
import { addPartSql, newPartSql, type PartedTable, readParts } from "./parts.ts";
import { quoteTables } from "./schema.ts";
import { createAtOnce, withStatements } from "./table_creation.ts";
import type { Tables } from "./tables.ts";

/** Milliseconds between two looks at the parts. */
const LOOK_INTERVAL = 3_600_000;
/** Milliseconds until parts are looked at again that could not be made. */
const RETRY_INTERVAL = 60_000;
/** A role that may not make parts warns once a day. */
const WARNING_INTERVAL = 86_400_000;
/** Milliseconds. The end of the last part is told so long before. */
const NOTICE = 31 * 86_400_000;
/** Parts in one transaction: each takes several of the server's locks. */
const PARTS_AT_ONCE = 16;

/** Events of the parts that a person wants to know of. */
export interface PartEvents {
  /** Parts were made, or could not be made, or end soon. */
  parts(what: string, isTrouble: boolean): void;
}

/**
 * Makes the parts of a table by time: ahead, so that none is missing, and for old metrics on
 * demand. It does nothing for a table whose parts are a user's own.
 */
export class PartMaker {
  readonly #database: Database;
  readonly #tables: Tables;
  readonly #events: PartEvents;
  /** By `Date.now()`. */
  #nextLook = 0;
  /** The look that is under way, or the last one. */
  #looking = Promise.resolve();
  #nextWarning = 0;

  constructor(database: Database, tables: Tables, events: PartEvents) {
    this.#database = database;
    this.#tables = tables;
    this.#events = events;
  }

  /**
   * Makes the current part and the next ones, if it is time to look. Never throws: metrics can be
   * stored while there is a part for them, and a part that is missing then is made on demand.
   */
  keepAhead(now = Date.now()): Promise<void> {
    if (this.#tables.partLength !== null && now >= this.#nextLook) this.#looking = this.#lookAhead(now);
    // Of two statements, the second waits as well: it must not overtake the first.
    return this.#looking;
  }

  async #lookAhead(now: number): Promise<void> {
    this.#nextLook = now + LOOK_INTERVAL;
    try {
      const table = await readParts(this.#database, this.#tables.main);
      const length = table && lengthOf(table.parts);
      if (table === null || length === null) return;
      const spans = spansFrom(length, now, PARTS_AHEAD);
      const missing = missingSpans(length, spans.map(({ from }) => from).with(0, now), table.parts);
      if (missing.length === 0) return;
      if (table.mayMake) await this.#make(table, length, missing);
      else this.#warn(table, length, missing, now);
    } catch (error) {
      this.#nextLook = now + RETRY_INTERVAL;
      this.#events.parts(`The next parts of ${this.#tables.main} could not be made: ${explain(error)}`, true);
    }
  }

  /**
   * Makes the parts that these messages lack. True if the statement that found a part missing may
   * pass now. Throws `SetupError` with the statements to run if the role may not make them.
   */
  async makeMissing(slices: readonly { readonly sorted: SortedEntries }[]): Promise<boolean> {
    const table = await readParts(this.#database, this.#tables.main);
    const length = table && lengthOf(table.parts);
    if (table === null || length === null) return false;
    const metrics = slices.flatMap(({ sorted }) => sorted.metrics);
    const moments = new Set(metrics.map(({ content }) => Date.parse(scheduledAt(content))));
    const missing = missingSpans(length, moments, table.parts);
    if (!table.mayMake && missing.length > 0) throw this.#mayNot(table, length, missing);
    try {
      await this.#make(table, length, missing);
    } catch (cause) {
      // Else the rows would be blamed.
      if (classifyError(cause) === "wait") throw cause;
      const what = `The parts of ${this.#tables.main} for ${named(length, missing)} cannot be made`;
      throw new SetupError(`${what}: ${explain(cause)}`, { cause });
    }
    return true;
  }

  async #make({ name }: PartedTable, length: PartLength, missing: readonly Span[]): Promise<void> {
    for (let from = 0; from < missing.length; from += PARTS_AT_ONCE) {
      const some = missing.slice(from, from + PARTS_AT_ONCE);
      await createAtOnce(this.#database, some.map((span) => addPartSql(name, length, span)));
    }
    if (missing.length > 0) {
      this.#events.parts(`${quoteTables(name).main} has parts for ${named(length, missing)} now`, false);
    }
  }

  #warn(table: PartedTable, length: PartLength, missing: readonly Span[], now: number): void {
    const [first] = missing;
    if (first === undefined || first.from - now > NOTICE || now < this.#nextWarning) return;
    this.#nextWarning = now + WARNING_INTERVAL;
    this.#events.parts(this.#mayNot(table, length, missing).message, true);
  }

  #mayNot({ name }: PartedTable, length: PartLength, missing: readonly Span[]): SetupError {
    const { main } = quoteTables(name);
    const what = `${main} has no part for ${named(length, missing)}, and the role may not make it: only its owner may`;
    return new SetupError(withStatements(what, missing.map((span) => newPartSql(name, length, span))));
  }
}

/** The months or days of some spans, for a person. */
function named(length: PartLength, spans: readonly Span[]): string {
  const names = spans.map(({ from }) => new Date(from).toISOString().slice(0, length === "month" ? 7 : 10));
  return names.length <= 4 ? names.join(", ") : `${names[0]} to ${names.at(-1)} (${names.length} of them)`;
}

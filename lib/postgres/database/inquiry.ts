import type { PGlite } from "@electric-sql/pglite";

/** A column of what a statement gives. */
export interface ResultColumn {
  readonly name: string;
  /** A point in time: its values are a `Date` or, of a time that none can hold, a text. */
  readonly isTime: boolean;
}

export interface FetchedRows {
  readonly rows: readonly (readonly unknown[])[];
  /** No row follows. */
  readonly isLast: boolean;
}

/**
 * Statements leave this transaction neither by `commit` nor by making it writable.
 * `ReadOnlyInquiry.describe` lets only those through that give rows, which `commit` and `set` do
 * not. Its first query has made the mode final. `set_config`, which gives rows, would change back
 * the role: a superuser may write files. That revoke goes with the transaction.
 */
const BEGIN = `begin;
revoke execute on function pg_catalog.set_config(text, text, boolean) from public;
set local role pg_read_all_data;
set transaction read only;
select 1`;
/** Locks of the session outlive a transaction. */
const END = "rollback; select pg_catalog.pg_advisory_unlock_all()";

/** Rows of the first fetch, and the most of any. */
const FIRST_FETCH = 10;
const MOST_FETCHED = 1_000;
/** Characters that a fetch is to give, about: a single rejected message may have two million. */
const FETCH_SIZE = 1_000_000;

const TIME_TYPES: ReadonlySet<number> = new Set([1082, 1114, 1184]);

/** A transaction that only reads, of statements that come from outside; one at a time, and each by itself. */
export class ReadOnlyInquiry {
  readonly #postgres: PGlite;
  #columns: readonly number[] = [];
  #most = FIRST_FETCH;

  constructor(postgres: PGlite) {
    this.#postgres = postgres;
  }

  async begin(): Promise<void> {
    await this.#postgres.exec(BEGIN);
  }

  /**
   * Gives the bytes of memory that PGlite has. Rejects where the transaction is not over, which
   * nothing may go on in.
   */
  async end(): Promise<number> {
    // After an error PostgreSQL heeds nothing else.
    await this.#send("S");
    await this.#postgres.exec(END);
    if (this.#postgres.isInTransaction()) throw new TypeError("The transaction of the query is not over");
    return this.#postgres.Module.HEAPU8.length;
  }

  /**
   * What a statement would give; nothing is run. Null: nothing. Rejects in PostgreSQL's words where
   * it is no statement, or several.
   */
  async describe(statement: string): Promise<readonly ResultColumn[] | null> {
    const fields = await this.#prepare(statement);
    return fields.length === 0 ? null : fields.map(({ name, type }) => ({ name, isTime: TIME_TYPES.has(type) }));
  }

  /** Begins a statement that `describe` has let through. */
  async run(statement: string): Promise<void> {
    this.#columns = (await this.#prepare(statement)).map(({ type }) => type);
    this.#most = FIRST_FETCH;
    await this.#send("B", UNNAMED, UNNAMED, int16(0), int16(0), int16(0));
  }

  /** The next rows of the statement that `run` began. */
  async fetch(): Promise<FetchedRows> {
    const rows: unknown[][] = [];
    let [size, isLast] = [0, false];
    for (const message of await this.#send("E", UNNAMED, int32(this.#most))) {
      if (message.name === "dataRow") {
        const texts = (message as unknown as { fields: readonly (string | null)[] }).fields;
        size += texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
        rows.push(texts.map((text, i) => text === null ? null : this.#parse(text, this.#columns[i] ?? 0)));
      }
      if (message.name === "commandComplete") isLast = true;
    }
    const fitting = Math.floor(FETCH_SIZE * rows.length / Math.max(size, 1));
    this.#most = Math.max(1, Math.min(fitting, MOST_FETCHED));
    return { rows, isLast };
  }

  /**
   * Names and types of the columns. Parsed by itself, a text may hold one statement only (the
   * extended query protocol).
   */
  async #prepare(statement: string): Promise<readonly { readonly name: string; readonly type: number }[]> {
    await this.#send("P", UNNAMED, cstring(statement), int16(0));
    const description = (await this.#send("D", Buffer.from("S"), UNNAMED)).find(({ name }) =>
      name === "rowDescription"
    );
    if (description === undefined) return [];
    const { fields } = description as unknown as { fields: readonly { name: string; dataTypeID: number }[] };
    return fields.map(({ name, dataTypeID }) => ({ name, type: dataTypeID }));
  }

  /** What no JavaScript value says stays PostgreSQL's text, such as `infinity`, `NaN`, and years before Christ. */
  #parse(text: string, type: number): unknown {
    const parser = this.#postgres.parsers[type];
    const value: unknown = parser === undefined ? text : parser(text, type);
    const isLost = value instanceof Date
      ? Number.isNaN(value.getTime())
      : typeof value === "number" && !isFinite(value);
    return isLost ? text : value;
  }

  async #send(type: string, ...content: readonly Buffer[]) {
    const length = content.reduce((sum, { length }) => sum + length, 4);
    return (await this.#postgres.execProtocol(Buffer.concat([Buffer.from(type), int32(length), ...content]))).messages;
  }
}

// Numbers and texts as PostgreSQL's protocol writes them ("Message Data Types").
function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** The name of the statement, and of the portal, that have none. */
const UNNAMED = cstring("");

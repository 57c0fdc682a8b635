import type { PGlite } from "@electric-sql/pglite";

/** A column of a statement's result. */
export interface ResultColumn {
  readonly name: string;
  /**
   * True for a point in time. Its values are a `Date`, or a text for a time that no `Date` can
   * hold.
   */
  readonly isTime: boolean;
}

export interface FetchedRows {
  readonly rows: readonly (readonly unknown[])[];
  /** True if no row follows. */
  readonly isLast: boolean;
}

/**
 * Statements leave this transaction neither by `commit` nor by making it writable.
 * `ReadOnlyInquiry.describe` lets only statements through that give rows, which `commit` and `set`
 * do not. The first query makes the mode final. `set_config` gives rows, and would change back the
 * role: a superuser may write files. So it is revoked until the transaction ends.
 */
const BEGIN = `begin;
revoke execute on function pg_catalog.set_config(text, text, boolean) from public;
set local role pg_read_all_data;
set transaction read only;
select 1`;
/** Locks of a session outlive a transaction. */
const END = "rollback; select pg_catalog.pg_advisory_unlock_all()";

/** Rows of the first fetch, and the most of any fetch. */
const FIRST_FETCH = 10;
const MOST_FETCHED = 1_000;
/**
 * About the characters that a fetch should give: a single rejected message may have two million.
 */
const FETCH_SIZE = 1_000_000;

const TIME_TYPES: ReadonlySet<number> = new Set([1082, 1114, 1184]);

/**
 * A transaction that only reads, for statements from outside: one at a time, and each by itself.
 */
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
   * Ends the transaction. Gives the bytes of memory that PGlite has. Rejects if the transaction is
   * not over, since nothing may go on in it.
   */
  async end(): Promise<number> {
    // After an error PostgreSQL heeds nothing before a sync.
    await this.#send("S");
    await this.#postgres.exec(END);
    if (this.#postgres.isInTransaction()) throw new TypeError("The transaction of the query is not over");
    return this.#postgres.Module.HEAPU8.length;
  }

  /**
   * The columns that a statement would give; null if it gives nothing. It runs nothing. Rejects in
   * PostgreSQL's words if the text is no statement, or several.
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
   * The names and types of the columns. A text that is parsed by itself may hold only one statement
   * (the extended query protocol).
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

  /**
   * A value that JavaScript cannot hold stays PostgreSQL's text, such as `infinity`, `NaN`, and
   * years before Christ.
   */
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

/** The name of the unnamed statement, and of the unnamed portal. */
const UNNAMED = cstring("");

import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { safeParse } from "valibot";
import type { TableName } from "../../lib/config/setting_types.ts";
import { isRejection, type Metric, METRIC_FIELDS, MetricSchema, type Rejection } from "../../lib/metric.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { arrayText } from "../../lib/postgres/pg_text.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { type Entry, type OffsetRange, ReceivedEntry, Store } from "../../lib/postgres/store.ts";
import { newEmbedded } from "../support/embedded.ts";
import { postgresMissing, startPostgres } from "../support/postgres.ts";
import type { Random } from "../support/random.ts";
import { madeUpMessage, type Message } from "./messages/made_up.ts";
import { canonicalAddress, inSinglePrecision, labelsText, read, type Reading } from "./messages/reference.ts";
import type { OpenTarget, Target } from "./target.ts";

/**
 * Messages through `decodeMetric` and a store into a database. Two other readings of the same bytes
 * are compared with the rows.
 */
export const messages: Target = {
  name: "messages",
  about: "each message is the row that its document says, or one of the rejected with a reason, exactly once",
  briefRounds: 20,
  missing: postgresMissing,
  open: (random) => Messages.open(random),
};

/** Rounds with the embedded database, which is slow. */
const EMBEDDED_SHARE = 0.05;
const MOST_MESSAGES = 40;
const PARTITIONS = 2;
const TABLE: TableName = { schema: null, name: "fuzzed" };
const TABLES = quoteTables(TABLE);
const MIB = 1024 * 1024;

/**
 * Reads a document with PostgreSQL's own functions. They refuse some good documents: `failure` then
 * holds the SQLSTATE and the message. They refuse a number beyond float8's range, which is 0 here.
 * They also refuse a zone beyond 15:59, and U+0000 in a field that is no metric's.
 */
const READ_FUNCTION = `create or replace function fuzz_read(document text)
returns table (address text, status_code float8, latency float8, is_valid boolean, scheduled_at timestamptz,
  checked_at timestamptz, error text, error_detail text, latency_dns float8, latency_connect float8, latency_tls float8,
  latency_first_byte float8, latency_body float8, tls_expires_at timestamptz, location text, check_id uuid,
  up boolean, remote_address inet, producer text, next_at timestamptz, labels jsonb, failure text)
language plpgsql as $$
declare d json;
begin
  d := document::json;
  return query select ${METRIC_FIELDS.map((field) => `(d->>'${field}')::${columnType(field)}`).join(", ")}, null::text;
exception when others then
  failure := sqlstate || ' ' || sqlerrm;
  return next;
end $$`;

const UNSAID = /^(54001|22P05|22009|22003|22P02 .*json)/;

function columnType(field: keyof Metric): string {
  if (field === "status_code" || field.startsWith("latency")) return "float8";
  if (field.endsWith("_at")) return "timestamptz";
  if (field === "remote_address") return "inet";
  if (field === "labels") return "jsonb";
  return field === "is_valid" || field === "up" ? "boolean" : field === "check_id" ? "uuid" : "text";
}

const time = (column: string) => `(extract(epoch from ${column}) * 1000)::float8 as ${column}`;
/**
 * PGlite leaves out a byte-order mark at the beginning of a text: so another character stands
 * there.
 */
const text = (column: string) => `'.' || ${column} as ${column}`;
const isText = (field: keyof Metric) => columnType(field) === "text";
const COLUMNS = METRIC_FIELDS.map((field) => {
  if (field === "remote_address") return "host(remote_address) as remote_address";
  if (field === "labels") return "'.' || labels::text as labels";
  return field.endsWith("_at") ? time(field) : isText(field) ? text(field) : field;
}).join(", ");

type Row = Readonly<Record<string, unknown>>;

/** The rows as they were before `text`, with their labels in the form of the reference. */
function bare(rows: readonly Row[]): Row[] {
  const texts: ReadonlySet<string> = new Set([...METRIC_FIELDS.filter(isText), "labels"]);
  const bareOf = ([field, value]: readonly [string, unknown]) => {
    if (!texts.has(field) || typeof value !== "string") return [field, value] as const;
    return [field, field === "labels" ? labelsText(JSON.parse(value.slice(1))) : value.slice(1)] as const;
  };
  return rows.map((row) => Object.fromEntries(Object.entries(row).map(bareOf)));
}

interface Rejected {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly reason: string;
}

/** A message in its place, with the readings of the program and of the reference. */
class Tried extends ReceivedEntry {
  readonly message: Message;
  readonly expected: Reading | null;
  constructor(partition: number, offset: number, message: Message) {
    super({ partition, offset, ...message });
    this.message = message;
    this.expected = read(message);
  }
}

class Messages implements OpenTarget {
  readonly #random: Random;
  readonly #server: Database;
  readonly #closing: AsyncDisposableStack;
  readonly #stores = new Map<Database, Store>();
  #embedded: Database | undefined;

  private constructor(random: Random, server: Database, closing: AsyncDisposableStack) {
    this.#random = random;
    this.#server = server;
    this.#closing = closing;
  }

  static async open(random: Random): Promise<Messages> {
    await using closing = new AsyncDisposableStack();
    const postgres = closing.use(await startPostgres());
    const database = closing.use(await openPostgres(postgres.settings));
    await database.script(READ_FUNCTION);
    return new Messages(random, database, closing.move());
  }

  async one(): Promise<void> {
    const isEmbedded = this.#random.next() < EMBEDDED_SHARE;
    const tried = this.#tried();
    const database = isEmbedded ? await this.#openEmbedded() : this.#server;
    const topicId = await this.#store(database, tried);
    // Not before: a message that is read is not copied any more.
    for (const one of tried) agree(one);
    const stored = await compare(database, topicId, tried);
    // Always the server's: the embedded one has less of a stack, and breaks at deep documents.
    await compareWithPostgres(this.#server, stored);
    await database.script(`delete from ${TABLES.main}; delete from ${TABLES.rejected}; delete from ${TABLES.offsets}`);
    // A database that passes over statements without a word would leave the next round without a
    // mark.
    const left = await database.query<{ left: number }>(`select count(*)::int as left from ${TABLES.offsets}`);
    if (left[0]?.left !== 0) {
      const where = isEmbedded ? "the embedded database" : "the server";
      throw new Error(
        `${where} passed over statements behind this round: ${JSON.stringify(left)}; ${tried.map(show).join("\n")}`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closing.disposeAsync();
  }

  async #openEmbedded(): Promise<Database> {
    if (this.#embedded !== undefined) return this.#embedded;
    const folder = mkdtempSync(join(tmpdir(), "fuzz-embedded-"));
    this.#closing.defer(() => rmSync(folder, { recursive: true, force: true }));
    return this.#embedded = this.#closing.use(await openEmbedded(await newEmbedded(folder)));
  }

  #tried(): Tried[] {
    const random = this.#random;
    const next = Array.from({ length: PARTITIONS }, () => random.between(0, 1e6));
    const messages: Message[] = [];
    return Array.from({ length: random.between(1, MOST_MESSAGES) }, () => {
      // Some messages come twice, as from a producer that was killed before it noted the broker's
      // answer.
      const message = messages.length > 0 && random.next() < 0.05 ? random.pick(messages) : madeUpMessage(random);
      messages.push(message);
      const partition = random.between(0, PARTITIONS - 1);
      const offset = next[partition] as number;
      next[partition] = offset + random.pick([1, 1, 1, 2, 1000]);
      return new Tried(partition, offset, message);
    });
  }

  /**
   * Stores the messages as the consumer does, with one statement or several. Gives the topic's id.
   */
  async #store(database: Database, tried: readonly Tried[]): Promise<string> {
    let store = this.#stores.get(database);
    if (store === undefined) {
      store = await Store.open(database, TABLE, { partition: "none" });
      this.#stores.set(database, store);
    }
    const source = { topic: "fuzz", topicId: randomUUID() };
    const position = new Map<number, number>();
    for (const { partition, offset } of tried) if (!position.has(partition)) position.set(partition, offset);
    const begun = await store.marks.claim(source, position);
    for (let at = 0; at < tried.length;) {
      const entries = tried.slice(at, at + this.#random.between(1, MOST_MESSAGES));
      const ranges = new Map<number, OffsetRange>();
      for (const { partition, offset } of entries) {
        ranges.set(partition, { start: position.get(partition) as number, next: offset + 1 });
      }
      const outcome = await store.flush(source, ranges, entries);
      if (outcome !== "stored") throw await notStored(database, source.topicId, { outcome, ranges, entries, begun });
      for (const [partition, { next }] of ranges) position.set(partition, next);
      at += entries.length;
    }
    return source.topicId;
  }
}

/**
 * The flushed messages, and the state of the database. A round that is repeated alone may store
 * everything.
 */
interface Flushed {
  readonly outcome: string;
  readonly ranges: ReadonlyMap<number, OffsetRange>;
  readonly entries: readonly Tried[];
  /** The marks as the claim has given them. */
  readonly begun: Awaited<ReturnType<Store["marks"]["claim"]>>;
}

async function notStored(database: Database, topicId: string, flushed: Flushed): Promise<Error> {
  const { outcome, ranges, entries, begun } = flushed;
  const marks = await database.query(
    `select partition, next_offset::text as mark, topic_id = $1 as is_own, ctid::text, xmin::text, xmax::text, moved_at::text
     from ${TABLES.offsets} order by 1`,
    [topicId],
  );
  const counts = await database.query(
    `select (select count(*)::int from ${TABLES.main}) as rows, (select count(*)::int from ${TABLES.rejected}) as rejected`,
  );
  const state = { ranges: [...ranges], begun: [...begun], marks, counts };
  return new Error(`flush answers ${outcome} with ${JSON.stringify(state)} to ${entries.map(show).join("\n")}`);
}

/** `decodeMetric` must read a message as the schema does, and as the reference does. */
function agree(tried: Tried): void {
  const { content, message, expected } = tried;
  const bySchema = readBySchema(message);
  if (bySchema !== null && isRejection(bySchema) !== isRejection(content) && expected !== null) {
    throw new Error(`The schema and decodeMetric differ over ${show(tried)}`);
  }
  if (bySchema !== null && !isRejection(bySchema) && !isRejection(content)) {
    const { checked_at } = content;
    if (!sameFields({ checked_at, ...withoutNulls(bySchema) }, withoutNulls(content))) {
      throw new Error(`The schema reads ${JSON.stringify(bySchema)}, decodeMetric ${JSON.stringify(content)}`);
    }
  }
  if (isRejection(content) !== (expected === null)) {
    throw new Error(
      `decodeMetric makes ${JSON.stringify(content)}, the reference ${JSON.stringify(expected)} of ${show(tried)}`,
    );
  }
  if (isRejection(content) && (content.reason === "" || /\0/.test(content.reason) || !content.reason.isWellFormed())) {
    throw new Error(`The reason ${JSON.stringify(content.reason)} is none that can be stored, of ${show(tried)}`);
  }
}

const withoutNulls = (fields: object) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
const sameFields = (a: object, b: object) => canonical(a) === canonical(b);
const canonical = (fields: object) => {
  const sorted = Object.entries(fields).toSorted(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify(sorted.map(([field, value]) => [field, canonicalValue(field, value)]));
};
const canonicalValue = (field: string, value: unknown) => field === "remote_address" ? canonicalAddress(value) : value;

/** The schema's own reading of a document that is a JSON object. */
function readBySchema({ value }: Message): Metric | Rejection | null {
  if (value === null || value.length > MIB) return null;
  try {
    const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
    if (json === null || typeof json !== "object" || Array.isArray(json)) return null;
    const { success, output } = safeParse(MetricSchema, json);
    return success ? output : { reason: "refused" };
  } catch {
    return null;
  }
}

/**
 * Finds each message in the tables: it must be in one of them, once, and unchanged. Gives those
 * that are rows.
 */
async function compare(database: Database, topicId: string, tried: readonly Tried[]): Promise<Tried[]> {
  const rejected = await database.query<Rejected>(
    `select partition, "offset"::int as offset, encode(key, 'hex') as key, encode(value, 'hex') as value, reason
     from ${TABLES.rejected} where topic_id = $1`,
    [topicId],
  );
  const rejectedAt = Map.groupBy(rejected, ({ partition, offset }) => `${partition}:${offset}`);
  for (const one of tried) compareRejected(one, rejectedAt.get(`${one.partition}:${one.offset}`) ?? []);
  if (rejectedAt.size > tried.length) throw new Error("Messages are rejected that nobody sent");
  const stored = tried.filter(({ partition, offset }) => !rejectedAt.has(`${partition}:${offset}`));
  await compareRows(database, stored);
  return stored;
}

/**
 * A longer address may be too long for the index. Only PostgreSQL knows, since it compresses the
 * address.
 */
const LONG = 2_000;

function compareRejected(tried: Tried, rows: readonly Rejected[]): void {
  const { expected, message } = tried;
  const [row, ...more] = rows;
  if (more.length > 0) throw new Error(`Rejected ${rows.length} times: ${show(tried)}`);
  if (row === undefined) {
    if (expected === null) throw new Error(`Not among the rejected: ${show(tried)}`);
    return;
  }
  const isTooLong = typeof expected?.address === "string" && expected.address.length > LONG &&
    /index row/.test(row.reason);
  if (expected !== null && !isTooLong) throw new Error(`Rejected with "${row.reason}": ${show(tried)}`);
  if (row.reason === "") throw new Error(`Rejected without a reason: ${show(tried)}`);
  const hex = (bytes: Uint8Array | null) => bytes === null ? null : Buffer.from(bytes).toString("hex");
  const [value, kept] = [hex(message.value), row.value];
  const isKept = value === null || kept === null
    ? value === kept
    : value.startsWith(kept) && kept.length >= Math.min(value.length, 2 * MIB);
  if (row.key !== hex(message.key) || !isKept) throw new Error(`Rejected with other bytes: ${show(tried)}`);
}

/**
 * The table must have the rows that the reference expects. Repeats (one address, time and id) have
 * one row.
 */
async function compareRows(database: Database, stored: readonly Tried[]): Promise<void> {
  const all = await database.query<Row>(`select ${COLUMNS} from ${TABLES.main}`);
  const rows = bare(all).map((row) => inSinglePrecision(row as Reading));
  const expected = new Map<string, { readonly reading: Reading; readonly tried: Tried }>();
  for (const tried of stored) {
    const read = tried.expected as Reading;
    const reading = inSinglePrecision({
      ...read,
      scheduled_at: read.scheduled_at ?? read.checked_at ?? null,
      up: read.up ?? ruleOf(read),
    });
    const { address, scheduled_at, check_id } = reading;
    const identity = check_id === null ? `${expected.size}` : JSON.stringify([address, scheduled_at, check_id]);
    if (!expected.has(identity)) expected.set(identity, { reading, tried });
  }
  const found = Map.groupBy(rows, canonical);
  for (const { reading, tried } of expected.values()) {
    const same = found.get(canonical(reading));
    if (same === undefined || same.length === 0) {
      const near = rows.filter(({ address }) => address === reading.address).map((row) => JSON.stringify(row));
      throw new Error(`No row is ${JSON.stringify(reading)}: ${show(tried)}; with its address: ${near.join(", ")}`);
    }
    same.pop();
  }
  const more = [...found.values()].flat();
  if (more.length > 0) {
    throw new Error(`Rows that no message says: ${more.map((row) => JSON.stringify(row)).join("\n")}`);
  }
}

/** Up, down or neither, of a message that does not say. */
function ruleOf({ error, status_code, is_valid }: Reading): boolean | null {
  if (error === "missed" || error === "removed") return null;
  return error === null && typeof status_code === "number" && status_code >= 1 && status_code <= 399 &&
    is_valid === true;
}

/** The rows must agree with PostgreSQL's own reading of the documents, where it has one. */
async function compareWithPostgres(database: Database, stored: readonly Tried[]): Promise<void> {
  const texts = stored.map(({ value }) => new TextDecoder().decode(value ?? undefined));
  const rows = bare(
    await database.query<Row>(
      `select failure, ${COLUMNS} from unnest($1::text[]) with ordinality d(document, n), fuzz_read(d.document) order by n`,
      [arrayText(texts)],
    ),
  );
  rows.forEach(({ failure, ...row }, i) => {
    const tried = stored[i] as Tried;
    if (typeof failure === "string") {
      if (!UNSAID.test(failure)) throw new Error(`PostgreSQL says "${failure}" of ${show(tried)}`);
      return;
    }
    for (const [field, value] of Object.entries(tried.expected as Reading)) {
      const other = row[field] ?? null;
      // Times are cut to milliseconds in the row, and rounded to microseconds there.
      const isSame = field.endsWith("_at") && typeof other === "number" && typeof value === "number"
        ? other - value >= 0 && other - value <= 1
        : canonicalValue(field, other) === canonicalValue(field, value) || (field === "checked_at" && other === null);
      if (!isSame) {
        throw new Error(`PostgreSQL reads ${field} as ${String(other)}, we as ${String(value)}: ${show(tried)}`);
      }
    }
  });
}

/**
 * A message in a form that a person can try again: its text, cut, and its bytes where the text does
 * not suffice.
 */
function show({ partition, offset, message: { value, timestamp } }: Entry & { readonly message: Message }): string {
  if (value === null) return `the tombstone at ${partition}:${offset}`;
  const text = new TextDecoder().decode(value.subarray(0, 2_000));
  return `the message at ${partition}:${offset} of ${timestamp} with ${value.length} bytes: ${JSON.stringify(text)}`;
}

// Stores metrics in tables that standard input describes (JSON). Prints a line for each. The tests
// run this under each runtime.
import { randomUUID } from "node:crypto";
import { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import type { Partition } from "../../lib/config/setting_types.ts";
import { type Database, explain } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { type Entry, ReceivedEntry, Store } from "../../lib/postgres/store.ts";
import type { Target } from "./database_runner.ts";
import { recording } from "./databases.ts";

/**
 * A script, or messages of the topic. A text is a message as it is; an object is a metric with
 * these fields.
 */
export type Step = { readonly sql: string } | { readonly messages: readonly (string | object)[] };

/**
 * The steps for one table, in order. The first messages open the store, and each `open` opens it
 * again.
 */
export interface Job {
  readonly table: string;
  /** The parts of a table that the store creates. */
  readonly partition: Partition;
  readonly steps: readonly (Step | "open")[];
  /** The selected columns of the table at the end, in the order of the addresses. */
  readonly select: string;
}

export interface Jobs {
  readonly target: Target;
  readonly jobs: readonly Job[];
}

/** The outcome of a job. */
export interface Kept {
  /** The report of each opening. */
  readonly warnings: readonly (readonly string[])[];
  readonly rows: readonly object[];
  /** Offset and reason. */
  readonly rejected: readonly (readonly [number, string])[];
  /** The number of statements of each step with messages. */
  readonly statements: readonly number[];
  /** The number of statements of all openings together. */
  readonly counted: number;
  /** Statements with a character beyond ASCII. */
  readonly strange: readonly string[];
  readonly failure: string | null;
}

const bytes = new TextEncoder();

function entry(offset: number, message: string | object): Entry {
  const metric = { address: `a${offset}`, status_code: 200, latency: 0.5, is_valid: true };
  const document = typeof message === "string"
    ? message
    : JSON.stringify({ ...metric, checked_at: "2026-01-02T03:04:05.000Z", ...message });
  const value = bytes.encode(document);
  return new ReceivedEntry({ partition: 0, offset, key: bytes.encode("key"), value, timestamp: Date.UTC(2026, 0, 2) });
}

/** Does the steps of a job one after another, as a consumer and a person at psql would. */
class Worker {
  readonly #database: Database;
  readonly #recorded: ReturnType<typeof recording>;
  readonly #scripts: string[] = [];
  readonly #job: Job;
  readonly #source = { topic: "metrics", topicId: randomUUID() };
  readonly #warnings: (readonly string[])[] = [];
  readonly #statements: number[] = [];
  #store: Store | null = null;
  #counted = 0;
  #offset = 0;

  constructor(database: Database, job: Job) {
    this.#database = database;
    this.#recorded = recording(database);
    this.#job = job;
  }

  async run(): Promise<Kept> {
    let failure: string | null = null;
    try {
      for (const step of this.#job.steps) await this.#do(step);
    } catch (error) {
      failure = explain(error);
    }
    const sent = [...this.#recorded.statements, ...this.#scripts];
    return {
      warnings: this.#warnings,
      rows: await this.#select(`select ${this.#job.select} from ${quoteTables(this.#table).main} order by address, 1`),
      rejected: (await this.#select<{ at: number; reason: string }>(
        `select "offset"::int as at, reason from ${quoteTables(this.#table).rejected} order by 1`,
      )).map(({ at, reason }) => [at, reason]),
      statements: this.#statements,
      counted: this.#counted,
      strange: sent.filter((statement) => !/^[\0-\x7f]*$/.test(statement)),
      failure,
    };
  }

  get #table() {
    return { schema: null, name: this.#job.table };
  }

  async #select<R extends object>(query: string): Promise<R[]> {
    return await this.#database.query<R>(query).catch(() => []);
  }

  async #do(step: Step | "open"): Promise<void> {
    if (step === "open") return void (this.#store = await this.#open());
    if ("sql" in step) return await this.#database.script(step.sql);
    const store = this.#store ??= await this.#open();
    const before = store.counters.rows;
    const entries = step.messages.map((message, i) => entry(this.#offset + i, message));
    const start = this.#offset;
    this.#offset += entries.length;
    const sent = this.#recorded.statements.length;
    const outcome = await store.flush(this.#source, new Map([[0, { start, next: this.#offset }]]), entries);
    if (outcome !== "stored") throw new Error(`The outcome is ${outcome}`);
    this.#statements.push(this.#recorded.statements.length - sent);
    this.#counted += store.counters.rows - before;
  }

  async #open(): Promise<Store> {
    const { database } = this.#recorded;
    const script = (statements: string) => {
      this.#scripts.push(statements);
      return database.script(statements);
    };
    const store = await Store.open({ ...database, script }, this.#table, { partition: this.#job.partition });
    this.#warnings.push(store.warnings);
    await store.marks.claim(this.#source, new Map([[0, this.#offset]]));
    return store;
  }
}

const { target, jobs }: Jobs = JSON.parse(await text(stdin));
const open = async () => "folder" in target ? await openEmbedded(target.folder) : openPostgres(target);
await using database = await open();
for (const job of jobs) stdout.write(`${JSON.stringify(await new Worker(database, job).run())}\n`);

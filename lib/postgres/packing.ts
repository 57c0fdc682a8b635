import { delay } from "../async/waits.ts";
import { count } from "../config/count.ts";
import { TELLS_REPEATS } from "./catalog.ts";
import { type Database, explain, isInUse } from "./database.ts";
import { settledBeforeSql } from "./days.ts";
import { lengthOf } from "./part_spans.ts";
import { childrenSql, readParts } from "./parts.ts";
import { arrayText, quoteLiteral } from "./pg_text.ts";
import { quoteTables } from "./schema.ts";
import { DailyWarnings, sweepAgain, type SweepingWork } from "./sweeping.ts";
import type { Tables } from "./tables.ts";

// Rows come in the order of their times, and the index has them by address: its pages are 60 % full.
// Once a part gets no more rows, its index is made anew, beside readers and writers: a third of it
// goes.

/** Any number will do, but every consumer must take the same. The session has it while it packs. */
const PACKING_LOCK = 7_236_401_599;

/**
 * The comment on an index, before its number. It stands there before the index is made anew. What
 * comes in its place takes the comment over, and has another number: so the comment tells of each
 * part whether that is done, over restarts and dumps.
 */
const NOTE = "host checker: made anew in place of ";

/** Bytes. It is not worth while to make a smaller index anew. */
const SMALL = 1 << 20;

/** Milliseconds until the try after one that had to give up; each time it is twice as long. */
const FIRST_PAUSE = 3_600_000;
const LONGEST_PAUSE = 86_400_000;

/** The index of a part, each name with its schema. */
interface PartIndex {
  readonly part: string;
  readonly index: string;
  readonly number: string;
  readonly bytes: string;
  readonly is_owned: boolean;
  /** True if it is to be made anew. */
  readonly is_loose: boolean;
  /** What a try that was killed has left. */
  readonly remains: readonly string[];
}

/**
 * Reads the indexes of the parts that a consumer has made, those that are loose or have remains of
 * a try. Remains have the name that PostgreSQL gives them, and are invalid. Another one's remains, on
 * an index that was never noted, are left alone with their part.
 */
async function readIndexes(database: Database, { main, hasDays, days }: Tables): Promise<PartIndex[]> {
  const parted = await readParts(database, main);
  const made = parted?.parts.filter((part) => lengthOf([part]) !== null).map(({ name }) => name) ?? [];
  if (parted === null || made.length === 0) return [];
  const over = hasDays ? settledBeforeSql({ days }) : "now() - interval '7 days'";
  return await database.query<PartIndex>(
    `select part, index, number, bytes, is_owned, is_loose, to_json(remains) as remains from (
       select format('%I.%I', n.nspname, c.name) as part, format('%I.%I', n.nspname, x.relname) as index,
         x.oid::int8::text as number, pg_relation_size(x.oid)::text as bytes, pg_has_role(t.relowner, 'usage') as is_owned,
         coalesce(k.note like ${quoteLiteral(`${NOTE}%`)}, false) as is_noted,
         c.upper <= least(now(), ${over}) and pg_relation_size(x.oid) >= ${SMALL}
           and coalesce(k.note = ${quoteLiteral(NOTE)} || x.oid, k.note is null) as is_loose,
         array(select format('%I.%I', n.nspname, r.relname) from pg_index i join pg_class r on r.oid = i.indexrelid
           where i.indrelid = c.part and not i.indisvalid and r.relname ~ '_cc(new|old)[0-9]*$' and ${TELLS_REPEATS}
             and not exists (select from pg_inherits h where h.inhrelid = r.oid)) as remains, c.upper
       from (${childrenSql("to_regclass($1::text)")}) c join pg_class t on t.oid = c.part
       join pg_namespace n on n.oid = t.relnamespace join pg_index i on i.indrelid = c.part
       join pg_inherits h on h.inhrelid = i.indexrelid join pg_class x on x.oid = i.indexrelid
       cross join lateral (select obj_description(x.oid, 'pg_class') as note) k
       where c.name = any($2::text[]) and i.indisvalid and ${TELLS_REPEATS}
     ) i where case when remains = '{}' then is_loose else is_noted end order by upper`,
    [quoteTables(parted.name).main, arrayText(made)],
  );
}

/**
 * Makes the indexes of parts anew that get no more rows, each of them once. Of several consumers
 * one does so at a time.
 */
export class Packing {
  readonly #tables: () => Tables;
  readonly #warnings = new DailyWarnings();
  #hasTold = false;
  #pause = FIRST_PAUSE;
  /** By `performance.now()`. */
  #nextTry = -Infinity;

  constructor(tables: () => Tables) {
    this.#tables = tables;
  }

  /**
   * Looks and packs, again and again, until the work's signal aborts: first after so many
   * milliseconds, since others are in a hurry at a start. Never rejects.
   */
  async run(work: SweepingWork, after = 60_000): Promise<void> {
    if (this.#tables().partLength === null) return;
    await delay(after, work.signal);
    await sweepAgain(
      work,
      async (database) => {
        if (performance.now() >= this.#nextTry) await this.sweep(database, work);
        return true;
      },
      (why) => this.#warnings.tell(work, "failure", `No index of ${this.#tables().main} could be packed: ${why}`),
    );
  }

  /** Packs what may be packed now. `database` is closed afterwards: its session keeps the lock. */
  async sweep(database: Database, work: Pick<SweepingWork, "signal" | "tell">): Promise<void> {
    const found = await readIndexes(database, this.#tables());
    this.#tellOwner(found.filter(({ is_owned }) => !is_owned), work);
    // Behind a pooler each statement is in a transaction: there this cannot be done beside others.
    if (!found.some(({ is_owned }) => is_owned) || database.remark != null) return;
    const [lock] = await database.query<{ taken: boolean }>(`select pg_try_advisory_lock(${PACKING_LOCK}) as taken`);
    if (lock?.taken !== true) return;
    try {
      // Another consumer may have packed some since.
      for (const index of await readIndexes(database, this.#tables())) {
        const began = performance.now();
        if (index.is_owned) await pack(database, index, work);
        // Whoever else asks the database has half of its time at least.
        await delay(performance.now() - began, work.signal);
        if (work.signal.aborted) return;
      }
      this.#pause = FIRST_PAUSE;
    } catch (error) {
      // Each try builds an index: who fails again and again must not come often.
      this.#nextTry = performance.now() + this.#pause;
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
      if (!isInUse(error)) throw error;
      work.tell(`An index of ${this.#tables().main} is packed later, others are in its way: ${explain(error)}`, false);
      await this.#clear(database);
    }
  }

  /** Drops what a try has left. Where that is in use as well, the next try does so. */
  async #clear(database: Database): Promise<void> {
    try {
      for (const index of await readIndexes(database, this.#tables())) await dropRemains(database, index);
    } catch (error) {
      if (!isInUse(error)) throw error;
    }
  }

  #tellOwner(indexes: readonly PartIndex[], { tell }: Pick<SweepingWork, "tell">): void {
    const [first] = indexes;
    if (first === undefined || this.#hasTold) return;
    this.#hasTold = true;
    const others = indexes.length === 1 ? "" : `, and so for ${count(indexes.length - 1, "other part")}`;
    tell(
      `The index of ${first.part} takes a third less once its owner has run: reindex index concurrently ` +
        `${first.index}${others}`,
      false,
    );
  }
}

async function dropRemains(database: Database, { remains, is_owned }: PartIndex): Promise<void> {
  if (!is_owned) return;
  for (const left of remains) await database.query(`drop index concurrently if exists ${left}`);
}

async function pack(database: Database, found: PartIndex, { tell }: Pick<SweepingWork, "tell">): Promise<void> {
  const { part, index, number, bytes, is_loose } = found;
  await dropRemains(database, found);
  if (!is_loose) return;
  await database.query(`comment on index ${index} is ${quoteLiteral(NOTE + number)}`);
  await database.query(`reindex index concurrently ${index}`);
  const [after] = await database.query<{ bytes: string }>(
    `select pg_relation_size(${quoteLiteral(index)})::text as bytes`,
  );
  tell(`The index of ${part} is packed: ${mebibytes(bytes)} before, ${mebibytes(after?.bytes ?? "0")} now`, false);
}

const mebibytes = (bytes: string) => `${(Number(bytes) / 1024 / 1024).toFixed(1)} MiB`;

import type postgres from "postgres";
import { BAD_EVERY, isBad, isRecognisable } from "./numbers.ts";
import type { NumberSource } from "./source.ts";

/** What a run comes to. */
export interface Account {
  readonly made: number;
  readonly rows: number;
  readonly rejected: number;
  /** Numbers that are in the table, or messages that are among the rejected, more than once. */
  readonly twice: number;
  readonly lost: number;
  /** Deleted from the topic before they were read, and recorded so. */
  readonly excused: number;
  /** A few of those that are twice or lost, for whoever looks for the reason. */
  readonly samples: readonly number[];
}

/** What a trigger says of the rows that it refuses by intent: they must be among the rejected, each once. */
export const ON_PURPOSE = "refused on purpose";

const REFUSED = `position('${ON_PURPOSE}' in r.reason) > 0`;
const NUMBER_OF_KEY = `substring(encode(r.key, 'escape') from '^https://n(\\d+)')::int`;

/** Compares what was made with what is in the table. */
export class Ledger {
  readonly #sql: postgres.Sql;
  readonly #main: string;
  readonly #rejected: string;
  readonly #uncertain: NumberSource["uncertain"];
  /** Numbers that retention deleted before they were read, by intent: stored or not, both are right. */
  readonly excused = new Set<number>();

  constructor(sql: postgres.Sql, table: string, { uncertain }: Pick<NumberSource, "uncertain">) {
    this.#sql = sql;
    this.#uncertain = uncertain;
    this.#main = table;
    this.#rejected = `${table}_rejected`;
  }

  /** The numbers from `from` to `to` (excluded) that are nowhere. */
  async missing(from: number, to: number): Promise<number[]> {
    const good = await this.#sql.unsafe<{ n: number }[]>(
      `select n::int from generate_series($1::int, $2::int) n where n % ${BAD_EVERY} <> ${BAD_EVERY - 1}
       and not exists (select from ${this.#main} m where m.latency = n::float8 and m.address like 'https://n%')
       and not exists (select from ${this.#rejected} r
         where r.key = convert_to('https://n' || n || '.example', 'UTF8') and ${REFUSED})`,
      [from, to - 1],
    );
    const bad = await this.#sql.unsafe<{ n: number }[]>(
      `select n::int from generate_series($1::int, $2::int) n where n % ${BAD_EVERY} = ${BAD_EVERY - 1}
       and not exists (select from ${this.#rejected} r where r.value = convert_to('no metric ' || n, 'UTF8'))`,
      [from, to - 1],
    );
    return [...good, ...bad].map(({ n }) => n).filter((n) => !this.excused.has(n));
  }

  /** The last marks that were moved by anything but the storing of messages, and why. */
  async skips(): Promise<string[]> {
    const rows = await this.#sql.unsafe<{ line: string }[]>(
      `select to_char(rejected_at, 'HH24:MI:SS') || ' ' || reason as line from ${this.#rejected}
       where key is null and value is null order by rejected_at desc limit 20`,
    );
    return rows.map(({ line }) => line);
  }

  async account(made: number): Promise<Account> {
    const lost = await this.missing(0, made);
    const doubled = await this.doubled(0, made);
    // Sent twice, a bad message is two messages: it is known by its place. A log that was cut gives
    // a place to another one.
    const again = await this.#sql.unsafe<{ n: number }[]>(
      `select min("offset")::int as n from ${this.#rejected} group by topic_id, partition, "offset", value, reason
       having count(*) > 1`,
    );
    const [strangers] = await this.#sql.unsafe<{ n: number }[]>(
      `select count(*)::int as n from ${this.#main} where address like 'aborted%'`,
    );
    const [sizes] = await this.#sql.unsafe<{ rows: number; rejected: number }[]>(
      `select (select count(*)::int from ${this.#main} where address like 'https://n%') as rows,
              (select count(*)::int from ${this.#rejected}) as rejected`,
    );
    // A good metric among the rejected is as bad as one lost.
    const wronged = await this.#sql.unsafe<{ reason: string }[]>(
      `select reason from ${this.#rejected} r
       where value is not null and value not like 'no metric %'::bytea and not ${REFUSED} limit 5`,
    );
    if (wronged.length > 0) throw new Error(`Good metrics were rejected: ${wronged[0]?.reason}`);
    if (strangers?.n !== 0) throw new Error(`${strangers?.n} messages of aborted transactions are in the table`);
    const samples = [...lost, ...doubled, ...again.map(({ n }) => n)].slice(0, 20);
    const counts = { rows: sizes?.rows ?? 0, rejected: sizes?.rejected ?? 0, twice: doubled.length + again.length };
    return { made, ...counts, lost: lost.length, excused: this.excused.size, samples };
  }

  /** The same for the numbers from `from` to `to` (excluded). */
  async stretch(from: number, to: number): Promise<Pick<Account, "made" | "rows" | "twice" | "lost">> {
    const [row] = await this.#sql.unsafe<{ rows: number }[]>(
      `select count(*)::int as rows from ${this.#main}
       where latency >= $1::int and latency < $2::int and address like 'https://n%'`,
      [from, to],
    );
    const [twice, lost] = [await this.doubled(from, to), await this.missing(from, to)];
    return { made: to - from, rows: row?.rows ?? 0, twice: twice.length, lost: lost.length };
  }

  /** Numbers with more rows than messages. A refused one counts as a row. */
  async doubled(from: number, to: number): Promise<number[]> {
    const rows = await this.#sql.unsafe<{ n: number; refused: boolean }[]>(
      `select n, bool_or(refused) as refused from (
         select latency::int as n, false as refused from ${this.#main}
         where latency >= $1::int and latency < $2::int and address like 'https://n%'
         union all
         select ${NUMBER_OF_KEY}, true from ${this.#rejected} r where ${REFUSED}) t
       where n >= $1::int and n < $2::int group by n having count(*) > 1`,
      [from, to],
    );
    // A message that was refused stands under its offset only: nothing recognises it when it is sent twice.
    const isLawful = (n: number, refused: boolean) =>
      (refused || !isRecognisable(n)) && this.#uncertain.some(([first, end]) => first <= n && n < end);
    return rows.filter(({ n, refused }) => !isLawful(n, refused)).map(({ n }) => n);
  }

  /**
   * Deletes numbers as if they had never been stored. They must be in the log still: one that was
   * cut has lost some for ever.
   */
  async forget(numbers: readonly number[], sql: postgres.ISql): Promise<void> {
    await sql.unsafe(
      `delete from ${this.#main} where address like 'https://n%' and latency = any(string_to_array($1, ',')::float8[])`,
      [numbers.filter((number) => !isBad(number)).join()],
    );
    await sql.unsafe(
      `delete from ${this.#rejected} r where ${REFUSED}
       and ${NUMBER_OF_KEY} = any(string_to_array($1, ',')::int[])`,
      [numbers.filter((number) => !isBad(number)).join()],
    );
    await sql.unsafe(
      `delete from ${this.#rejected} where value = any(
         select convert_to('no metric ' || n, 'UTF8') from unnest(string_to_array($1, ',')) n)`,
      [numbers.filter(isBad).join()],
    );
  }
}

import type postgres from "postgres";
import { BAD_EVERY, isBad, isRecognisable } from "./numbers.ts";
import type { NumberSource } from "./source.ts";

/** The result of a run. */
export interface Account {
  readonly made: number;
  readonly rows: number;
  readonly rejected: number;
  /** How many numbers are in the table more than once, and messages among the rejected. */
  readonly twice: number;
  readonly lost: number;
  /**
   * Numbers that were deleted from the topic before anybody read them. The rejected record that.
   */
  readonly excused: number;
  /** Some of the numbers that are twice or lost, for the search for the reason. */
  readonly samples: readonly number[];
}

/**
 * The words of a trigger that refuses rows on purpose. Each of these rows must be among the
 * rejected, once.
 */
export const ON_PURPOSE = "refused on purpose";

const REFUSED = `position('${ON_PURPOSE}' in r.reason) > 0`;
const NUMBER_OF_KEY = `substring(encode(r.key, 'escape') from '^https://n(\\d+)')::int`;

/** Compares the numbers that were made with the rows of the table. */
export class Ledger {
  readonly #sql: postgres.Sql;
  readonly #main: string;
  readonly #rejected: string;
  readonly #uncertain: NumberSource["uncertain"];
  /**
   * Numbers that retention deleted on purpose, perhaps before they were read. They may be stored or
   * not.
   */
  readonly excused = new Set<number>();

  constructor(sql: postgres.Sql, table: string, { uncertain }: Pick<NumberSource, "uncertain">) {
    this.#sql = sql;
    this.#uncertain = uncertain;
    this.#main = table;
    this.#rejected = `${table}_rejected`;
  }

  /** The numbers from `from` to `to` (excluded) that are neither stored nor rejected. */
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
    // A bad message that was sent twice is two messages, each known by its offset. A log that was
    // cut gives an offset to another message.
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
    // A good metric among the rejected counts as lost.
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

  /** The account for the numbers from `from` to `to` (excluded) alone. */
  async stretch(from: number, to: number): Promise<Pick<Account, "made" | "rows" | "twice" | "lost">> {
    const [row] = await this.#sql.unsafe<{ rows: number }[]>(
      `select count(*)::int as rows from ${this.#main}
       where latency >= $1::int and latency < $2::int and address like 'https://n%'`,
      [from, to],
    );
    const [twice, lost] = [await this.doubled(from, to), await this.missing(from, to)];
    return { made: to - from, rows: row?.rows ?? 0, twice: twice.length, lost: lost.length };
  }

  /** Numbers with more rows than messages. A rejected number counts as a row. */
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
    // A rejected message is known by its offset only, so nothing recognises it when it is sent
    // twice.
    const isLawful = (n: number, refused: boolean) =>
      (refused || !isRecognisable(n)) && this.#uncertain.some(([first, end]) => first <= n && n < end);
    return rows.filter(({ n, refused }) => !isLawful(n, refused)).map(({ n }) => n);
  }

  /**
   * Deletes numbers as if they had never been stored. The log must still hold them: a log that was
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

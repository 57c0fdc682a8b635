import type { QueryPart } from "../database/embedded.ts";
import type { ResultColumn } from "../database/inquiry.ts";
import { formatTable, jsonLines, type Row } from "../table_text.ts";

/**
 * Writes the result of a query: rows as JSON as they come, or each statement's rows as a table for
 * a person. An empty line stands between two tables.
 */
export class ResultPrinter {
  readonly #isTable: boolean;
  readonly #print: (text: string) => Promise<void>;
  #columns: readonly ResultColumn[] | null = null;
  #names: readonly string[] = [];
  #rows: Row[] = [];
  #isFirst = true;

  constructor(print: (text: string) => Promise<void>, { isTable }: { readonly isTable: boolean }) {
    this.#print = print;
    this.#isTable = isTable;
  }

  async take(part: QueryPart): Promise<void> {
    if ("columns" in part) {
      await this.end();
      this.#columns = part.columns;
      this.#names = distinct(part.columns.map(({ name }) => name));
      return;
    }
    const rows = part.rows.map((values) => this.#toRow(values));
    if (this.#isTable) this.#rows.push(...rows);
    else await this.#print(jsonLines(rows));
  }

  /** Nothing more comes. */
  async end(): Promise<void> {
    if (!this.#isTable || this.#columns === null) return;
    await this.#print(`${this.#isFirst ? "" : "\n"}${formatTable(this.#rows, this.#names)}`);
    this.#isFirst = false;
    this.#rows = [];
    this.#columns = null;
  }

  #toRow(values: readonly unknown[]): Row {
    return Object.fromEntries(values.map((value, i) => [this.#names[i], this.#revive(value, i)]));
  }

  /** A time that went over a socket is a text; in a table it is written like any other time. */
  #revive(value: unknown, i: number): unknown {
    if (!this.#isTable || typeof value !== "string" || this.#columns?.[i]?.isTime !== true) return value;
    return /^[+-]?\d{4,}-\d\d-\d\dT/.test(value) ? new Date(value) : value;
  }
}

/**
 * Makes the names of columns distinct: SQL gives two columns the same name if it is asked to. The
 * second `a` becomes `a_2`, or it would take the first one's place.
 */
function distinct(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let own = name;
    for (let n = 2; taken.has(own) || (own !== name && names.includes(own)); n++) own = `${name}_${n}`;
    taken.add(own);
    return own;
  });
}

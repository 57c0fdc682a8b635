import { QueryError, type QueryPart } from "../database/embedded.ts";
import { jsonValue } from "../table_text.ts";

// The messages on the socket are JSON documents, one a line. The asker sends a `QueryRequest`. The
// answer ends with a `QueryEnding`.

/**
 * Seconds that a query may take. Metrics wait so long for the database, and until it is open again.
 */
export const QUERY_LIMIT = 10;

export interface QueryRequest {
  readonly sql: string;
}

/**
 * `lent`: the asker may open the folder itself, while the connection is open and no longer than
 * `QUERY_LIMIT`.
 */
export type QueryAnswer = QueryPart | { readonly lent: true } | QueryEnding;

/** `failure`: why there is no more. `leaving`: the program ends, and lets go of the folder. */
export type QueryEnding =
  | { readonly ending: "done" | "leaving" }
  | { readonly ending: "failure"; readonly failure: QueryFailure };

/**
 * An error as another program is told of it. An error of PostgreSQL also has a place and advice.
 */
export interface QueryFailure {
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

const FIELDS = ["code", "severity", "detail", "hint", "position"];

export function failureOf(error: unknown): QueryFailure {
  const source = error as Error & Readonly<Record<string, unknown>>;
  const fields = FIELDS.flatMap((name) => typeof source[name] === "string" ? [[name, source[name]]] : []);
  return { message: source.message, fields: Object.fromEntries(fields) };
}

export function errorOf({ message, fields }: QueryFailure): Error {
  return fields.severity === undefined ? new QueryError(message) : Object.assign(new Error(message), fields);
}

/** A document as a line. */
export function line(document: QueryRequest | QueryAnswer): string {
  return `${JSON.stringify(document, jsonValue)}\n`;
}

/** The whole lines of a stream of texts. A line that is cut off does not count. */
export async function* wholeLines(input: AsyncIterable<unknown>): AsyncGenerator<string, void> {
  let pieces: string[] = [];
  for await (const chunk of input) {
    let rest = chunk as string;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      yield pieces.join("") + rest.slice(0, end);
      pieces = [];
      rest = rest.slice(end + 1);
    }
    pieces.push(rest);
  }
}

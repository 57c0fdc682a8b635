import type { Database, Parameter } from "../../lib/postgres/database.ts";

/**
 * The database, with each statement of `query` changed by `change`. Disposing of it does nothing.
 */
export function changing(database: Database, change: (text: string) => string): Database {
  return {
    query: <R extends object>(text: string, parameters?: readonly Parameter[]) =>
      database.query<R>(change(text), parameters),
    script: (text) => database.script(text),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The database, and the statements that `query` sent to it. */
export function recording(database: Database): { database: Database; statements: string[] } {
  const statements: string[] = [];
  const record = (text: string) => {
    statements.push(text);
    return text;
  };
  return { database: changing(database, record), statements };
}

/**
 * The database, with `before` called before each statement of `query`. A statement waits for it,
 * and fails where it throws.
 */
export function intercepting(database: Database, before: (text: string) => Promise<void> | void): Database {
  return {
    ...changing(database, (text) => text),
    query: async <R extends object>(text: string, parameters?: readonly Parameter[]) => {
      await before(text);
      return await database.query<R>(text, parameters);
    },
  };
}

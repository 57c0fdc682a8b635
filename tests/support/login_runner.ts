// Logs in to each of the databases that standard input names (JSON). Prints a line for each. The
// tests run this under each runtime.
import { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { explain } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";

/** The user that the server sees, or its reason for the refusal. */
export interface LoggedIn {
  readonly user: string | null;
  readonly explanation: string;
}

async function logIn(settings: PostgresSettings): Promise<LoggedIn> {
  try {
    await using database = openPostgres(settings);
    const [row] = await database.query<{ user: string }>("select current_user as user");
    return { user: row?.user ?? null, explanation: "" };
  } catch (error) {
    return { user: null, explanation: explain(error) };
  }
}

for (const settings of JSON.parse(await text(stdin)) as PostgresSettings[]) {
  stdout.write(`${JSON.stringify(await logIn(settings))}\n`);
}

// Stores a metric in each of the databases that standard input names (JSON). Prints a line for
// each. The tests run this under each runtime.
import { randomUUID } from "node:crypto";
import { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { decodeMetric } from "../../lib/metric.ts";
import { classifyError, type Database, explain } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { PostgresSettings } from "../../lib/postgres/database/postgres_connection.ts";
import { Store } from "../../lib/postgres/store.ts";

/** The settings of a server, or the folder of an embedded database. */
export type Target = PostgresSettings | { readonly folder: string };

/**
 * How often the table has the metric, and whether the connection was encrypted. Else the reason why
 * it could not be stored.
 */
export type Stored =
  | { readonly rows: number; readonly encrypted: boolean }
  | { readonly remedy: string; readonly explanation: string };

async function store(target: Target): Promise<Stored> {
  try {
    await using database = "folder" in target ? await openEmbedded(target.folder) : openPostgres(target);
    return await storeTwice(database);
  } catch (error) {
    return { remedy: classifyError(error), explanation: explain(error) };
  }
}

async function storeTwice(database: Database): Promise<Stored> {
  const store = await Store.open(database, { schema: null, name: "m" });
  const source = { topic: "metrics", topicId: randomUUID() };
  const value = new TextEncoder().encode(
    `{"address":"${source.topicId}","status_code":200,"latency":1,"is_valid":true}`,
  );
  const entry = { partition: 0, offset: 0, key: null, value, content: decodeMetric(value, Date.UTC(2026, 0, 2)) };
  await store.marks.claim(source, new Map([[0, 0]]));
  for (let i = 0; i < 2; i++) await store.flush(source, new Map([[0, { start: 0, next: 1 }]]), [entry]);
  const rows = await database.query(`select from m where address = $1::text`, [source.topicId]);
  const [row] = await database.query<{ ssl: boolean }>("select ssl from pg_stat_ssl where pid = pg_backend_pid()");
  return { rows: rows.length, encrypted: row?.ssl ?? false };
}

for (const target of JSON.parse(await text(stdin)) as Target[]) {
  stdout.write(`${JSON.stringify(await store(target))}\n`);
}

import type { Database } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { newEmbedded } from "./embedded.ts";
import { postgresMissing, type TestPostgres } from "./postgres.ts";

/** A kind of database, and why it cannot be tried here; null where it can. */
interface DatabaseKind {
  readonly kind: string;
  readonly missing: string | null;
  open(): Promise<Database>;
}

/**
 * Both kinds of database that a consumer may have, for a suite that runs on each. `server` is asked
 * when one is opened; the embedded one gets `folder`, which is empty.
 */
export function databaseKinds(server: () => TestPostgres, folder: string): readonly DatabaseKind[] {
  return [
    { kind: "PostgreSQL", missing: postgresMissing, open: () => Promise.resolve(openPostgres(server().settings)) },
    { kind: "PGlite", missing: null, open: async () => await openEmbedded(await newEmbedded(folder)) },
  ];
}

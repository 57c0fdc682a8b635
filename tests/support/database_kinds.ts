import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import type { Database } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { newEmbedded } from "./embedded.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "./postgres.ts";

/** A kind of database, and why it cannot be tried here; null where it can. */
interface DatabaseKind {
  readonly kind: string;
  readonly missing: string | null;
  open(): Promise<Database>;
}

/**
 * Both kinds of database that a consumer may have, for a file of tests that runs on each. There is a
 * server, which `started` gets, and a folder for embedded ones; both go when the tests have run. Who
 * runs on the kinds twice names each part.
 */
export function databaseKinds(started: (server: TestPostgres) => void): (part?: string) => readonly DatabaseKind[] {
  const folder = mkdtempSync(join(tmpdir(), "test-databases-"));
  let server: TestPostgres | undefined;
  beforeAll(async () => {
    if (postgresMissing === null) started(server = await startPostgres());
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  return (part = "data") => [
    {
      kind: "PostgreSQL",
      missing: postgresMissing,
      open: () => Promise.resolve(openPostgres((server as TestPostgres).settings)),
    },
    { kind: "PGlite", missing: null, open: async () => await openEmbedded(await newEmbedded(join(folder, part))) },
  ];
}

/** A server and a way to it, for the tests of a file or of a `describe`: both are there while these run. */
export function serverForTests(started: (server: TestPostgres, database: Database) => void): void {
  const stack = new AsyncDisposableStack();
  beforeAll(async () => {
    const server = stack.use(await startPostgres());
    started(server, stack.use(openPostgres(server.settings)));
  });
  afterAll(() => stack.disposeAsync());
}

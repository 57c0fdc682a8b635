import { randomUUID } from "node:crypto";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { TestPostgres } from "./postgres.ts";

/** A role for a test. Disposing of it drops the role, everything that it owns, and its rights. */
export interface TestRole extends AsyncDisposable {
  readonly name: string;
  /** The test's database, with this role as the user. */
  readonly database: Database;
}

/** Makes a role that may log in. `options` are further words of `create role`. */
export async function createRole({ settings }: TestPostgres, options = ""): Promise<TestRole> {
  const name = `role_${randomUUID().slice(0, 8)}`;
  const password = "secret";
  const run = async (script: string) => {
    await using admin = openPostgres(settings);
    await admin.script(script);
  };
  await run(`create role ${name} login password '${password}' ${options}`);
  const database = openPostgres({ ...settings, user: name, password });
  return {
    name,
    database,
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]();
      await run(`drop owned by ${name}; drop role ${name}`);
    },
  };
}

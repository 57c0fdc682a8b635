import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { madeOnce } from "../../tools/made_once.ts";

const run = promisify(execFile);

/**
 * Puts a new embedded database into `directory`, and gives `directory`. It is a copy: making one
 * takes 5 s of a core. tests/postgres/embedded.test.ts proves that openers make a database, and
 * tests/programs/alone.test.ts that the consumer does.
 */
export async function newEmbedded(directory: string): Promise<string> {
  const description = new URL("../../node_modules/@electric-sql/pglite/package.json", import.meta.url);
  const { version } = JSON.parse(await readFile(description, "utf8")) as { readonly version: string };
  const made = await madeOnce(`embedded-${version}`, async (folder) => {
    await (await openEmbedded(folder))[Symbol.asyncDispose]();
  });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // This fails where there is a database already.
  await mkdir(join(directory, "postgres"));
  // The many small files take Node's own copying three times as long.
  await run("cp", ["-R", join(made, "postgres", "."), join(directory, "postgres")]);
  return directory;
}

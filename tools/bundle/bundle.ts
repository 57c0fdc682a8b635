/**
 * Makes dist/producer.js and dist/consumer.js, each the whole program in one file for Node and
 * Deno. `npm run bundle`, or
 * `node tools/bundle/bundle.ts DIRECTORY` for another place.
 */
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { embed, ENTRY } from "./embed.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAMS = ["producer", "consumer"] as const;

/**
 * Left out: the embedded PostgreSQL is 16 MB of code and data beside its own files. Where the
 * package can be found from the bundle's place it is used, elsewhere `--embedded` says what is
 * missing.
 */
const EXTERNAL = ["@electric-sql/pglite"];

/** Bundles both programs into `directory`. Throws where a package that is patched while bundling has changed. */
export async function bundle(directory: string): Promise<string[]> {
  return await Promise.all(PROGRAMS.map(async (program) => {
    await using build = await rolldown({
      input: `${ENTRY}${join(ROOT, "lib", "program", `${program}.ts`)}`,
      platform: "node",
      // So that an older Node can read it, to the line that says that it is too old.
      transform: { target: "es2022" },
      external: EXTERNAL,
      plugins: [embed()],
    });
    const file = join(directory, `${program}.js`);
    await build.write({ file, format: "esm", codeSplitting: false, minify: true });
    return file;
  }));
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const directory = resolve(process.argv[2] ?? join(ROOT, "dist"));
  for (const file of await bundle(directory)) {
    console.log(`${file}  ${Math.round(statSync(file).size / 1024)} KiB`);
  }
}

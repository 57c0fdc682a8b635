// Exhausts the stack of the runtime in the embedded database in the folder that standard input
// names (JSON). Prints how each statement failed, and the rows that are kept: the tests run this
// under each runtime.
import { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { sqlFailure } from "../../lib/postgres/database.ts";

/** SQLSTATEs of the statements that failed, null for the others, and the rows that are kept. */
export interface DeepStatements {
  readonly codes: readonly (string | null)[];
  readonly kept: readonly object[];
}

const codeOf = (work: Promise<unknown>) => work.then(() => null, (error: unknown) => sqlFailure(error)?.code ?? "");

const [folder] = JSON.parse(await text(stdin)) as [string];
{
  await using database = await openEmbedded(folder);
  await database.script(`create table kept (a int);
    create function endless(n int) returns int language plpgsql as $$ begin return endless(n + 1); end $$`);
  const halfway = "insert into kept select case when a = 9 then endless(a) else a end from generate_series(1, 9) a";
  const codes = [
    await codeOf(database.query(halfway)),
    await codeOf(database.script("insert into kept values (1); select endless(1)")),
    await codeOf(database.query("insert into kept values (2)")),
  ];
  const kept = await database.query("select a from kept");
  stdout.write(`${JSON.stringify({ codes, kept } satisfies DeepStatements)}\n`);
}

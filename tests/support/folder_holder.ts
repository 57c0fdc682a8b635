// Opens the embedded database in the folder that its argument names. Says so, and holds the folder
// until a kill. The tests run this under each runtime.
import { argv, stdout } from "node:process";
import { explain } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";

try {
  const database = await openEmbedded(argv[2] as string);
  await database.query("create table if not exists held (at timestamptz default now())");
  await database.query("insert into held default values");
  stdout.write("open\n");
  setInterval(() => {}, 60_000);
} catch (error) {
  stdout.write(`${explain(error)}\n`);
}

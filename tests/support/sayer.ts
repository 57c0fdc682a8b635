// Prints the numbers from 0 on, one a line with many blanks before it. Writes the last printed
// number into the file that its argument names. Ends by itself after many.
import { renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { say } from "../faults/say.ts";

const MANY = 5_000;
/** Lines of this width fill the pipe long before MANY of them are said, if nobody reads yet. */
const WIDTH = 400;
const file = process.argv[2] as string;
for (let number = 0; number < MANY; number++) {
  await say(String(number).padStart(WIDTH));
  // It is written in one step, so that a reader finds a whole number at any moment.
  writeFileSync(`${file}.new`, String(number));
  renameSync(`${file}.new`, file);
}

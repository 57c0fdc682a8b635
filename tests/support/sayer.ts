// Says the numbers from 0 on, one a line with many blanks before it, and writes the last that was
// said into the file that is its argument. Ends by itself after many.
import { renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { say } from "../faults/say.ts";

const MANY = 5_000;
/** Many lines are then more than a reader takes in that has not begun to listen. */
const WIDTH = 400;
const file = process.argv[2] as string;
for (let number = 0; number < MANY; number++) {
  await say(String(number).padStart(WIDTH));
  // In one step, for whoever reads it at any moment.
  writeFileSync(`${file}.new`, String(number));
  renameSync(`${file}.new`, file);
}

// A program that never ends, whatever it is told: its start waits for something that does not come.
import process from "node:process";
import { runProgram } from "../../lib/program/program.ts";

setInterval(() => {}, 1000);
await runProgram(
  "producer",
  () => ({ kind: "settings", settings: { logLevel: "INFO" } }),
  () => {
    process.stdout.write("started\n");
    return new Promise<number>(() => {});
  },
);

// A program that never ends by itself, since its start waits for ever. With the argument `closing`
// its closing does so, after it has noted an exit code.
import { once } from "node:events";
import process from "node:process";
import { runProgram } from "../../lib/program/program.ts";

setInterval(() => {}, 1000);
await runProgram(
  "producer",
  () => ({ kind: "settings", settings: { logLevel: "INFO" } }),
  async (_, { stop, afterStop, settled }) => {
    process.stdout.write("started\n");
    if (process.argv[2] === "closing") {
      afterStop(1);
      await once(stop, "abort");
      settled(0);
    }
    return await new Promise<number>(() => {});
  },
);

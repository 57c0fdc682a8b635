import { spawn } from "node:child_process";
import { once } from "node:events";
import { eventually } from "./eventually.ts";

/** Starts a server that gets notifications. Resolves when it answers at `ready` that it is. */
export async function startReceiver(
  program: string,
  args: readonly string[],
  ready: string,
): Promise<AsyncDisposable> {
  const running = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  running.stderr.on("data", (chunk: Uint8Array) => said += Buffer.from(chunk).toString());
  const isReady = () => fetch(ready).then(({ ok }) => ok).catch(() => false);
  await eventually(isReady, () => said, { timeout: 30_000 });
  return {
    async [Symbol.asyncDispose]() {
      running.kill("SIGKILL");
      await once(running, "exit");
    },
  };
}

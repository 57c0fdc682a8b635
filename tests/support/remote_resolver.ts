import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { NoAddress, type Resolver, type ResolverOptions } from "../../lib/net/resolver.ts";
import type { LookedUp, LookupOrder } from "./resolver_runner.ts";
import { startScript } from "./runtimes.ts";

/** Resolves names in a process of another runtime. */
export class RemoteResolvers implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (found: LookedUp) => void>();
  #next = 0;

  constructor(command: readonly string[]) {
    this.#child = startScript(command, "resolver_runner.ts");
    if (this.#child.stdout === null) throw new TypeError("The program was started without pipes");
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const found = JSON.parse(line) as LookedUp;
      this.#waiting.get(found.id)?.(found);
      this.#waiting.delete(found.id);
    });
  }

  /** The same interface as `systemResolver` of this process. */
  open(options: ResolverOptions): Resolver {
    return {
      resolve: async (name, signal) => {
        const id = this.#next++;
        const giveUp = () => this.#send({ id, givenUp: (signal.reason as Error).message });
        if (signal.aborted) giveUp();
        signal.addEventListener("abort", giveUp, { once: true });
        const { promise, resolve } = Promise.withResolvers<LookedUp>();
        this.#waiting.set(id, resolve);
        this.#send({ id, name, options });
        const { addresses, reason, error } = await promise;
        signal.removeEventListener("abort", giveUp);
        if (error !== undefined) throw new Error(error);
        return addresses ?? new NoAddress(reason ?? "");
      },
    };
  }

  #send(order: LookupOrder): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.stdin?.end();
    await exit;
  }
}

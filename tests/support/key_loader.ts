import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import type { Loaded, LoadOrder } from "./key_material_runner.ts";
import { startScript } from "./runtimes.ts";

/** Loads keys and certificates in a process of a runtime, one after another. */
export class KeyLoader implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(command: readonly string[]) {
    this.#child = startScript(command, "key_material_runner.ts");
    if (this.#child.stdout === null) throw new TypeError("The program was started without pipes");
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** One order at a time. */
  async load(order: LoadOrder): Promise<Loaded> {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`The process ended at ${JSON.stringify(order)}`);
    return JSON.parse(value) as Loaded;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.stdin?.end();
    await exit;
    this.#reader.close();
  }
}

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Core, startOn, stopped } from "./cores.ts";

export type Scheme = "http" | "https";

/** How long the site waits with each answer, in milliseconds: the latency that a check should measure. */
export const WAIT_MS = 100;
/** A page of 2 KB. What the checks look for is near its end. */
export const PATTERN = String.raw`All systems (normal|operational)`;
export const BODY = `<!doctype html><title>Status</title>${
  "<p>Nothing to see on this line.</p>".repeat(58)
}All systems normal`
  .padEnd(2048, ".");

/** What the site is asked for. */
export type Question = "ports" | "waits";

/** What the site saw since it was asked last. */
export interface Seen {
  /** For each path, how long its requests waited for their answers, in milliseconds, in order. */
  readonly waits: Readonly<Record<string, readonly number[]>>;
  /** When the first request came, in milliseconds since 1970; null where none did. */
  readonly firstAt: number | null;
}

/** A site that a checker can be put under load with. */
export interface LoadedSite {
  /** The address of page number `index`. */
  address(scheme: Scheme, index: number): string;
  /** What it saw since this was called last. */
  seen(): Promise<Seen>;
}

/** The web site that is checked, in a process of its own on a core of its own. */
export class Site implements LoadedSite, AsyncDisposable {
  readonly #process: ChildProcess;
  readonly ports: Readonly<Record<Scheme, number>>;

  private constructor(process: ChildProcess, ports: Readonly<Record<Scheme, number>>) {
    this.#process = process;
    this.ports = ports;
  }

  /** `identityFile`: key and certificate, PEM. */
  static async open(core: Core, identityFile: string): Promise<Site> {
    const script = fileURLToPath(new URL("target.ts", import.meta.url));
    const command = [process.execPath, "--experimental-strip-types", script, identityFile];
    const child = startOn(core, command, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    return new Site(child, await ask(child, "ports") as Record<Scheme, number>);
  }

  /** The address of page number `index`. */
  address(scheme: Scheme, index: number): string {
    return `${scheme}://127.0.0.1:${this.ports[scheme]}/${index}`;
  }

  /** What it saw since this was called last. */
  async seen(): Promise<Seen> {
    return await ask(this.#process, "waits") as Seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopped(this.#process);
  }
}

async function ask(child: ChildProcess, question: Question): Promise<unknown> {
  const answer = once(child, "message", { signal: AbortSignal.timeout(10_000) });
  child.send(question);
  return (await answer)[0];
}

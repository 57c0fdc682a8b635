import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { Metric } from "../../lib/metric.ts";
import type { Checked, Checker, CheckerRun, Load } from "./checker.ts";
import { type Core, limited, startOn, stopped } from "./cores.ts";
import { type LoadedSite, PATTERN } from "./site.ts";

/** Where things are. */
export interface Place {
  readonly core: Core;
  /** For hosts files. */
  readonly folder: string;
  /** PEM: whom the site's certificate is signed by. */
  readonly caFile: string;
}

/**
 * producer.ts itself, as a user starts it, with its metrics on standard output. `runtime` is the
 * command before the script.
 */
export class OurChecker implements Checker {
  readonly name: string;
  readonly #runtime: readonly string[];
  readonly #place: Place;
  readonly #flags: readonly string[];

  /** `flags`: of producer.ts, more than those that every run has. */
  constructor(name: string, runtime: readonly string[], place: Place, flags: readonly string[] = []) {
    this.name = name;
    this.#runtime = runtime;
    this.#place = place;
    this.#flags = flags;
  }

  /** The same program with other flags, or elsewhere. */
  as(name: string, place: Partial<Place>, flags: readonly string[]): OurChecker {
    return new OurChecker(name, this.#runtime, { ...this.#place, ...place }, flags);
  }

  async start(site: LoadedSite, load: Load): Promise<CheckerRun> {
    const run = new ProducerRun(this.startProducer(await this.writeHosts(site, load, "1s")));
    await run.begun;
    return run;
  }

  /** Writes a hosts file that has each page checked every `frequency`; gives its name. */
  async writeHosts(site: LoadedSite, { scheme, pages }: Load, frequency: string): Promise<string> {
    const file = join(this.#place.folder, "hosts.txt");
    const line = (_: unknown, index: number) => `${site.address(scheme, index)} ${frequency} ${PATTERN}\n`;
    await writeFile(file, Array.from({ length: pages }, line).join(""));
    return file;
  }

  startProducer(file: string): ChildProcess {
    const { caFile } = this.#place;
    const command = [...this.#runtime, "producer.ts", "--stdout", "--log-level=WARN", ...this.#flags, file];
    return startOn(this.#place.core, limited(command), {
      env: { ...inherited(), NODE_EXTRA_CA_CERTS: caFile, DENO_CERT: caFile },
      stdio: ["ignore", "pipe", "inherit"],
    });
  }
}

/** What the runtimes need of the environment, and nothing that is a setting. */
function inherited(): Record<string, string> {
  const names = ["PATH", "HOME", "DENO_DIR", "TMPDIR", "NODE_OPTIONS"];
  return Object.fromEntries(
    names.flatMap((name) => process.env[name] === undefined ? [] : [[name, process.env[name]]]),
  );
}

class ProducerRun implements CheckerRun {
  readonly #process: ChildProcess;
  readonly #chunks: Buffer[] = [];
  /** Resolves with the first metric. */
  readonly begun: Promise<unknown>;

  constructor(child: ChildProcess) {
    if (child.stdout === null) throw new TypeError("The producer was started without a pipe");
    this.#process = child;
    // Only kept: what reading costs would slow the site down, which shares this core.
    child.stdout.on("data", (chunk: Buffer) => this.#chunks.push(chunk));
    this.begun = once(child.stdout, "data", { signal: AbortSignal.timeout(20_000) });
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  checks(): Checked[] {
    const lines = Buffer.concat(this.#chunks).toString().split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Metric).filter(({ error }) => error !== "missed").map(toChecked);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopped(this.#process);
  }
}

function toChecked(metric: Metric): Checked {
  const startedAt = Date.parse(metric.checked_at as string);
  return {
    path: new URL(metric.address).pathname,
    startedAt,
    latency: metric.latency * 1000,
    lateness: startedAt - Date.parse(metric.scheduled_at as string),
    isUp: metric.is_valid,
  };
}

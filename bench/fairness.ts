/**
 * Do dead hosts make live ones late? Runs the real producer, under Node and under Deno, on 5,000
 * hosts every 10 seconds, one in five of which never answers (half of these accept a connection and
 * are silent, half do not even accept), and prints how late the checks of the others began,
 * `missed` ones counted as one interval late. From the first check on: nobody knows yet then who is
 * dead.
 *
 *     npm run bench:fairness -- [--seconds 60] [--runtime node|deno] [--hosts 5000] [--dead 0.2] [--concurrency N]
 *
 * With the defaults there are slots for all; `--hosts 88 --dead 0.68 --concurrency 8` has dead
 * hosts for seven times as many.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Metric } from "../lib/metric.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const INTERVAL = 10;
const RUNTIMES = {
  node: ["node", "--experimental-strip-types", "producer.ts"],
  deno: ["deno", "run", "-q", "-P=producer", "producer.ts"],
} as const;
type Runtime = keyof typeof RUNTIMES;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    hosts: { type: "string", default: "5000" },
    dead: { type: "string", default: "0.2" },
    runtime: { type: "string" },
    concurrency: { type: "string" },
  },
});

/** Where the hosts are: ports of 127.0.0.1. */
interface Ports {
  readonly live: readonly number[];
  /** Accepts, and never answers. */
  readonly silent: number;
  /** Does not even accept. */
  readonly hole: number;
}

interface Tally {
  readonly lateness: number[];
  missed: number;
  failed: number;
  deadChecks: number;
  deadMissed: number;
}

const folder = await mkdtemp(join(tmpdir(), "host-checker-bench-"));
const [site, hole] = ["site", "holes"].map((name) => spawnScript(`bench/fairness/${name}.ts`));
try {
  const ports: Ports = { ...JSON.parse(await firstLine(site)), hole: Number(await firstLine(hole)) };
  const hostsFile = join(folder, "hosts.txt");
  await writeFile(hostsFile, hostsOf(ports));
  for (const runtime of Object.keys(RUNTIMES) as Runtime[]) {
    if (values.runtime !== undefined && values.runtime !== runtime) continue;
    report(runtime, await measure(runtime, hostsFile));
  }
} finally {
  // A process that is stopped still ends by SIGKILL.
  for (const child of [site, hole]) child?.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
}

function hostsOf({ live, silent, hole }: Ports): string {
  const dead = Number(values.dead);
  const line = (index: number) => {
    const before = Math.floor(index * dead);
    if (Math.floor((index + 1) * dead) === before) {
      return `http://127.0.0.1:${live[index % live.length]}/live/${index} ${INTERVAL}s (systems)`;
    }
    return `http://127.0.0.1:${before % 2 === 0 ? silent : hole}/dead/${index} ${INTERVAL}s`;
  };
  return Array.from({ length: Number(values.hosts) }, (_, index) => `${line(index)}\n`).join("");
}

async function measure(runtime: Runtime, hostsFile: string): Promise<Tally> {
  const [program, ...args] = RUNTIMES[runtime];
  const concurrency = values.concurrency === undefined ? [] : ["--concurrency", values.concurrency];
  const producer = spawn(program, [...args, "--stdout", "--log-level", "WARN", ...concurrency, hostsFile], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const timer = setTimeout(() => producer.kill("SIGTERM"), Number(values.seconds) * 1000);
  const tally: Tally = { lateness: [], missed: 0, failed: 0, deadChecks: 0, deadMissed: 0 };
  const ended = once(producer, "exit");
  for await (const line of createInterface({ input: producer.stdout })) count(JSON.parse(line) as Metric, tally);
  await ended;
  clearTimeout(timer);
  return tally;
}

function count({ address, error, scheduled_at, checked_at }: Metric, tally: Tally): void {
  const isMissed = error === "missed";
  if (address.includes("/dead/")) {
    if (isMissed) tally.deadMissed++;
    else tally.deadChecks++;
    return;
  }
  if (isMissed) tally.missed++;
  else if (error !== null) tally.failed++;
  const late = isMissed ? INTERVAL * 1000 : Date.parse(checked_at ?? "") - Date.parse(scheduled_at ?? "");
  tally.lateness.push(late);
}

function report(runtime: Runtime, { lateness, missed, failed, deadChecks, deadMissed }: Tally): void {
  lateness.sort((a, b) => a - b);
  const at = (part: number) => lateness[Math.min(lateness.length - 1, Math.floor(part * lateness.length))] ?? NaN;
  console.log(
    `${runtime}: ${lateness.length} checks of live hosts, late by ${at(0.5)} ms (p50), ${at(0.99)} ms (p99), ` +
      `${at(1)} ms (max); ${missed} of them missed, ${failed} failed; ` +
      `${deadChecks} checks of dead hosts, ${deadMissed} more missed`,
  );
}

function spawnScript(path: string): ChildProcess {
  return spawn("node", ["--experimental-strip-types", path], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
}

async function firstLine(child: ChildProcess | undefined): Promise<string> {
  if (child === undefined || child.stdout === null) throw new TypeError("The process was started without a pipe");
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error(`${child.spawnargs.join(" ")} ended before it said anything`);
}

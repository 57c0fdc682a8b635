/**
 * Do hostile sites falsify the figures of good ones? Runs the real producer, under Node and under
 * Deno, on 100 good hosts that answer after 100 ms, first alone and then beside hostile ones of all
 * kinds: endless headers, 1 MiB in chunks of one byte, answers that unpack to gigabytes or to
 * nothing without end, a byte at a time, silence; TLS with hundreds of certificates, floods of
 * session tickets, endless handshakes; and last beside the one kind that no bound of the program
 * stops, RSA keys with huge exponents. Prints how much longer than 100 ms the good ones took, how
 * late they began, and what the producer took of its core and of memory. It runs on one core, the
 * sites on another.
 *
 *     npm run bench:hostile -- [--seconds 30] [--runtime node|deno] [--only KIND] [--each]
 *
 * `--only gzip-bomb` has that kind alone beside the good sites, `--each` all kinds, one after the other.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Metric } from "../lib/metric.ts";
import { chooseCores, MOST_SECONDS, moveTo, startOn } from "./producer/cores.ts";
import { cpuSeconds, memory } from "./producer/usage.ts";

const RUNTIMES = {
  node: ["node", "--experimental-strip-types", "producer.ts"],
  deno: ["deno", "run", "-q", "-P=producer", "producer.ts"],
} as const;
type Runtime = keyof typeof RUNTIMES;

const GOOD = 100;
const INTERVAL = 2;
/** Seconds in which a good site answers. */
const ANSWER = 0.1;
/** Seconds after the start that are not counted: code is compiled then. */
const WARM_UP = 6;
const HOSTILE = [
  ...["/one-byte-chunks", "/endless-informational", "/endless-head", "/endless-extension", "/endless-trailers"],
  ...["/endless-empty-blocks", "/endless-empty-members", "/endless-empty-frames", "/empty-frames", "/endless"],
  ...["/gzip-bomb", "/br-bomb", "/zstd-bomb", "/byte-a-time", "/header-a-time", "/silent", "/half-head-held"],
  ...["/many-headers", "/bad-chunk", "/resets", "/empty-blocks-in-gzip"],
  ...["tls-endless-handshake", "tls-handshake-crumbs", "tls-tickets", "tls-one-byte-records", "tls-many-certificates"],
  ...["tls-many-names", "tls-rsa-16384"],
].map((name) => name.replace(/^\//, ""));
/** Under Node OpenSSL verifies all that a server sends before a program sees anything of it: 5 ms for each of these. */
const UNBOUNDED = "tls-huge-exponents";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "30" },
    runtime: { type: "string" },
    only: { type: "string" },
    each: { type: "boolean", default: false },
  },
});
const KINDS = [...HOSTILE, UNBOUNDED];
if (values.only !== undefined && !KINDS.includes(values.only)) {
  throw new Error(`--only takes one of ${KINDS.join(", ")}`);
}
const seconds = Math.min(Number(values.seconds), MOST_SECONDS);

interface Tally {
  /** Seconds beyond those in which the site answers, and seconds from the due time to the check. */
  readonly off: number[];
  readonly late: number[];
  missed: number;
  down: number;
  hostile: number;
  peak: number;
  /** Share of one core that the producer used. */
  cpu: number;
}

const cores = chooseCores();
moveTo(cores.others);
const folder = await mkdtemp(join(tmpdir(), "host-checker-bench-"));
const sites = ["good", "hostile", "tls"].map((kind) =>
  startOn(cores.others, ["node", "--experimental-strip-types", "bench/hostile/sites.ts", kind], {
    stdio: ["ignore", "pipe", "inherit"],
  })
);
try {
  const [good, hostile, { ports, authority }] = (await Promise.all(sites.map(firstLine))).map((line) =>
    JSON.parse(line)
  ) as [number, number, { ports: Record<string, number>; authority: string }];
  const trust = { ...process.env, NODE_EXTRA_CA_CERTS: authority, DENO_CERT: authority };
  const goodLines = Array.from(
    { length: GOOD },
    (_, n) => `http://127.0.0.1:${good}/good/${n} ${INTERVAL}s (systems)\n`,
  );
  const lineOf = (kind: string) =>
    `${
      ports[kind] === undefined ? `http://127.0.0.1:${hostile}/${kind}` : `https://localhost:${ports[kind]}/`
    } ${INTERVAL}s no such words\n`;
  const alone = (kind: string) => ({ beside: kind, kinds: [kind] });
  const beside = values.only !== undefined
    ? [alone(values.only)]
    : values.each
    ? KINDS.map(alone)
    : [{ beside: `${HOSTILE.length} hostile`, kinds: HOSTILE }, alone(UNBOUNDED)];
  const sets = [{ beside: "nobody", kinds: [] }, ...beside];
  console.log(
    "runtime  beside                  checks  off by p50  p99  max ms  late p99 ms  missed  down  CPU %  peak MB  hostile checks",
  );
  for (const runtime of Object.keys(RUNTIMES) as Runtime[]) {
    if (values.runtime !== undefined && values.runtime !== runtime) continue;
    for (const { beside, kinds } of sets) {
      report(runtime, beside, await measure(runtime, [...goodLines, ...kinds.map(lineOf)], trust));
    }
  }
} catch (error) {
  console.error(`bench:hostile: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  // They have to end what they started.
  await Promise.all(sites.map(async (site) => {
    site.kill("SIGTERM");
    await once(site, "exit");
  }));
  await rm(folder, { recursive: true, force: true });
}

async function measure(runtime: Runtime, lines: readonly string[], env: NodeJS.ProcessEnv): Promise<Tally> {
  const hostsFile = join(folder, "hosts.txt");
  await writeFile(hostsFile, lines.join(""));
  const command = [...RUNTIMES[runtime], "--stdout", "--log-level", "ERROR", hostsFile];
  const producer = startOn(cores.checker, command, { env, stdio: ["ignore", "pipe", "inherit"] });
  const tally: Tally = { off: [], late: [], missed: 0, down: 0, hostile: 0, peak: 0, cpu: 0 };
  const counted = Date.now() + WARM_UP * 1000;
  const exit = once(producer, "exit");
  const reading = (async () => {
    if (producer.stdout === null) throw new TypeError("The producer was started without a pipe");
    for await (const line of createInterface({ input: producer.stdout })) {
      const metric = JSON.parse(line) as Metric;
      if (Date.parse(metric.scheduled_at ?? "") >= counted) count(metric, tally);
    }
  })();
  const running = new AbortController();
  const last = (length: number) => delay(length * 1000, undefined, { signal: running.signal });
  const died = exit.then(([code, signal]) => {
    throw new Error(`${command.join(" ")} ended with ${signal ?? `code ${code}`} before it was measured`);
  }).finally(() => running.abort());
  await Promise.race([last(WARM_UP), died]);
  const used = cpuSeconds(producer.pid as number);
  await Promise.race([last(seconds), died]);
  tally.cpu = (cpuSeconds(producer.pid as number) - used) / seconds;
  tally.peak = memory(producer.pid as number).peak;
  producer.kill("SIGTERM");
  await Promise.all([reading, exit, died.catch(() => {})]);
  return tally;
}

function count({ address, error, is_valid, latency, scheduled_at, checked_at }: Metric, tally: Tally): void {
  if (!address.includes("/good/")) return void tally.hostile++;
  if (error === "missed") return void tally.missed++;
  if (error !== null || !is_valid) return void tally.down++;
  tally.off.push(latency - ANSWER);
  tally.late.push((Date.parse(checked_at ?? "") - Date.parse(scheduled_at ?? "")) / 1000);
}

function report(runtime: Runtime, beside: string, { off, late, missed, down, hostile, peak, cpu }: Tally): void {
  const ms = (list: number[], part: number) => {
    const sorted = list.toSorted((a, b) => a - b);
    return ((sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN) * 1000).toFixed(1);
  };
  const columns: [string, number][] = [
    [runtime, -7],
    [beside, -22],
    [String(off.length), 7],
    [ms(off, 0.5), 10],
    [ms(off, 0.99), 4],
    [ms(off, 1), 7],
    [ms(late, 0.99), 11],
    [String(missed), 6],
    [String(down), 4],
    [(cpu * 100).toFixed(0), 5],
    [peak.toFixed(0), 7],
    [String(hostile), 14],
  ];
  console.log(columns.map(([text, width]) => width < 0 ? text.padEnd(-width) : text.padStart(width)).join("  "));
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new TypeError("The process was started without a pipe");
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error(`${child.spawnargs.join(" ")} ended before it said anything`);
}

// What a check costs, how punctual and how exact it is, and what 100,000 hosts take: producer.ts
// under Node and under Deno, and blackbox_exporter under the same load. Loopback only; ends by
// itself.
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { onStopSignal } from "../lib/program/stop_signals.ts";
import { makeCertificates, makeServerStore } from "../tools/kafka/certificates.ts";
import { Blackbox, findBlackbox } from "./producer/blackbox.ts";
import type { Checker } from "./producer/checker.ts";
import { chooseCores, MOST_SECONDS, moveTo } from "./producer/cores.ts";
import { LightSite } from "./producer/light_site.ts";
import { loadMany } from "./producer/load_many.ts";
import { measure, measureTop, type Sample } from "./producer/measure.ts";
import { OurChecker, type Place } from "./producer/our_checker.ts";
import { compareWithPeer, hostsRow, loadRow, medians, type Row, toJson } from "./producer/rows.ts";
import { type Scheme, Site } from "./producer/site.ts";
import { toTable } from "./producer/table.ts";

const HELP = `npm run bench:producer -- [--json] [--only NAME] [--seconds N] [--runs N]

--json        one JSON array instead of the table
--only NAME   http, https, hosts or threads, and node, deno or blackbox: http/node, say
--seconds N   how long each load is looked at (10; 60 at most)
--runs N      does it all so many times and gives medians (1)
`;

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "10" },
    runs: { type: "string", default: "1" },
    help: { type: "boolean", default: false },
  },
});
const [seconds, runs] = [Number(flags.seconds), Number(flags.runs)];
if (flags.help || !(seconds > 0 && seconds <= MOST_SECONDS) || !(runs >= 1)) {
  process.stderr.write(HELP);
  process.exit(flags.help ? 0 : 2);
}

const HOSTS = 100_000;
/** Pages with which the cost of a check is guessed. */
const FEW = 200;

const cores = chooseCores();
moveTo(cores.others);
const stop = new AbortController();
onStopSignal((signal) => stop.abort(new Error(signal)));
await using folder = await temporaryFolder();
const { caFile } = await makeCertificates(folder.path);
// Before the site, which ends by itself when nobody asks for two minutes: building takes that long.
const blackbox = await findBlackbox();
await using site = await Site.open(cores.others, await makeServerStore(folder.path, "site", ["IP:127.0.0.1"]));
const place: Place = { core: cores.checker, folder: folder.path, caFile };
const ours = ourCheckers(place);
if (blackbox === null) say("blackbox_exporter is neither on the PATH nor can it be built here (needs go): no ratio");
if (cores.checker === null) {
  say("one core only, or no taskset: the site takes from the checker what the figures say of it");
}

const all: Row[][] = [];
for (let run = 1; run <= runs; run++) {
  const rows: Row[] = [];
  for (const scheme of ["http", "https"] as const) rows.push(...await underLoad(scheme));
  for (const checker of ours.filter(({ name }) => isWanted(`hosts/${name}`))) {
    rows.push(told(hostsRow(`hosts/${checker.name}`, await loadMany(checker, site, HOSTS))));
  }
  rows.push(...await byThreads());
  all.push(rows);
}
const result = medians(all);
if (result.length === 0) throw new RangeError(`--only ${flags.only}: nothing is called that`);
process.stdout.write(flags.json ? toJson(result) : toTable(result));
const compared = compareWithPeer(result);
if (compared !== null && !flags.json) process.stdout.write(`\n${compared}\n`);

/** Every checker at its top rate, at half of it, and at a tenth. */
async function underLoad(scheme: Scheme): Promise<Row[]> {
  const checkers: Checker[] = [...(blackbox === null ? [] : [new Blackbox(blackbox, place)]), ...ours];
  const rows: Row[] = [];
  const ofBlackbox = new Map<string, Sample>();
  for (const checker of checkers.filter(({ name }) => isWanted(`${scheme}/${name}`))) {
    const top = await measureTop(checker, site, { scheme, pages: FEW }, seconds);
    for (const [level, share] of [["top", 1], ["half", 0.5], ["tenth", 0.1]] as const) {
      const pages = Math.ceil(top.checksPerSecond * share);
      const sample = level === "top" ? top : await measure(checker, site, { scheme, pages }, seconds);
      if (checker instanceof Blackbox) ofBlackbox.set(level, sample);
      const name = `${scheme}/${checker.name}/${level}`;
      rows.push(told(loadRow(name, sample, level === "top", ofBlackbox.get(level) ?? null)));
    }
  }
  return rows;
}

/** One thread on a core, and one and two on both cores, at their top rates. */
async function byThreads(): Promise<Row[]> {
  const wanted = ours.filter(({ name }) => isWanted(`threads/${name}`));
  if (wanted.length === 0) return [];
  await using light = cores.both === null ? null : await LightSite.open(cores.both, folder.path);
  if (light === null) {
    say("threads need two cores, taskset, and nginx on the PATH, a site that takes next to nothing of them");
    return [];
  }
  const rows: Row[] = [];
  for (const checker of wanted) {
    for (const [threads, core, count] of [[1, cores.checker, 1], [1, cores.both, 2], [2, cores.both, 2]] as const) {
      const ofThreads = checker.as(`${checker.name}/${threads}-of-${count}`, { core }, [`--threads=${threads}`]);
      const top = await measureTop(ofThreads, light, { scheme: "http", pages: FEW }, seconds);
      rows.push(told(loadRow(`threads/${ofThreads.name}`, top, true, null)));
    }
  }
  return rows;
}

/** The runtimes that are there. */
function ourCheckers(place: Place): OurChecker[] {
  const node = [process.execPath, "--experimental-strip-types"];
  const checkers = [new OurChecker("node", node, place)];
  // The program itself: what npm puts on the PATH starts it as a child, whose CPU time would not be seen.
  const found = spawnSync("deno", ["eval", "console.log(Deno.execPath())"], { encoding: "utf8" });
  const deno = [found.stdout.trim(), "run", "-q", "-P=producer"];
  if (found.status === 0) checkers.push(new OurChecker("deno", deno, place));
  else say("no Deno here: Node only");
  return checkers;
}

function isWanted(name: string): boolean {
  stop.signal.throwIfAborted();
  return flags.only === "" || flags.only.split("/").every((part) => name.split("/").includes(part));
}

function told(row: Row): Row {
  say(JSON.stringify(row));
  return row;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "bench-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

// How long a page of 1 MiB, matched against awkward patterns, keeps the event loop from other
// hosts' checks: without matching, in workers as the producer does it, and on the spot. `npm run
// bench:matching`; under Deno, `deno task bench:matching`. On a machine that does other things too,
// the first row says how much of the delays is theirs.
import { argv, exit, stdout, versions } from "node:process";
import { type Matcher, openMatcher } from "../lib/check/matching.ts";
import { textOf } from "../lib/check/matching/text.ts";
import { compilePattern } from "../lib/hosts/pattern.ts";

const MIB = 1024 * 1024;
const PAGES = 4;
/** Milliseconds of measuring without any matching. */
const QUIET = 2000;

/** From a usual one to those in which RE2 has to follow hundreds of threads. */
const PATTERNS = ["price \\d+", "(?i)price \\d+", "(a+)+$", "(?i)[a-zé]+\\d{1,50}zz$", "(?:a|b)*a(?:a|b){14}[cd]"];

/** Text that keeps RE2 busy: one that is as good as random. */
const TEXT = randomText();
const BYTES = new TextEncoder().encode(TEXT);

/** The same every time. */
function randomText(): string {
  let seed = 1;
  return Array.from({ length: MIB }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return seed > 0x4000_0000 ? "a" : "b";
  }).join("");
}

interface Row {
  readonly name: string;
  readonly pages: number;
  readonly seconds: number;
  readonly delay_p99_ms: number;
  readonly delay_max_ms: number;
}

/** Does `work`, and meanwhile sees by how much timers of 1 ms come late: so late would an answer be noticed. */
async function measure(name: string, pages: number, work: () => Promise<unknown>): Promise<Row> {
  const delays: number[] = [];
  const begin = performance.now();
  let last = begin;
  const timer = setInterval(() => {
    const now = performance.now();
    delays.push(Math.max(0, now - last - 1));
    last = now;
  }, 1);
  await work();
  // Matched on the spot, no timer has come yet: what it would have seen counts too.
  delays.push(Math.max(0, performance.now() - last - 1));
  clearInterval(timer);
  const sorted = delays.toSorted((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  const seconds = round((performance.now() - begin) / 1000);
  return { name, pages, seconds, delay_p99_ms: at(0.99), delay_max_ms: at(1) };
}

const round = (value: number) => Math.round(value * 100) / 100;
const never = new AbortController().signal;

const pageOf = () => ({ bytes: BYTES.slice(), contentType: null });

async function measurePattern(source: string, matcher: Matcher): Promise<Row[]> {
  const pattern = compilePattern(source);
  const pages = Array.from({ length: PAGES }, pageOf);
  const inWorkers = () => Promise.all(pages.map((page) => matcher.matches(pattern, page, 600, never)));
  const onTheSpot = async () => pattern.test(String(await textOf(BYTES, null)));
  return [
    await measure(`${source} in workers`, PAGES, inWorkers),
    await measure(`${source} on the spot`, 1, onTheSpot),
  ];
}

await using matcher = openMatcher();
const rows = [await measure("nothing to match", 0, () => new Promise((resolve) => setTimeout(resolve, QUIET)))];
const first = () => matcher.matches(compilePattern("x"), pageOf(), 600, never);
rows.push(await measure("the first page: a worker starts", 1, first));
for (const source of PATTERNS) rows.push(...await measurePattern(source, matcher));

if (argv.includes("--json")) stdout.write(`${JSON.stringify(rows)}\n`);
else {
  stdout.write(`${"Deno" in globalThis ? `Deno ${versions["deno"]}` : `Node ${versions.node}`}\n`);
  stdout.write(`${"pattern".padEnd(45)}pages  seconds  delay p99 ms  delay max ms\n`);
  for (const row of rows) {
    const cells = [row.pages, row.seconds, row.delay_p99_ms, row.delay_max_ms].map((cell, index) =>
      String(cell).padStart([5, 9, 14, 14][index] ?? 0)
    );
    stdout.write(`${row.name.padEnd(45)}${cells.join("")}\n`);
  }
}
exit(0);

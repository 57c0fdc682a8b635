// Checks the targets that standard input names (JSON), all at once or with the argument "in-turn" one after the other, and prints a
// line for each of them: the tests run this under each runtime.
import { argv, stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { check } from "../../lib/check.ts";
import type { Host } from "../../lib/hosts.ts";
import type { Metric } from "../../lib/metric.ts";
import { compilePattern } from "../../lib/hosts/pattern.ts";

/** What to check, and how. */
export interface Target {
  readonly name: string;
  readonly url: string;
  readonly authorization: string | null;
  readonly pattern: string | null;
  readonly timeout: number;
}

/** What came of it. */
export interface Checked {
  readonly name: string;
  readonly metric: Metric;
}

async function run({ name, url, authorization, pattern, timeout }: Target): Promise<Checked> {
  // A check does not read the rest of a host.
  const host = {
    address: url,
    url: new URL(url),
    authorization,
    pattern: pattern === null ? null : compilePattern(pattern),
  };
  const options = { timeout, location: "here", userAgent: "check-test" };
  return { name, metric: await check(host as Host, new Date(0), options, new AbortController().signal) };
}

const targets = JSON.parse(await text(stdin)) as Target[];
const print = async (target: Target) => stdout.write(`${JSON.stringify(await run(target))}\n`);
if (argv.includes("in-turn")) { for (const target of targets) await print(target); }
else await Promise.all(targets.map(print));

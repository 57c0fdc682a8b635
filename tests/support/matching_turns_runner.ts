// Matches a slow page and then others. Prints the order in which they were done.
import { stdout } from "node:process";
import { openMatcher } from "../../lib/check/matching.ts";
import { compilePattern } from "../../lib/hosts/pattern.ts";

const LARGE = 1024 * 1024;
const signs = Array.from({ length: LARGE }, (_, index) => Math.sin(index * index) > 0 ? "a" : "b").join("");
const givenUp = new AbortController();
const over: string[] = [];
await using matcher = openMatcher({ workers: 1, budget: 2 });

async function ask(who: string, source: string, text: string): Promise<void> {
  const page = { bytes: new TextEncoder().encode(text), contentType: null };
  await matcher.matches(compilePattern(source), page, 600, givenUp.signal, who).catch(() => {});
  over.push(who);
}

const hostile = ask("hostile", "[ab]*a[ab]{1000}[ab]{1000}[cd]", signs);
await Promise.all(["good", "other"].map((who) => ask(who, "x$", "x".repeat(LARGE))));
await ask("good", "x$", "x".repeat(LARGE));
givenUp.abort();
await hostile;
stdout.write(`${over.join(", ")}\n`);

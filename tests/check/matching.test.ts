import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import { openMatcher, Unmatched } from "../../lib/check/matching.ts";
import { MatchStandings } from "../../lib/check/matching/standings.ts";
import { startWorker } from "../../lib/check/matching/worker.ts";
import { compilePattern } from "../../lib/hosts/pattern.ts";
import { type Runtime, RUNTIMES } from "../support/programs.ts";

const never = new AbortController().signal;
const SMALL = 100;
const LARGE = 1024 * 1024;
/**
 * RE2 takes minutes for a MiB of this: only 2,000 characters later does it know whether a character
 * counts.
 */
const ENDLESS = compilePattern("[ab]*a[ab]{1000}[ab]{1000}[cd]");
const page = (text: string, contentType: string | null = null) => ({ bytes: Buffer.from(text), contentType });
/** The digits look random: they have no repeating pattern. */
const AWKWARD = Array.from({ length: LARGE }, (_, index) => Math.sin(index * index) > 0 ? "a" : "b").join("");
/** Seconds: enough for a usual page on any machine. */
const BUDGET = 2;
const endless = () => page(AWKWARD);

/** A matcher and the workers that it has started. */
function openCounted(workers = 1) {
  const start = vi.fn(() => startWorker());
  const matcher = openMatcher({ workers, start, budget: BUDGET });
  const threads = () => start.mock.results.map(({ value }) => value);
  return { start, threads, matcher, [Symbol.asyncDispose]: () => matcher[Symbol.asyncDispose]() };
}

it.each([
  ["a small page", SMALL, 0],
  ["a large page", LARGE, 1],
])(
  "openMatcher tells whether a pattern matches %s, and starts a worker only where it needs one",
  async (_name, size, workers) => {
    await using counted = openCounted();
    const text = `${"x".repeat(size)}END`;
    for (const [pattern, expected] of [["xEND$", true], ["^END", false], ["END$", true]] as const) {
      expect(await counted.matcher.matches(compilePattern(pattern), page(text), 60, never)).toBe(expected);
    }
    expect(counted.start).toHaveBeenCalledTimes(workers);
  },
);

it("openMatcher matches a small page in a worker where the pattern is large", async () => {
  await using counted = openCounted();
  const text = "x".repeat(4096);
  expect(await counted.matcher.matches(compilePattern("(?:a?b?){200}y"), page(text), 60, never)).toBe(false);
  expect(counted.start).toHaveBeenCalledTimes(1);
});

it("openMatcher reads a large page in its charset", async () => {
  await using counted = openCounted();
  const bytes = Buffer.from(`${"x".repeat(LARGE / 2)}grün`, "latin1");
  const latin1 = { bytes, contentType: "text/html; charset=latin1" };
  expect(await counted.matcher.matches(compilePattern("grün$"), latin1, 60, never)).toBe(true);
});

it("openMatcher leaves what stands beside a page in its buffer", async () => {
  await using counted = openCounted();
  const whole = Buffer.from(`${"x".repeat(LARGE)}rest`);
  const part = { bytes: whole.subarray(0, LARGE), contentType: null };
  expect(await counted.matcher.matches(compilePattern("rest"), part, 60, never)).toBe(false);
  expect(whole.subarray(LARGE).toString()).toBe("rest");
});

it("openMatcher gives the answers to the right questions, with more of them than workers", async () => {
  await using counted = openCounted(2);
  const asked = Array.from({ length: 20 }, (_, index) => index);
  const answers = asked.map((index) =>
    counted.matcher.matches(compilePattern(`x${index % 3}$`), page("x".repeat(LARGE / 16) + index), 60, never)
  );
  expect(await Promise.all(answers)).toEqual(asked.map((index) => `x${index}` === `x${index % 3}`));
  expect(counted.start).toHaveBeenCalledTimes(2);
});

it("openMatcher gives up on a match that takes too long, and goes on with another worker", async () => {
  await using counted = openCounted();
  expect(await counted.matcher.matches(ENDLESS, endless(), 0.5, never))
    .toEqual(new Unmatched("the pattern was not done with it within 0.5 s"));
  expect(await counted.matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never)).toBe(true);
  expect(counted.start).toHaveBeenCalledTimes(2);
});

it("openMatcher matches other pages while one takes long, and those of its host wait for it alone", async () => {
  await using counted = openCounted();
  const givenUp = new AbortController();
  const over: string[] = [];
  const ask = (who: string, pattern: string | typeof ENDLESS, body: ReturnType<typeof page>, signal: AbortSignal) => {
    const compiled = typeof pattern === "string" ? compilePattern(pattern) : pattern;
    const outcome = counted.matcher.matches(compiled, body, 60, signal, who);
    return outcome.finally(() => over.push(who)).catch((error: Error) => error.message);
  };
  const quick = (who: string) => ask(who, "x$", page("x".repeat(LARGE)), never);
  const hostile = ["hostile 1", "hostile 2"].map((who) => ask(who, ENDLESS, endless(), givenUp.signal));
  expect(await Promise.all([quick("good 1"), quick("good 2")])).toEqual([true, true]);
  // This page is quick, but the same host has slow pages. So it waits behind them.
  const again = ask("hostile 1", "x$", page("x".repeat(LARGE)), givenUp.signal);
  expect(await quick("good 1")).toBe(true);
  expect(over).not.toContain("hostile 1");
  givenUp.abort(new Error("given up"));
  expect(await Promise.all([...hostile, again])).toEqual(Array(3).fill("given up"));
});

it("openMatcher has those that are known to be quick go before those nobody knows", async () => {
  await using counted = openCounted();
  const ask = (who: string) => counted.matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never, who);
  await ask("known");
  const over: string[] = [];
  const asked = ["new 1", "new 2", "new 3", "known"].map((who) => ask(who).then(() => over.push(who)));
  await Promise.all(asked);
  expect(over).toEqual(["new 1", "known", "new 2", "new 3"]);
});

it("openMatcher gives up what waits for too long, for which its host is not to blame", async () => {
  await using counted = openCounted();
  const givenUp = new AbortController();
  const endlessly = (limit: number, signal: AbortSignal) =>
    counted.matcher.matches(ENDLESS, endless(), limit, signal, "hostile");
  const first = endlessly(60, givenUp.signal).catch(() => "given up");
  await vi.waitFor(() => expect(counted.start.mock.calls.length).toBe(2), { timeout: 60_000 });
  expect(await endlessly(0.1, never)).toEqual(
    new Unmatched("it had no turn within 0.1 s: others take too long", "missed"),
  );
  givenUp.abort();
  expect(await first).toBe("given up");
});

it("openMatcher lets no more wait than there is room for", async () => {
  await using counted = openCounted();
  const givenUp = new AbortController();
  const first = counted.matcher.matches(ENDLESS, endless(), 60, givenUp.signal, "hostile").catch(() => "given up");
  await vi.waitFor(() => expect(counted.start.mock.calls.length).toBe(2), { timeout: 60_000 });
  const others = Array.from(
    { length: 65 },
    () => counted.matcher.matches(ENDLESS, endless(), 60, givenUp.signal, "hostile"),
  );
  const last = await others.at(-1);
  expect(last).toEqual(new Unmatched("too many pages wait for their turn: others take too long", "missed"));
  const outcomes = Promise.allSettled(others);
  givenUp.abort(new Error("given up"));
  expect(await first).toBe("given up");
  expect((await outcomes).filter(({ status }) => status === "rejected").length).toBe(64);
});

it("MatchStandings believes a host again after some pages that were quick, more of them each time", () => {
  const standings = new MatchStandings();
  expect(standings.isSlow("a")).toBe(undefined);
  for (const quick of [1, 2, 4, 8]) {
    standings.noteSlow("a");
    for (let count = 0; count < quick; count++) {
      expect(standings.isSlow("a")).toBe(true);
      standings.noteQuick("a");
    }
    expect(standings.isSlow("a")).toBe(false);
  }
  // After enough quick pages the host counts as quick again.
  for (let count = 0; count < 8; count++) standings.noteQuick("a");
  standings.noteSlow("a");
  standings.noteQuick("a");
  expect(standings.isSlow("a")).toBe(false);
});

it("openMatcher replaces a worker that broke", async () => {
  await using counted = openCounted();
  const broken = counted.matcher.matches(ENDLESS, endless(), 60, never);
  await vi.waitFor(() => expect(counted.threads()).toHaveLength(1));
  await counted.threads()[0]?.terminate();
  expect(await broken).toEqual(new Unmatched("its worker ended", "missed"));
  expect(await counted.matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never)).toBe(true);
});

it("openMatcher replaces a worker that broke while it had nothing to do", async () => {
  await using counted = openCounted();
  const ask = () => counted.matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never);
  await ask();
  await counted.threads()[0]?.terminate();
  expect(await ask()).toBe(true);
  expect(counted.start).toHaveBeenCalledTimes(2);
});

it("openMatcher starts its workers at once where it is told to", async () => {
  const start = vi.fn(() => startWorker());
  await using matcher = openMatcher({ startNow: true, workers: 2, start });
  expect(start).toHaveBeenCalledTimes(2);
  expect(await matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never)).toBe(true);
  expect(start).toHaveBeenCalledTimes(2);
});

it("openMatcher stops a match, and one that waits, when they are given up", async () => {
  await using counted = openCounted();
  const givenUp = new AbortController();
  const running = counted.matcher.matches(ENDLESS, endless(), 60, givenUp.signal);
  const waiting = counted.matcher.matches(ENDLESS, endless(), 60, givenUp.signal);
  const other = counted.matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never);
  givenUp.abort(new Error("given up"));
  await expect(running).rejects.toThrow("given up");
  await expect(waiting).rejects.toThrow("given up");
  expect(await other).toBe(true);
});

it("startWorker finds its code in a file that holds the whole program, and starts that no second time", async () => {
  const program = new URL("../../producer.ts", import.meta.url);
  await using matcher = openMatcher({ workers: 1, start: () => startWorker(program.href) });
  expect(await matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never)).toBe(true);
});

function runWith(runtime: Runtime, name: string) {
  const script = fileURLToPath(new URL(`../support/${name}`, import.meta.url));
  const [command, args] = runtime === "node" ? [process.execPath, []] : ["deno", ["run", "-A", "-q"]];
  return spawn(command, [...args, script], { stdio: ["ignore", "pipe", "inherit"] });
}

it.each([
  ["keeps no program alive whose work is done", "matching_runner.ts", "true\n"],
  ["lets no page wait for one that takes long", "matching_turns_runner.ts", "good, other, good, hostile\n"],
].flatMap((each) => RUNTIMES.map((runtime) => [...each, runtime] as const)))(
  "openMatcher %s (%s, %j), under %s",
  async (_name, file, expected, runtime) => {
    const child = runWith(runtime as Runtime, file as string);
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    expect(await once(child, "close")).toEqual([0, null]);
    expect(output).toBe(expected);
  },
);

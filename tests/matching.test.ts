import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it, vi } from "vitest";
import { openMatcher, Unmatched } from "../lib/matching.ts";
import { startWorker } from "../lib/matching/worker.ts";
import { compilePattern } from "../lib/pattern.ts";
import { RUNTIMES } from "./support/programs.ts";

const never = new AbortController().signal;
const SMALL = 100;
const LARGE = 1024 * 1024;
/** Takes RE2 some 20 s for a MiB: whether a sign is the one that counts shows 400 signs later. */
const ENDLESS = compilePattern("[ab]*a[ab]{400}[cd]");
const page = (text: string, contentType: string | null = null) => ({ bytes: Buffer.from(text), contentType });
/** As good as random: the digits of no pattern that repeats. */
const AWKWARD = Array.from({ length: LARGE }, (_, index) => Math.sin(index * index) > 0 ? "a" : "b").join("");
const endless = () => page(AWKWARD);

/** A matcher and the workers that it has started. */
function openCounted(workers = 1) {
  const start = vi.fn(() => startWorker());
  const matcher = openMatcher({ workers, start });
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

it("openMatcher replaces a worker that broke", async () => {
  await using counted = openCounted();
  const broken = counted.matcher.matches(ENDLESS, endless(), 60, never);
  await vi.waitFor(() => expect(counted.threads()).toHaveLength(1));
  await counted.threads()[0]?.terminate();
  expect(await broken).toEqual(new Unmatched("its worker ended"));
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
  const program = new URL("../producer.ts", import.meta.url);
  await using matcher = openMatcher({ workers: 1, start: () => startWorker(program.href) });
  expect(await matcher.matches(compilePattern("x$"), page("x".repeat(LARGE)), 60, never)).toBe(true);
});

it.each(RUNTIMES)("openMatcher keeps no program alive whose work is done, under %s", async (runtime) => {
  const script = fileURLToPath(new URL("support/matching_runner.ts", import.meta.url));
  const [command, args] = runtime === "node" ? [process.execPath, []] : ["deno", ["run", "-A", "-q"]];
  const child = spawn(command, [...args, script], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
  expect(await once(child, "close")).toEqual([0, null]);
  expect(output).toBe("true\n");
});

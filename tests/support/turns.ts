import process from "node:process";
import { test, type TestAPI, type TestContext, type TestOptions } from "vitest";

/** True where every long test runs on each runtime, client and database: `npm run test:all`. */
const IS_CAMPAIGN = process.env.TEST_ALL === "true";

/**
 * Those of `all` on which a long test runs: one of them, the same for the same name, and all with
 * `npm run test:all`. So CI knows each test, each runtime and each client, in a third of the time.
 */
export function turnsOf<T>(name: string, all: readonly T[]): readonly T[] {
  return IS_CAMPAIGN || all.length === 0 ? all : [all[sum(name) % all.length] as T];
}

type Run = (context: TestContext) => unknown;

interface OneTest extends Pick<TestAPI, "each"> {
  (title: string, run: Run, timeout?: number): void;
  (title: string, options: TestOptions, run: Run): void;
}

/** What the `it` of a suite of long tests can do. */
export interface LongTest extends OneTest {
  readonly concurrent: OneTest;
  runIf(condition: unknown): LongTest;
}

/**
 * `it` for a suite of long tests that is there for each of `all`, here for `one`. Each test, and
 * each of its cases, runs where it has its turn; see `turnsOf`.
 */
export function inTurn<T>(all: readonly T[], one: T, isPossible = true): LongTest {
  const itHere = (name: string) => test.runIf(isPossible && turnsOf(name, all).includes(one));
  const runIf = (condition: unknown) => inTurn(all, one, Boolean(condition));
  return Object.assign(oneTest(itHere), { concurrent: oneTest((name) => itHere(name).concurrent), runIf });
}

function oneTest(itHere: (name: string) => Pick<TestAPI, "each">): OneTest {
  const once = (title: string, ...rest: readonly unknown[]) => call(itHere(title), title, rest);
  const each = (cases: readonly unknown[]) => (title: string, ...rest: readonly unknown[]) => {
    for (const [at, values] of cases.entries()) call(itHere(title + at).each([values]), title, rest);
  };
  return Object.assign(once, { each }) as OneTest;
}

function call(target: unknown, title: string, rest: readonly unknown[]): void {
  (target as (...args: readonly unknown[]) => void)(title, ...rest);
}

/** A number that is the same for the same name on each machine. */
function sum(name: string): number {
  let hash = 0;
  for (const letter of name) hash = (Math.imul(hash, 31) + (letter.codePointAt(0) ?? 0)) >>> 0;
  return hash;
}

import process from "node:process";
import { test, type TestAPI } from "vitest";

/** True where every long test runs on each runtime, client and database: `npm run test:all`. */
const IS_CAMPAIGN = process.env.TEST_ALL === "true";

/**
 * Those of `all` on which a long test runs: one of them, the same for the same name, and all with
 * `npm run test:all`. So CI knows each test, each runtime and each client, in a third of the time.
 */
export function turnsOf<T>(name: string, all: readonly T[]): readonly T[] {
  return IS_CAMPAIGN || all.length === 0 ? all : [all[sum(name) % all.length] as T];
}

/** What the `it` of a suite of long tests can do. */
export type LongTest = Pick<TestAPI, "each" | "runIf"> & TestAPI["skip"];

/**
 * `it` for a suite of long tests that is there for each of `all`, here for `one`. Each test, and
 * each of its cases, runs where it has its turn; see `turnsOf`.
 */
export function inTurn<T>(all: readonly T[], one: T): LongTest {
  const itHere = (name: string) => test.runIf(turnsOf(name, all).includes(one));
  const long = (title: string, ...rest: readonly unknown[]) => call(itHere(title), title, rest);
  const each = (cases: readonly unknown[]) => (title: string, ...rest: readonly unknown[]) => {
    for (const [at, one] of cases.entries()) call(itHere(title + at).each([one]), title, rest);
  };
  const runIf = (condition: unknown) => condition ? self : test.skip;
  const self = Object.assign(long, { each, runIf });
  return self as unknown as LongTest;
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

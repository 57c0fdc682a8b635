import { expect, it } from "vitest";
import { StatementSize } from "../../lib/postgres/statement_size.ts";

/** Notes so many full statements that have passed. Gives their sizes. */
function pass(size: StatementSize, times: number, seconds = 0.01): number[] {
  return Array.from({ length: times }, () => {
    const { now } = size;
    size.passed(now, seconds);
    return now;
  });
}

it("StatementSize halves at each statement that is ended, keeps to what passes, and never falls to nothing", () => {
  const size = new StatementSize(500);
  const seen = Array.from({ length: 11 }, () => {
    size.ended(size.now, 30);
    return size.now;
  });
  expect(seen).toEqual([250, 125, 62, 31, 15, 7, 3, 1, 1, 1, 1]);
  expect(pass(size, 8)).toEqual(Array(8).fill(1));
  expect(size.now).toBe(2);
});

it("StatementSize halves what was ended where that was less than it might have been", () => {
  const size = new StatementSize(500);
  size.ended(20, 30);
  expect(size.now).toBe(10);
});

it("StatementSize grows by doubling once enough statements in a row have passed, and says when it is at the top", () => {
  const size = new StatementSize(100);
  size.ended(100, 30);
  size.ended(50, 30);
  const said = Array.from({ length: 24 }, () => size.passed(size.now, 0.01));
  expect(said.indexOf(true)).toBe(15);
  expect(said.filter((grown) => grown)).toHaveLength(1);
  expect(size.now).toBe(100);
});

it("StatementSize waits twice as long each time that a larger statement fails, and no longer once one has passed", () => {
  const size = new StatementSize(100);
  size.ended(100, 30);
  for (const passes of [8, 16, 32, 64]) {
    expect(pass(size, passes)).toEqual(Array(passes).fill(50));
    expect(size.now).toBe(100);
    if (passes < 64) size.ended(100, 30);
  }
  pass(size, 64);
  size.ended(100, 30);
  pass(size, 8);
  expect(size.now).toBe(100);
});

it("StatementSize stays where one of twice the size would take as long as the one that was ended", () => {
  const size = new StatementSize(100);
  size.ended(100, 30);
  pass(size, 1000, 15);
  expect(size.now).toBe(50);
  pass(size, 8, 5);
  expect(size.now).toBe(100);
});

it("StatementSize grows after a statement that somebody cancelled at once, however short that was", () => {
  const size = new StatementSize(100);
  size.ended(100, 0.001);
  pass(size, 8, 0.5);
  expect(size.now).toBe(100);
});

it("StatementSize learns nothing from statements that are far from full", () => {
  const size = new StatementSize(100);
  size.ended(100, 30);
  for (let n = 0; n < 1000; n++) size.passed(25, 0.01);
  expect(size.now).toBe(50);
});

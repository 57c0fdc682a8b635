import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { atOnce, inPieces, type Pieces } from "../../lib/async/pieces.ts";

/** Work that is over once `isOver` says so. Gives how often it went on. */
function* workUntil(isOver: () => boolean): Pieces<number> {
  let count = 0;
  while (!isOver()) {
    count++;
    yield;
  }
  return count;
}

it("inPieces lets other work run, however long the work takes", async () => {
  let turns = 0;
  const others = (async () => {
    for (; turns < 3; turns++) await turn();
  })();
  let rests = 0;
  expect(await inPieces(workUntil(() => turns === 3), () => rests++)).toBeGreaterThan(0);
  expect(rests).toBeGreaterThan(0);
  await others;
});

it("atOnce lets nothing run meanwhile", () => {
  let turns = 0;
  setImmediate(() => turns++);
  let left = 100_000;
  expect(atOnce(workUntil(() => left-- === 0))).toBe(100_000);
  expect(turns).toBe(0);
});

it("both hand on what the work throws", async () => {
  const failing = () =>
    workUntil(() => {
      throw new RangeError("no");
    });
  expect(() => atOnce(failing())).toThrow("no");
  await expect(inPieces(failing())).rejects.toThrow("no");
});

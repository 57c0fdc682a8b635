import { expect, it } from "vitest";
import { Stopwatch } from "../lib/check/stopwatch.ts";

/** A stopwatch for which the moments (milliseconds) pass one by one. */
function stopwatchAt(...moments: number[]): Stopwatch {
  return new Stopwatch(() => moments.shift() ?? NaN);
}

it("Stopwatch shares the time out to the phases, to the microsecond", () => {
  const watch = stopwatchAt(0, 1.0004, 2.0006, 5.5);
  watch.enter("dns");
  watch.enter("connect");
  watch.enter("first_byte");
  watch.stop();
  expect(watch.laps()).toEqual({
    total: 0.0055,
    phases: { dns: 0.001, connect: 0.001001, tls: null, first_byte: 0.003499, body: null },
  });
});

it("Stopwatch adds a phase's turns up", () => {
  const watch = stopwatchAt(0, 1, 3, 6);
  watch.enter("connect");
  watch.enter("body");
  watch.enter("connect");
  watch.stop();
  expect(watch.laps().phases).toMatchObject({ connect: 0.004, body: 0.002 });
});

it("Stopwatch gives the first phase the time before it, and a skipped one none", () => {
  const watch = stopwatchAt(0, 4);
  watch.skip("dns");
  watch.enter("connect");
  watch.stop();
  expect(watch.laps()).toMatchObject({ total: 0.004, phases: { dns: 0, connect: 0.004 } });
});

it("Stopwatch stands still once it is stopped", () => {
  const watch = stopwatchAt(0, 2, 3, 4);
  watch.enter("dns");
  watch.stop();
  watch.enter("connect");
  watch.stop();
  expect(watch.laps().total).toBe(0.002);
});

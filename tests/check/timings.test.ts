import { expect, it } from "vitest";
import { Timings } from "../../lib/check/timings.ts";

/** Timings with a clock that shows these moments (milliseconds) one after another. */
function stopwatchAt(...moments: number[]): Timings {
  return new Timings(() => moments.shift() ?? NaN);
}

it("Timings shares the time out to the phases, to the microsecond", () => {
  const timings = stopwatchAt(0, 1.0004, 2.0006, 5.5);
  timings.enter("dns");
  timings.enter("connect");
  timings.enter("first_byte");
  timings.stop();
  expect(timings.laps()).toEqual({
    total: 0.0055,
    phases: { dns: 0.001, connect: 0.001001, tls: null, first_byte: 0.003499, body: null },
  });
});

it("Timings adds a phase's turns up", () => {
  const timings = stopwatchAt(0, 1, 3, 6);
  timings.enter("connect");
  timings.enter("body");
  timings.enter("connect");
  timings.stop();
  expect(timings.laps().phases).toMatchObject({ connect: 0.004, body: 0.002 });
});

it("Timings gives the first phase the time before it, and a skipped one none", () => {
  const timings = stopwatchAt(0, 4);
  timings.skip("dns");
  timings.enter("connect");
  timings.stop();
  expect(timings.laps()).toMatchObject({ total: 0.004, phases: { dns: 0, connect: 0.004 } });
});

it("Timings stands still once it is stopped", () => {
  const timings = stopwatchAt(0, 2, 3, 4);
  timings.enter("dns");
  timings.stop();
  timings.enter("connect");
  timings.stop();
  expect(timings.laps().total).toBe(0.002);
});

import { beforeAll, describe, expect, it } from "vitest";
import type { Scenarios } from "../support/check_threads_runner.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";

describe.each(COMMANDS.filter(({ missing }) => missing === null))("CheckThreads under $runtime", ({ command }) => {
  let found: Scenarios;
  beforeAll(async () => {
    const [scenarios] = await runScript<Scenarios>(command, "check_threads_runner.ts", null);
    if (scenarios === undefined) throw new Error("the runner has failed");
    found = scenarios;
  });

  it("makes checks in threads, of large pages too", () => {
    const outcomes = Object.entries(found.pages).map((
      [path, { status_code, is_valid }],
    ) => [path, status_code, is_valid]);
    expect(outcomes).toEqual([
      ["/small", 200, true],
      ["/small#other", 200, false],
      ["/large", 200, true],
      ["/large#other", 200, false],
      ["/cut", 200, false],
      ["/", 200, true],
    ]);
    expect(found.pages["/cut"]?.error_detail).toBe("no match in the first 1 MiB");
    expect(found.started).toBe(2);
  });

  it("calls checks missed whose thread has ended, with that reason, and has another thread take its place", () => {
    const { outcomes, ends, later } = found.ended;
    expect(outcomes).toEqual(outcomes.map(() => ({
      status_code: null,
      is_valid: false,
      error: "missed",
      error_detail: "the thread that made the check ended: it exited with 1",
      scheduled_at: new Date(1_000_000).toISOString(),
      isOfDueTime: true,
    })));
    expect(ends.map(({ reason }) => reason)).toEqual(["it exited with 1", "it exited with 1"]);
    // Each of them had some of the forty: addresses have threads of their own.
    expect(ends.every(({ missed }) => missed > 0)).toBe(true);
    expect(ends.reduce((sum, { missed }) => sum + missed, 0)).toBe(outcomes.length);
    expect(later).toMatchObject({ status_code: 200, is_valid: true });
  });

  it("gives a check up where it is told to, and closes its connection", () => {
    expect(found.givenUp).toBe("the program ends");
  });

  it("says that a thread cannot start, the first ones and one that is to take another's place", () => {
    expect(found.failures).toHaveLength(2);
    for (const failure of found.failures) expect(failure).toMatch(/^a thread for checks does not start: .*nothing\.ts/);
  });

  it("takes only some checks that have not begun", () => {
    expect(found.room).toEqual({ least: true, isLimited: true, comesBack: true });
  });
});

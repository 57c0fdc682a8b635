import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Log, LOG_LEVELS, type LogLevel } from "../lib/log.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2026, 0, 31, 12, 30, 15, 42) });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The lines of a log of this level. */
function lines(level: LogLevel, write: (log: Log) => void): string[] {
  const written: string[] = [];
  write(new Log(level, (line) => void written.push(line)));
  return written;
}

it("Log writes time, level and message, one line an event", () => {
  const all = lines("DEBUG", (log) => {
    log.error("it broke");
    log.warn("it waits");
    log.info("it runs");
    log.debug("it thinks");
  });
  expect(all).toEqual([
    "2026-01-31T12:30:15.042Z ERROR it broke\n",
    "2026-01-31T12:30:15.042Z WARN  it waits\n",
    "2026-01-31T12:30:15.042Z INFO  it runs\n",
    "2026-01-31T12:30:15.042Z DEBUG it thinks\n",
  ]);
});

it.each<readonly [LogLevel, readonly LogLevel[]]>([
  ["ERROR", ["ERROR"]],
  ["WARN", ["ERROR", "WARN"]],
  ["INFO", ["ERROR", "WARN", "INFO"]],
  ["DEBUG", LOG_LEVELS],
])("Log of level %s writes %j", (level, written) => {
  const all = lines(level, (log) => {
    log.error("x");
    log.warn("x");
    log.info("x");
    log.debug("x");
  });
  expect(all.map((line) => line.split(" ")[1])).toEqual(written);
});

it("Log ends a message with one line break, and keeps those inside", () => {
  expect(lines("INFO", (log) => log.info("run this:\ncreate table a ();\n\n"))).toEqual([
    "2026-01-31T12:30:15.042Z INFO  run this:\ncreate table a ();\n",
  ]);
});

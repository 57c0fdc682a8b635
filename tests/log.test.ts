import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { jsonLine, Log, LOG_LEVELS, type LogLevel, terminalLine } from "../lib/log.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2026, 0, 31, 12, 30, 15, 42) });
});
afterEach(() => {
  vi.useRealTimers();
});

const plainLine = (time: Date, level: LogLevel, message: string) =>
  `${time.toISOString()} ${level.padEnd(5)} ${message}\n`;

/** The lines of a log of this level. */
function lines(level: LogLevel, write: (log: Log) => void): string[] {
  const written: string[] = [];
  write(new Log(level, plainLine, (line) => void written.push(line)));
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

it("terminalLine gives local time, level and message", () => {
  const time = new Date(2026, 0, 31, 12, 30, 15);
  expect(terminalLine(time, "INFO", "it runs")).toBe("2026-01-31 12:30:15 INFO  it runs\n");
});

it("jsonLine gives one JSON object a line, whatever the message holds", () => {
  const line = jsonLine(new Date(0), "ERROR", 'role "x"\ncreate table a ();');
  expect(line.trimEnd()).not.toContain("\n");
  expect(JSON.parse(line)).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    level: "ERROR",
    message: 'role "x"\ncreate table a ();',
  });
});

it("Log is verbose only where it writes DEBUG", () => {
  expect(LOG_LEVELS.filter((level) => new Log(level, jsonLine, () => {}).isVerbose)).toEqual(["DEBUG"]);
});

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type ColourVariables, paintFor } from "../../lib/config/terminal.ts";
import { LOG_LEVELS, type LogLevel } from "../../lib/config/setting_types.ts";
import { jsonLine, Log, type LogFormat, terminalLine } from "../../lib/monitoring/log.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2026, 0, 31, 12, 30, 15, 42) });
});
afterEach(() => {
  vi.useRealTimers();
});

const plainLine: LogFormat = ({ time, level, message }) => `${time.toISOString()} ${level.padEnd(5)} ${message}\n`;

/** The lines of a log of this level. */
function lines(level: LogLevel, write: (log: Log) => void): string[] {
  const written: string[] = [];
  write(new Log("producer", level, plainLine, (line) => void written.push(line)));
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

const entry = {
  time: new Date(2026, 0, 31, 12, 30, 15),
  level: "INFO",
  program: "consumer",
  message: "it runs",
} as const;

it("terminalLine gives local time, level, program and message, and leaves statements to be copied as they are", () => {
  expect(terminalLine()(entry)).toBe("2026-01-31 12:30:15 INFO  consumer: it runs\n");
  const statement = 'run this:\ncreate table "a" ();';
  expect(terminalLine()({ ...entry, message: statement })).toBe(`2026-01-31 12:30:15 INFO  consumer: ${statement}\n`);
});

it("terminalLine has colours for grave levels and for what becomes of a host, where they are wanted", () => {
  const line = terminalLine(paintFor(true, { TERM: "xterm" }));
  expect(line(entry)).toBe("2026-01-31 12:30:15 INFO  consumer: it runs\n");
  expect(line({ ...entry, level: "ERROR" })).toContain(" \x1b[31mERROR\x1b[39m consumer: it runs");
  expect(line({ ...entry, level: "WARN", state: "down" })).toContain(
    "\x1b[33mWARN \x1b[39m consumer: \x1b[31mit runs\x1b[39m\n",
  );
  expect(line({ ...entry, level: "WARN", state: "up" })).toContain("\x1b[32mit runs\x1b[39m\n");
  // A text from a site sends no command to the terminal, but the log's own colour does.
  expect(line({ ...entry, state: "down", message: "\x1b[2J" })).toContain("\x1b[31m\\u001b[2J\x1b[39m\n");
});

it.each<readonly [boolean, ColourVariables, boolean]>([
  [true, {}, true],
  [true, { TERM: "xterm-256color", NO_COLOR: "" }, true],
  [true, { NO_COLOR: "1" }, false],
  [true, { TERM: "dumb" }, false],
  [true, { FORCE_COLOR: "0" }, false],
  [true, { NO_COLOR: "1", FORCE_COLOR: "1" }, true],
  [false, {}, false],
  [false, { TERM: "xterm" }, false],
  [false, { TERM: "dumb", FORCE_COLOR: "true" }, true],
  [false, { FORCE_COLOR: "false" }, false],
])("paintFor a terminal (%j) with %j has colours: %j", (isTerminal, variables, hasColours) => {
  expect(paintFor(isTerminal, variables)("x", "red")).toBe(hasColours ? "\x1b[31mx\x1b[39m" : "x");
});

it("jsonLine gives one JSON object a line, whatever the message holds, with the fields that there are", () => {
  const line = jsonLine({ ...entry, time: new Date(0), level: "ERROR", message: 'role "x"\ncreate table a ();' });
  expect(line.trimEnd()).not.toContain("\n");
  expect(JSON.parse(line)).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    level: "ERROR",
    program: "consumer",
    message: 'role "x"\ncreate table a ();',
  });
  const fields = { address: "https://a.example", state: "down", reason: "status 500" } as const;
  expect(JSON.parse(jsonLine({ ...entry, ...fields }))).toMatchObject(fields);
});

it("Log is verbose only where it writes DEBUG", () => {
  expect(LOG_LEVELS.filter((level) => new Log("producer", level, jsonLine, () => {}).isVerbose)).toEqual(["DEBUG"]);
});

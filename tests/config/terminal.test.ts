import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { printable, printableInLine, printableJson } from "../../lib/config/terminal.ts";
import { LineSink } from "../../lib/delivery/delivery.ts";
import type { Metric } from "../../lib/metric.ts";
import { jsonLine, terminalLine } from "../../lib/monitoring/log.ts";
import { formatTable, jsonLines } from "../../lib/postgres/table_text.ts";
import { run, RUNTIMES } from "../support/programs.ts";
import { openSite } from "../support/site.ts";

/**
 * Commands to a terminal: clear the screen, go back in the line, write a title, turn the text
 * around, end the line.
 */
const HOSTILE = "a\x1b[2J\rb\x9b31mc\x07d\x7fe\u202ef\u2066g\u2069h\u2028i\u200ej\0k\x1b]0;title\x07";
const ENTRY = { time: new Date(), level: "WARN", program: "producer", message: HOSTILE } as const;
/** The output holds none of them. */
const COMMAND = /(?!\n)[\p{Cc}\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069]/u;

it("printable shows what a terminal would obey, and leaves everything else", () => {
  expect(printable("a\x1b[2J\u202eb\n\tc")).toBe("a\\u001b[2J\\u202eb\n\tc");
  expect(printableInLine("a\x1b\r\n\tb")).toBe("a\\u001b\\r\\n\\tb");
  for (const text of ["", "grün 漢字 😀 👩‍👩‍👧 é", "C:\\dir", "\\u001b"]) {
    expect([printable(text), printableInLine(text), printableJson(text)]).toEqual([text, text, text]);
  }
  for (let code = 0; code < 0x3000; code++) {
    const sign = String.fromCharCode(code);
    expect(COMMAND.test(printableInLine(sign).replace("\n", ""))).toBe(false);
  }
});

it("printableJson means the same", () => {
  const value = { [HOSTILE]: [HOSTILE, `"\\${HOSTILE}`] };
  const json = printableJson(JSON.stringify(value));
  expect(JSON.parse(json)).toEqual(value);
  expect(json).not.toMatch(COMMAND);
});

it.each([
  ["a log line for a person", () => terminalLine()(ENTRY)],
  ["a log line for a program", () => jsonLine({ ...ENTRY, address: HOSTILE, reason: HOSTILE })],
  ["a table", () => formatTable([{ [HOSTILE]: HOSTILE, b: { [HOSTILE]: HOSTILE } }])],
  ["rows as JSON", () => jsonLines([{ [HOSTILE]: HOSTILE }])],
])("%s holds no command", (_, text) => {
  expect(text()).not.toMatch(COMMAND);
});

it("LineSink prints no command, and loses nothing", async () => {
  let printed = "";
  await using sink = new LineSink((text) => Promise.resolve(void (printed += text)));
  const metric = { address: HOSTILE, location: HOSTILE, error_detail: HOSTILE } as Metric;
  await sink.send([metric]);
  expect(printed).not.toMatch(COMMAND);
  expect(JSON.parse(printed)).toEqual(metric);
});

const folder = mkdtempSync(join(tmpdir(), "printable-"));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe.each(RUNTIMES)("under %s", (runtime) => {
  it.each<readonly [string, "producer" | "consumer", readonly string[], string]>([
    ["an unknown flag", "producer", [`--x${HOSTILE.replaceAll("\0", "")}`], ""],
    ["a value", "producer", ["--timeout", "\x1b[2J\x9b", "hosts.txt"], ""],
    ["a file's name", "producer", ["--stdout", "--check", "\x1b[2J\u202e\x9b.txt"], ""],
    ["a hosts file's name beside a bad line", "producer", [
      "--stdout",
      "--check",
      write("\x1b[2J\u202e.txt", "a.example 5x\n"),
    ], ""],
    ["a bad line", "producer", ["--stdout", "--check", "-"], `a.example ${HOSTILE}\n`],
    ["a bad address", "producer", ["--stdout", "--check", "-"], `a${HOSTILE.replaceAll("\0", "")}.example 5\n`],
    ["a REGEX", "producer", ["--stdout", "--check", "-"], `a.example 5 x${HOSTILE.replaceAll("\0", "")}\n`],
    ["a query's error", "consumer", ["--embedded", "\x1b[2J\u202e\x9b", "--query", "select 1"], ""],
  ])("%s reaches no terminal as a command", async (_, program, args, input) => {
    const { stdout, stderr } = await run(runtime, program, args, { input });
    expect(`${stdout}${stderr}`).not.toBe("");
    expect(`${stdout}${stderr}`).not.toMatch(COMMAND);
  });

  it("what a server says reaches no terminal as a command", async () => {
    await using site = await openSite((socket) =>
      socket.end("HTTP/1.1 302 \x9b\x1b[2J\r\nLocation: ftp:\x9b\x1b[2J\u202e\r\n\r\n")
    );
    const hosts = `http://127.0.0.1:${site.port}/ 5\n`;
    const { stdout, stderr } = await run(runtime, "producer", ["--stdout", "--once", "--log-level", "DEBUG", "-"], {
      input: hosts,
    });
    expect(JSON.parse(stdout)).toMatchObject({ status_code: 302 });
    expect(`${stdout}${stderr}`).not.toMatch(COMMAND);
  });
});

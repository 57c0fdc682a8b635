import { expect, it } from "vitest";
import { formatTable, jsonLines } from "../../lib/postgres/table_text.ts";

it("formatTable sets columns side by side, numbers to the right, null empty", () => {
  const rows = [
    { address: "https://a.example", checks: 3, "up %": "66.7", last: new Date("2026-01-02T03:04:05Z"), error: null },
    { address: "https://b", checks: 12n, "up %": "100", last: new Date("2026-01-02T03:04:05.5Z"), error: "dns" },
  ];
  expect(formatTable(rows)).toBe(
    "address            checks  up %  last                      error\n" +
      "─────────────────  ──────  ────  ────────────────────────  ─────\n" +
      "https://a.example       3  66.7  2026-01-02 03:04:05Z\n" +
      "https://b              12   100  2026-01-02 03:04:05.500Z  dns\n" +
      "(2 rows)\n",
  );
});

it.each([
  ["no row", [], "(0 rows)\n"],
  ["a row without columns", [{}], "(1 row)\n"],
  [
    "values of other types",
    [{ a: true, b: { c: 1n }, d: Uint8Array.of(1, 255) }],
    'a     b        d\n────  ───────  ──────\ntrue  {"c":1}  \\x01ff\n(1 row)\n',
  ],
  [
    "figures with more digits than a person reads",
    [{ a: 0.028471999999999998 }, { a: -1764381443.123456 }, { a: 2 ** 53 }, { a: NaN }, { a: 0.1 }],
    "a\n────────────────\n0.028472\n-1764381443.123\n9007199254740992\nNaN\n0.1\n(5 rows)\n",
  ],
  [
    "characters that move the cursor",
    [{ a: "\x1b[2J\nb\u009b" }],
    "a\n──────────────────\n\\u001b[2J\\nb\\u009b\n(1 row)\n",
  ],
  [
    "characters of double width",
    [{ a: "漢字", b: "x" }, { a: "é", b: "y" }],
    "a     b\n────  ─\n漢字  x\né     y\n(2 rows)\n",
  ],
  ["a time that no Date can hold", [{ a: new Date(NaN) }], "a\n────────\ninfinity\n(1 row)\n"],
])("formatTable of %s", (_, rows, text) => {
  expect(formatTable(rows)).toBe(text);
});

it("jsonLines writes a row a line, whole numbers exact and bytes in hexadecimal", () => {
  const rows = [
    { a: 5n, b: 9007199254740993n, c: "x\ny", d: null },
    { a: new Date(0), b: Uint8Array.of(0, 171), c: [1, 2], d: Buffer.from("hi") },
  ];
  expect(jsonLines(rows)).toBe(
    `{"a":5,"b":"9007199254740993","c":"x\\ny","d":null}\n` +
      `{"a":"1970-01-01T00:00:00.000Z","b":"\\\\x00ab","c":[1,2],"d":"\\\\x6869"}\n`,
  );
  expect(jsonLines([])).toBe("");
});

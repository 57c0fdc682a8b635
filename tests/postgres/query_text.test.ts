import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import type { QueryPart } from "../../lib/postgres/database/embedded.ts";
import { explainFailure } from "../../lib/postgres/query.ts";
import { ResultPrinter } from "../../lib/postgres/query/result_printer.ts";
import { isTrustworthy } from "../../lib/postgres/query/socket_path.ts";
import { splitStatements } from "../../lib/postgres/query/statements.ts";

// The parts of --query that need no database.

const folder = mkdtempSync(join(tmpdir(), "test-query-text-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  ["select 1", ["select 1"]],
  ["select 1; select 2;", ["select 1", " select 2"]],
  [" ; ;\n", []],
  ["-- a; b\n/* c; /* d; */ e; */", []],
  ["select 1 -- a; b\n; select 2", ["select 1 -- a; b\n", " select 2"]],
  ["select 1 /* a; /* b; */ c; */; select 2", ["select 1 /* a; /* b; */ c; */", " select 2"]],
  ["select 'a;''b;'; select 2", ["select 'a;''b;'", " select 2"]],
  ["select E'a\\';b'; select 2", ["select E'a\\';b'", " select 2"]],
  ["select '\\'; select 2", ["select '\\'", " select 2"]],
  ['select 1 as "a;""b"; select 2', ['select 1 as "a;""b"', " select 2"]],
  ["select $$a;$b$;$$; select $b$;$$;$b$", ["select $$a;$b$;$$", " select $b$;$$;$b$"]],
  ["select a$b$ from t; select 1", ["select a$b$ from t", " select 1"]],
  ["select $1; select 2", ["select $1", " select 2"]],
  ["select 'never; closed", ["select 'never; closed"]],
  ["select $$never; closed", ["select $$never; closed"]],
  ["select 1 /* never; closed", ["select 1 /* never; closed"]],
  ["';'", ["';'"]],
])("splitStatements of %s", (text, statements) => {
  expect(splitStatements(text).map(({ text }) => text)).toEqual(statements);
});

it("splitStatements counts characters as PostgreSQL does", () => {
  expect(splitStatements("select '😀'; select 2").map(({ offset }) => offset)).toEqual([0, 11]);
});

const TABLES = "A consumer with --embedded makes its table and views here when it starts: host_metrics, " +
  "host_metrics_now, host_metrics_outages and host_metrics_uptime, or as --db-table says.";

it.each([
  [{}, "select 1", "ERROR:  m"],
  [{ severity: "FATAL", detail: "d", hint: "h" }, "select 1", "FATAL:  m\nDETAIL:  d\nHINT:  h"],
  [{ code: "42P01" }, "select 1", `ERROR:  m\nHINT:  ${TABLES}`],
  [{ code: "42P01", hint: "h" }, "select 1", "ERROR:  m\nHINT:  h"],
  [{ position: "8" }, "select x", "ERROR:  m\nLINE 1: select x\n               ^"],
  [{ position: "13" }, "select '😀',\n\tx", "ERROR:  m\nLINE 2:  x\n        ^"],
  [
    { position: "101" },
    `${"a".repeat(100)}x${"b".repeat(100)}`,
    `ERROR:  m\nLINE 1: ...${"a".repeat(50)}x${"b".repeat(29)}...\n${" ".repeat(61)}^`,
  ],
  [{ position: "9" }, "select 1", "ERROR:  m\nLINE 1: select 1\n                ^"],
])("explainFailure of %j points at the place", (fields, sql, words) => {
  expect(explainFailure(Object.assign(new Error("m"), fields), sql)).toBe(words);
});

const PARTS: QueryPart[] = [
  { columns: [{ name: "a", isTime: false }, { name: "at", isTime: true }, { name: "a", isTime: false }] },
  { rows: [[1, "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.000Z"], [2, "infinity", null]] },
  { rows: [[3, new Date(0), null]] },
  { columns: [{ name: "none", isTime: false }] },
];

async function printed(isTable: boolean): Promise<string> {
  let text = "";
  const printer = new ResultPrinter((more) => Promise.resolve(void (text += more)), { isTable });
  for (const part of PARTS) await printer.take(part);
  await printer.end();
  return text;
}

it("ResultPrinter sets a table for each statement, with its names where it has no row, and keeps both of two columns", async () => {
  expect(await printed(true)).toBe(
    "a  at                    a_2\n" +
      "─  ────────────────────  ────────────────────────\n" +
      "1  2026-01-02 03:04:05Z  2026-01-02T03:04:05.000Z\n" +
      "2  infinity\n" +
      "3  1970-01-01 00:00:00Z\n" +
      "(3 rows)\n" +
      "\nnone\n────\n(0 rows)\n",
  );
});

it("ResultPrinter writes rows as JSON, one a line", async () => {
  expect(await printed(false)).toBe(
    '{"a":1,"at":"2026-01-02T03:04:05.000Z","a_2":"2026-01-02T03:04:05.000Z"}\n' +
      '{"a":2,"at":"infinity","a_2":null}\n{"a":3,"at":"1970-01-01T00:00:00.000Z","a_2":null}\n',
  );
});

it.each([
  ["of its owner alone", (path: string) => mkdirSync(path, { mode: 0o700 }), true],
  ["that others may enter", (path: string) => mkdirSync(path, { mode: 0o711 }), false],
  ["that is a link to one", (path: string) => symlinkSync(folder, path), false],
])("a socket is trusted in a folder %s: %s", async (name, make, isTrusted) => {
  const directory = join(folder, name);
  mkdirSync(join(directory, "postgres"), { recursive: true });
  make(join(directory, "query"));
  expect(await isTrustworthy(directory)).toBe(isTrusted);
});

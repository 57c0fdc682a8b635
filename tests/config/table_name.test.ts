import { expect, it } from "vitest";
import { parseTableName } from "../../lib/config/values.ts";

it.each([
  ["metrics", null, "metrics"],
  ["Host_Metrics", null, "host_metrics"],
  ["Monitoring.Host_Metrics", "monitoring", "host_metrics"],
  ["_a$1", null, "_a$1"],
  ['"My Table"', null, "My Table"],
  ['"Host_Metrics"', null, "Host_Metrics"],
  ['"a""b"', null, 'a"b'],
  ['"a.b"', null, "a.b"],
  ['"My Schema"."My Table"', "My Schema", "My Table"],
  ['Plain."Quoted"', "plain", "Quoted"],
  ['"1st"', null, "1st"],
  ["Übersicht", null, "Übersicht"],
  ["MÄRZ", null, "mÄrz"],
  ["表", null, "表"],
  ["x".repeat(49), null, "x".repeat(49)],
  [`${"s".repeat(63)}.a`, "s".repeat(63), "a"],
])("parseTableName reads %s as schema %j and name %j, as SQL does", (text, schema, name) => {
  expect(parseTableName(text)).toEqual({ schema, name });
});

it.each([
  "",
  " metrics",
  "metrics ",
  "my table",
  "1st",
  "$a",
  "a-b",
  "a.",
  ".a",
  "a.b.c",
  "a. b",
  '""',
  '"a',
  'a"',
  '"a"b"',
  "'a'",
  "a;drop table a",
  '"a\0b"',
])("parseTableName refuses %j", (text) => {
  expect(() => parseTableName(text)).toThrow(
    new SyntaxError('write a name as in SQL: metrics, monitoring.metrics or "My Table"'),
  );
});

it.each([
  [
    "x".repeat(50),
    "its 50 bytes leave no room for xxxxxxxxxx…_notifications beside it: write a name of at most 49 bytes",
  ],
  [
    "ü".repeat(25),
    "its 50 bytes leave no room for üüüüüüüüüü…_notifications beside it: write a name of at most 49 bytes",
  ],
  [`${"s".repeat(64)}.a`, "its schema has 64 bytes: write one of at most 63"],
])("parseTableName refuses %s, which PostgreSQL would cut", (text, message) => {
  expect(() => parseTableName(text)).toThrow(new RangeError(message));
});

import { expect, it } from "vitest";
import { arrayText, ascii, base64, quoteIdentifier, quoteLiteral } from "../../lib/postgres/pg_text.ts";

it.each([
  [[], "{}"],
  [[1, -0.5, 1e-7], "{1,-0.5,1e-7}"],
  [[true, null, false], "{true,null,false}"],
  [["", "null", "a,b", "{}"], `{"","null","a,b","{}"}`],
  [[`a"b\\c`, null, "d\ne"], `{"a\\"b\\\\c",NULL,"d\ne"}`],
  [["\ud800", 2], `{"\ud800",2}`],
])("arrayText(%j) is %s", (values, text) => {
  expect(arrayText(values)).toBe(text);
});

it.each([
  ["host_metrics", `"host_metrics"`],
  ["My Table", `"My Table"`],
  [`a"; drop table b; --`, `"a""; drop table b; --"`],
])("quoteIdentifier(%j) is %s", (name, quoted) => {
  expect(quoteIdentifier(name)).toBe(quoted);
});

it("base64 takes the bytes of a view, not those of the buffer beneath", () => {
  expect(base64(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe("AgM=");
});

it("ascii writes every other character by its number", () => {
  expect(ascii("a\u007fü日😀\n\\")).toBe("a\u007f\\u{fc}\\u{65e5}\\u{1f600}\n\\");
});

it.each([["", "''"], ["it's", "'it''s'"], ["back\\slash's", " E'back\\\\slash''s'"]])(
  "quoteLiteral(%j) is %j",
  (text, literal) => {
    expect(quoteLiteral(text)).toBe(literal);
  },
);

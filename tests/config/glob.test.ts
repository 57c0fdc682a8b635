import { expect, it } from "vitest";
import { matchesGlob } from "../../lib/config/glob.ts";

it.each([
  ["*", "https://a.example", true],
  ["", "", true],
  ["", "a", false],
  ["https://*.example/*", "https://a.example/b", true],
  ["https://*.example/*", "https://a.example", false],
  ["*a*b", "xaxxabxb", true],
  ["*a*b", "xaxxabxbc", false],
  ["http?://[::1]:80/", "https://[::1]:80/", true],
  ["https://a.example", "https://a+example", false],
  ["https://a.example/?id=1", "https://a.example/?id=1", true],
  ["**b**", "abc", true],
])("matchesGlob finds that %j for %j is %j", (glob, text, expected) => {
  expect(matchesGlob(glob, text)).toBe(expected);
});

it("matchesGlob ends soon where a regular expression would not", () => {
  expect(matchesGlob(`${"*a".repeat(40)}b`, "a".repeat(20_000))).toBe(false);
});

import { expect, it } from "vitest";
import { textOf } from "../lib/matching/text.ts";

it.each([
  ["text/html", Buffer.from("grün"), "grün"],
  [null, Buffer.from("grün"), "grün"],
  ["text/html; charset=latin1", Buffer.from("grün", "latin1"), "grün"],
  ['text/html; a=b; CHARSET = "windows-1252"', Buffer.from([0x80]), "€"],
  ["text/html;charset=shift_jis", Buffer.from([0x93, 0xfa, 0x96, 0x7b]), "日本"],
  ["text/html; charset=UTF-16LE", Buffer.from("\ufeff日本", "utf16le"), "日本"],
  ["text/html; charset=utf-8", Buffer.from("\ufeffa"), "a"],
  ["text/html; charset=utf-8", Buffer.from([0x61, 0xff, 0x62]), "a\ufffdb"],
  ["text/html; charset=klingon", Buffer.from("grün"), "grün"],
  ["text/html; charset=", Buffer.from("grün"), "grün"],
  ["text/html; notcharset=latin1", Buffer.from("grün"), "grün"],
])("textOf reads a body of %j", (type, bytes, expected) => {
  expect(textOf(bytes, type)).toBe(expected);
});

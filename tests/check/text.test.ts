import { expect, it } from "vitest";
import { textOf } from "../../lib/check/matching/text.ts";

it.each([
  ["text/html", Buffer.from("grün"), "grün"],
  [null, Buffer.from("grün"), "grün"],
  ["text/html; charset=latin1", Buffer.from("grün", "latin1"), "grün"],
  ['text/html; a=b; CHARSET = "windows-1252"', Buffer.from([0x80]), "€"],
  ["text/html;charset=shift_jis", Buffer.from([0x93, 0xfa, 0x96, 0x7b]), "日本"],
  ["text/html; charset=UTF-16LE", Buffer.from("\ufeff日本", "utf16le"), "日本"],
  ["text/html; charset=utf-8", Buffer.from("\ufeffa"), "a"],
  ["text/html; charset=utf-8", Buffer.from([0x61, 0xff, 0x62]), "a\ufffdb"],
  ["text/html; charset='ISO-8859-1'", Buffer.from("grün", "latin1"), "grün"],
  ['text/html; charset="utf-8', Buffer.from("grün"), "grün"],
  ["text/html; charset=latin1, utf-8", Buffer.from("grün", "latin1"), "grün"],
  ["text/html; charset=cp949", Buffer.from([0xc7, 0xd1, 0x81, 0x41]), "한갂"],
  ["text/html; charset=CP932", Buffer.from([0x93, 0xfa, 0x87, 0x40, 0x80]), "日①\x80"],
  ["text/html; charset=cp936", Buffer.from([0xd6, 0xd0, 0x80]), "中€"],
  ["text/html; charset=big5", Buffer.from([0x88, 0x62, 0xa4, 0x40]), "Ê̄一"],
  ["text/html; charset=iso-2022-jp", Buffer.from('\x1b$B$"\x1b(Ba'), "あa"],
  ["text/html; charset=win-1251", Buffer.from([0xe4, 0xe0]), "да"],
  ["text/html; charset=koi8-r", Buffer.from([0xc4, 0xc1]), "да"],
  ["text/html; charset=latin1", Buffer.from("\ufeffgrün"), "grün"],
  ["text/html; charset=utf-8", Buffer.from("\ufeffgrün", "utf16le"), "grün"],
  ["text/html; charset=utf-16le", Buffer.from("\ufeffgrün", "utf16le").swap16(), "grün"],
  ["text/html; charset=", Buffer.from("grün"), "grün"],
  ["text/html; notcharset=latin1", Buffer.from("grün"), "grün"],
])("textOf reads a body of %j", async (type, bytes, expected) => {
  expect(await textOf(bytes, type)).toBe(expected);
});

it.each(["klingon", "utf-7", "utf-32", "hz-gb-2312", "none", "utf 8", "cp"])(
  "textOf takes nothing for UTF-8 that says it is %s",
  async (unknown) => {
    expect(await textOf(Buffer.from("grün"), `text/html; charset="${unknown}"`)).toEqual({ unknown });
  },
);

import { expect, it } from "vitest";
import { GrowingBuffer } from "../../lib/check/answer_parser.ts";

const bytes = (text: string) => Buffer.from(text);

it("GrowingBuffer takes the first piece as it is, without a copy", () => {
  const [growing, piece] = [new GrowingBuffer(), bytes("one")];
  growing.append(piece);
  expect(growing.bytes.buffer).toBe(piece.buffer);
  expect(growing.end(10).toString()).toBe("one");
});

it("GrowingBuffer gives what came in pieces, in memory that is all theirs", () => {
  const growing = new GrowingBuffer();
  const pieces = Array.from({ length: 3000 }, (_, index) => bytes(`${index},`));
  for (const piece of pieces) growing.append(piece);
  const whole = Buffer.concat(pieces);
  expect(growing.length).toBe(whole.length);
  expect(growing.bytes.equals(whole)).toBe(true);
  const end = growing.end(100);
  expect(end.equals(whole.subarray(0, 100))).toBe(true);
  expect(end.buffer.byteLength).toBe(100);
});

it("GrowingBuffer gives its memory back when it grows, and at its end", () => {
  const growing = new GrowingBuffer();
  growing.append(bytes("first"));
  growing.append(bytes("second"));
  const small = growing.bytes.buffer;
  growing.append(Buffer.alloc(8192));
  const large = growing.bytes.buffer;
  growing.end(11);
  expect([small.byteLength, large.byteLength]).toEqual([0, 0]);
});

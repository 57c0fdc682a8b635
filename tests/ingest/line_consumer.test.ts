import { expect, it } from "vitest";
import { readLines } from "../../lib/ingest/line_consumer.ts";

const cases = [
  { input: "", lines: [] },
  { input: "a", lines: [[1, "a"]] },
  { input: "a\n", lines: [[1, "a"]] },
  { input: "a\nb", lines: [[1, "a"], [2, "b"]] },
  { input: "a\n\n \t\r\nb\n", lines: [[1, "a"], [4, "b"]] },
  { input: "a\r\nb\r\n", lines: [[1, "a\r"], [2, "b\r"]] },
  { input: "é€\n𝄞\n", lines: [[1, "é€"], [2, "𝄞"]] },
  { input: "1234567890\nb\n", lines: [[1, "1234567890"], [2, "b"]] },
  { input: "123456789012345\nb\n", lines: [[1, "1234567890", 15], [2, "b"]] },
] as const;

/** The bytes of `text` in pieces of `size`. */
async function* pieces(text: string, size: number) {
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

it.each(cases.flatMap((each) => [1, 2, 3, 1000].map((size) => ({ ...each, size }))))(
  "readLines reads $input in pieces of $size as $lines, keeping the beginning of a long one",
  async ({ input, lines, size }) => {
    const read: (readonly [number, string, number?])[] = [];
    for await (const line of readLines(pieces(input, size), 10)) {
      const { number, bytes, length } = line;
      const text = Buffer.from(bytes).toString();
      read.push(length === bytes.length ? [number, text] : [number, text, length]);
    }
    expect(read).toEqual(lines);
  },
);

// Decodes each body once without a pause, and once with a turn for each piece. Prints the outcomes
// as JSON, and how often a timer had its turn meanwhile.
import process from "node:process";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { openDecoder } from "../../lib/check/decoding.ts";
import { Pace, Turns } from "../../lib/check/pace.ts";

/** The outcome for a body. */
export interface DecodingOutcome {
  /** "enough", "end" or "stop" with the number of bytes, or why it does not decode. */
  readonly outcome: string;
  /** How often a timer had its turn. */
  readonly turns: number;
}

/** Outcomes by the name of the body. */
export type Decodings = Readonly<Record<string, Readonly<Record<"atOnce" | "inTurns", DecodingOutcome>>>>;

/** Text that packs as well as pages do, some 300 KiB long. */
const PAGE = Buffer.from(Array.from({ length: 20_000 }, (_, n) => `<p>${n * 7919 % 65_537}</p>\n`).join(""));
/** Bytes of PAGE that are read, without its last ones: a decoder that finds a fault drops those. */
const ENOUGH = 240_000;
const MORE = Buffer.from("more");
const EMPTY_BLOCKS = Buffer.alloc(5 * 2 ** 20, Buffer.of(0, 0, 0, 0xff, 0xff));
const PACKED = {
  gzip: gzipSync(PAGE),
  deflate: deflateSync(PAGE),
  "deflate, raw": deflateRawSync(PAGE),
  br: brotliCompressSync(PAGE),
  zstd: zstdCompressSync(PAGE),
};
const codingOf = (name: string) => name.replace(/,.*/, "");
const half = (bytes: Buffer) => bytes.subarray(0, bytes.length / 2);

interface Coded {
  readonly codings: readonly string[];
  readonly bytes: Buffer;
  /** True where the connection breaks behind the bytes. */
  readonly isBroken?: boolean;
  /** Bytes of the body that are read. */
  readonly most?: number;
  /** True where its bytes come one by one, at once. */
  readonly isCrumbled?: boolean;
}

const BODIES: Readonly<Record<string, Coded>> = {
  ...Object.fromEntries(
    Object.entries(PACKED).flatMap(([name, bytes]) => {
      const codings = [codingOf(name)];
      return [
        [name, { codings, bytes }],
        [`${name}, cut`, { codings, bytes: half(bytes) }],
        [`${name}, broken off`, { codings, bytes: half(bytes), isBroken: true }],
        [`${name}, and more`, { codings, bytes: Buffer.concat([bytes, MORE]) }],
        [`${name}, enough before more`, { codings, bytes: Buffer.concat([bytes, MORE]), most: ENOUGH }],
      ];
    }),
  ),
  "gzip, padded, broken off": {
    codings: ["gzip"],
    bytes: Buffer.concat([PACKED.gzip, Buffer.alloc(9)]),
    isBroken: true,
  },
  "gzip, padded with many pieces": {
    codings: ["gzip"],
    bytes: Buffer.concat([gzipSync("x"), Buffer.alloc(10_000)]),
    isCrumbled: true,
  },
  "br in zstd in gzip": { codings: ["br", "zstd", "gzip"], bytes: gzipSync(zstdCompressSync(PACKED.br)) },
  "gzip in gzip, enough before more": {
    codings: ["gzip", "gzip"],
    bytes: Buffer.concat([gzipSync(PACKED.gzip), MORE]),
    most: ENOUGH / 2,
  },
  "much of little": { codings: ["gzip"], bytes: gzipSync(Buffer.alloc(2 ** 22)) },
  "much of little in br": { codings: ["br"], bytes: brotliCompressSync(Buffer.alloc(2 ** 22)) },
  "much of little, broken off": {
    codings: ["gzip"],
    bytes: gzipSync(Buffer.alloc(2 ** 22)).subarray(0, -8),
    isBroken: true,
  },
  "too much between two codings": {
    codings: ["deflate", "gzip"],
    bytes: gzipSync(Buffer.concat([EMPTY_BLOCKS, EMPTY_BLOCKS])),
  },
  "frames": { codings: ["zstd"], bytes: Buffer.concat(Array<Buffer>(100).fill(zstdCompressSync("x"))) },
  "too many frames": { codings: ["zstd"], bytes: Buffer.concat(Array<Buffer>(1001).fill(zstdCompressSync("x"))) },
};

function decode(
  { codings, bytes, isBroken, most = Infinity, isCrumbled }: Coded,
  limit: number,
): Promise<DecodingOutcome> {
  return new Promise((resolve) => {
    let [turns, isOver, length] = [0, false, 0];
    const tick = () => {
      if (isOver) return;
      turns++;
      setTimeout(tick, 0);
    };
    const end = (outcome: string) => {
      isOver = true;
      resolve({ outcome, turns });
    };
    const pace = new Pace({ pause() {}, resume() {} }, new Turns(limit));
    const decoder = openDecoder(codings, {
      bytes(part) {
        length += part.length;
        if (length < most) return;
        if (typeof decoder === "object") decoder.destroy();
        end("enough");
      },
      end: () => end(`end, ${length}`),
      fail: end,
    }, pace);
    if (typeof decoder === "string") throw new Error(decoder);
    setTimeout(tick, 0);
    if (isCrumbled === true) { for (let at = 0; at < bytes.length; at++) decoder.write(bytes.subarray(at, at + 1)); }
    else decoder.write(bytes);
    if (isBroken === true) decoder.stop(() => end(`stop, ${length}`));
    else decoder.end();
  });
}

const outcomes: Record<string, Record<string, DecodingOutcome>> = {};
for (const [name, body] of Object.entries(BODIES)) {
  outcomes[name] = { atOnce: await decode(body, Infinity), inTurns: await decode(body, 0) };
}
process.stdout.write(`${JSON.stringify(outcomes)}\n`);

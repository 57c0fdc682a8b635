// Decodes 1,000 frames that came in one piece, and prints how often a timer had its turn meanwhile,
// and what came of them.
import process from "node:process";
import { zstdCompressSync } from "node:zlib";
import { openDecoder } from "../../lib/check/decoding.ts";
import { Pace } from "../../lib/check/pace.ts";

const frames = Buffer.concat(Array<Buffer>(1000).fill(zstdCompressSync("x")));
let [turns, isOver, text] = [0, false, ""];
const tick = () => {
  if (isOver) return;
  turns++;
  setTimeout(tick, 0);
};
const end = (outcome: string) => {
  isOver = true;
  process.stdout.write(`${JSON.stringify({ turns, length: text.length, outcome })}\n`);
};
const pace = new Pace({ pause() {}, resume() {} });
const decoder = openDecoder(["zstd"], {
  bytes: (bytes) => void (text += bytes.toString()),
  end: () => end("end"),
  fail: end,
}, pace);
if (typeof decoder === "string") throw new Error(decoder);
setTimeout(tick, 0);
pace.begin();
decoder.write(frames);
decoder.end();

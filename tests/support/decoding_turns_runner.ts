// Decodes two bodies of many small frames, over and over, and prints as JSON how many turns began
// while a byte waited to be read, at most.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { exit, stdout } from "node:process";
import { zstdCompressSync } from "node:zlib";
import { openDecoder } from "../../lib/check/decoding.ts";
import { Pace, Turns } from "../../lib/check/pace.ts";

const BODIES = 2;
const BYTES = 20;
const frames = Buffer.concat(Array<Buffer>(900).fill(zstdCompressSync("")));

/** Counts the works that had to wait for another turn. */
class CountedTurns extends Turns {
  count = 0;

  override next(work: () => void): void {
    if (this.isOver) this.count++;
    super.next(work);
  }
}

const turns = new CountedTurns();
const decode = () => {
  const decoder = openDecoder(
    ["zstd"],
    { bytes() {}, end: decode, fail },
    new Pace({ pause() {}, resume() {} }, turns),
  );
  if (typeof decoder === "string") fail(decoder);
  else {
    decoder.write(frames);
    decoder.end();
  }
};
function fail(detail: string): never {
  throw new Error(detail);
}

const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const [[reader], writer] = await Promise.all([
  once(server, "connection") as Promise<[Socket]>,
  connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", noDelay: true }),
]);
for (let body = 0; body < BODIES; body++) decode();
let most = 0;
for (let byte = 0; byte < BYTES; byte++) {
  const before = turns.count;
  writer.write("x");
  await once(reader, "data");
  most = Math.max(most, (turns.count - before) / BODIES);
}
stdout.write(`${JSON.stringify(most)}\n`, () => exit(0));

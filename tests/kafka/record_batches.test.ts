import process from "node:process";
import { crc32c, createRecordsBatch } from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import { type BatchMessage, readBatches } from "../../lib/kafka/javascript/record_batches.ts";
import { KEPT_BYTES } from "../../lib/kafka/kafka.ts";
import { type BatchOptions, type Codec, CODECS, rawBatch, type RawRecord } from "../support/raw_batches.ts";

const MIB = 1024 * 1024;
const END = 1_000_000;
const bytes = (text: string) => new TextEncoder().encode(text);
const fill = (count: number) => ({ byte: 120, count });
const never = new AbortController().signal;

/** The messages of a batch, in each way of reading. */
async function readAll(batch: Buffer): Promise<BatchMessage[]> {
  const read: BatchMessage[] = [];
  for (const each of readBatches(batch, END)) {
    const whole = each.whole();
    if (whole !== null) read.push(...whole);
    else for await (const some of each.stream(never)) read.push(...some);
  }
  return read;
}

const texts = (messages: readonly BatchMessage[]) =>
  messages.map(({ offset, key, value, unreadable }) => {
    if (unreadable !== undefined) return [unreadable.first, offset, unreadable.why];
    return [offset, key && Buffer.from(key).toString(), value && Buffer.from(value).toString()];
  });

const small: readonly RawRecord[] = [
  { key: bytes("a"), value: bytes("1") },
  { key: null, value: bytes("2"), ballast: 5 },
  { key: bytes(""), value: null },
  { value: bytes("") },
];
const smallTexts = [[7, "a", "1"], [8, null, "2"], [9, "", null], [10, null, ""]];

describe.each(CODECS)("a batch packed with %s", (codec: Codec) => {
  const pack = (records: Iterable<RawRecord>, options: BatchOptions = {}) =>
    rawBatch(records, { codec, firstOffset: 7, ...options });

  it("is read as any other client reads it", async () => {
    const messages = Array.from({ length: 500 }, (_, n) => {
      const value = Buffer.from(JSON.stringify({ address: `https://${n}.example`, latency: n / 7 }));
      return { topic: "t", key: Buffer.from(`key ${n}`), value, timestamp: BigInt(1000 + n) };
    });
    const batch = createRecordsBatch(messages, { compression: codec }).dynamicBuffer.buffer;
    expect((await readAll(batch)).map(({ offset, key, value, timestamp }) => ({ offset, key, value, timestamp })))
      .toEqual(messages.map(({ key, value }, n) => ({ offset: n, key, value, timestamp: 1000 + n })));
  });

  it("may have no keys, no values, headers", async () => {
    expect(texts(await readAll(await pack(small)))).toEqual(smallTexts);
  });

  it("is read from a stream as it is in one go", async () => {
    const [batch] = readBatches(await pack(small), END);
    const read: BatchMessage[] = [];
    for await (const some of batch?.stream(never) ?? []) read.push(...some);
    expect(texts(read)).toEqual(smallTexts);
  });

  it("keeps the beginning of long keys and values, with their whole length, and its other messages", async () => {
    const long = [9 * MIB, KEPT_BYTES + 1, KEPT_BYTES, 3 * MIB].flatMap((size) => [
      { key: bytes("k"), value: fill(size) },
      { key: fill(size), value: bytes("v") },
      { value: bytes("between"), ballast: size },
    ]);
    const read = await readAll(await pack([...small, ...long, ...small]));
    expect(texts(read.slice(0, 4))).toEqual(smallTexts);
    expect(
      read.slice(4, -4).map(({ key, value, keyLength, valueLength }) => {
        return [key?.length, keyLength, value?.length, valueLength];
      }),
    ).toEqual([9 * MIB, KEPT_BYTES + 1, KEPT_BYTES, 3 * MIB].flatMap((size) => {
      const whole = size > KEPT_BYTES ? size : undefined;
      return [
        [1, undefined, KEPT_BYTES, whole],
        [KEPT_BYTES, whole, 1, undefined],
        [undefined, undefined, 7, undefined],
      ];
    }));
    expect(texts(read.slice(-4))).toEqual([[23, "a", "1"], [24, null, "2"], [25, "", null], [26, null, ""]]);
  });

  it("gives many messages some at a time", async () => {
    const records = Array.from({ length: 20_000 }, (_, n) => ({ value: bytes(`message ${n} `.repeat(30)) }));
    const [batch] = readBatches(await pack(records), END);
    expect(batch?.whole()).toBeNull();
    const counts: number[] = [];
    const offsets: number[] = [];
    for await (const some of batch?.stream(never) ?? []) {
      counts.push(some.length);
      offsets.push(...some.map(({ offset }) => offset));
    }
    expect(Math.max(...counts)).toBeLessThanOrEqual(1000);
    expect(offsets).toEqual(records.map((_, n) => 7 + n));
  });

  it("is unpacked in memory that is used again, not left to the collector", async () => {
    const [batch] = readBatches(await pack([{ value: fill(100 * MIB) }, { value: bytes("next") }]), END);
    let least = Infinity;
    let growth = 0;
    const watch = setInterval(() => {
      const { arrayBuffers } = process.memoryUsage();
      least = Math.min(least, arrayBuffers);
      growth = Math.max(growth, arrayBuffers - least);
    });
    const read: BatchMessage[] = [];
    for await (const some of batch?.stream(never) ?? []) read.push(...some);
    clearInterval(watch);
    expect(read.map(({ valueLength }) => valueLength)).toEqual([100 * MIB, undefined]);
    expect(growth).toBeLessThan(16 * MIB);
  });

  it("ends early where it is told to stop", async () => {
    const stop = new AbortController();
    const [batch] = readBatches(await pack([{ value: fill(9 * MIB) }, { value: fill(9 * MIB) }]), END);
    const read: BatchMessage[] = [];
    for await (const some of batch?.stream(stop.signal) ?? []) {
      read.push(...some);
      stop.abort();
    }
    expect(read.length).toBeLessThanOrEqual(1);
    expect(read.filter(({ unreadable }) => unreadable)).toEqual([]);
  });

  it("that ends early stands for what is missing", async () => {
    const batch = await pack(small, { count: 6, lastDelta: 5 });
    expect(texts(await readAll(batch))).toEqual([...smallTexts, [11, 12, "its content ends early"]]);
  });

  it("that ends early behind long messages stands for what is missing", async () => {
    const batch = await pack([...small, { value: fill(9 * MIB) }], { count: 7, lastDelta: 9 });
    const read = await readAll(batch);
    expect(texts(read.slice(0, 4))).toEqual(smallTexts);
    expect(texts(read.slice(5))).toEqual([[12, 16, "its content ends early"]]);
  });

  it("ends where it says", async () => {
    // The last offset lies below that of the last messages: the next batch has those offsets.
    expect(texts(await readAll(await pack(small, { lastDelta: 1 })))).toEqual(smallTexts.slice(0, 2));
  });
});

it("a batch that is damaged stands for its messages, and says where it ends", async () => {
  const [first, second] = [await rawBatch(small), await rawBatch(small, { firstOffset: 4 })];
  // Damages a byte of a value, and then the number of messages.
  for (const at of [first.length - 3, 24]) {
    const damaged = Buffer.from(first);
    damaged[at] = (damaged[at] as number) ^ 0x55;
    expect(readBatches(damaged, END)[0]?.isIntact).toBe(false);
    const read = texts(await readAll(Buffer.concat([damaged, second])));
    expect(read).toEqual([
      [0, 3, "its checksum is wrong"],
      ...smallTexts.map(([o, ...rest]) => [o as number - 3, ...rest]),
    ]);
  }
});

it.each([["gzip", 1], ["snappy", 2], ["lz4", 3], ["zstd", 4], ["nothing that is known", 5], ["nor this", 7]])(
  "a batch that says %s but holds something else stands for its messages",
  async (_, attributes) => {
    const [read, ...others] = await readAll(await rawBatch(small, { attributes: attributes as number }));
    expect(read).toMatchObject({
      offset: 3,
      key: null,
      value: null,
      unreadable: { first: 0, why: expect.any(String) },
    });
    expect(others).toEqual([]);
  },
);

it("a batch without messages has none", async () => {
  expect(await readAll(await rawBatch([], { lastDelta: 8 }))).toEqual([]);
});

it("a batch that is cut off is left out", async () => {
  const whole = await rawBatch(small);
  expect(await readAll(Buffer.concat([whole, whole.subarray(0, whole.length - 1)]))).toHaveLength(4);
  expect(readBatches(whole.subarray(0, 11), END)).toEqual([]);
});

it("random damage never breaks the reader", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  console.log(`seed ${seed}`);
  let state = seed;
  const random = (below: number) => {
    state = Math.imul(state ^ state >>> 15, state | 1) + 0x6d2b79f5 | 0;
    return (state >>> 0) % below;
  };
  for (const codec of CODECS) {
    const whole = await rawBatch([...small, { value: fill(5000) }, ...small], { codec });
    for (let round = 0; round < 400; round++) {
      const damaged = Buffer.from(whole);
      // The damage comes behind the length, which says where the next batch begins.
      for (let flips = 1 + random(4); flips > 0; flips--) damaged[21 + random(whole.length - 21)] = random(256);
      // A batch with the right checksum, whatever its bytes are.
      if (round % 2 === 0) damaged.writeUInt32BE(crc32c(damaged.subarray(21)), 17);
      const read = await readAll(damaged);
      for (const { offset } of read) expect(offset).toBeTypeOf("number");
    }
  }
});

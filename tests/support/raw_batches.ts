import { open, readFile } from "node:fs/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { Connection, crc32c, Writer } from "@platformatic/kafka";
import { eventually } from "./eventually.ts";

// Batches of messages, made byte by byte, as no client writes them (Kafka's protocol, "Record
// Batch").

export const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
export type Codec = typeof CODECS[number];

/** Bytes, or one byte many times. The many are never in memory together. */
export type Part = Uint8Array | { readonly byte: number; readonly count: number };

/** A message. Key and value may be huge. `ballast` is the number of bytes of a header. */
export interface RawRecord {
  readonly key?: Part | null;
  readonly value: Part | null;
  readonly ballast?: number;
}

export interface BatchOptions {
  readonly codec?: Codec;
  /** Of zstd: the window that the frame asks for, as a power of two. */
  readonly windowLog?: number;
  readonly firstOffset?: number;
  /** Values that are written instead of the right ones. */
  readonly count?: number;
  readonly lastDelta?: number;
  readonly attributes?: number;
  readonly producerId?: bigint;
  /** The leader's. */
  readonly epoch?: number;
}

const TIME = BigInt(Date.parse("2026-01-01"));

/** A whole batch, its header and checksum included. */
export async function rawBatch(records: Iterable<RawRecord>, options: BatchOptions = {}): Promise<Buffer> {
  const { codec = "none", firstOffset = 0 } = options;
  const counted = { count: 0 };
  const content = await pack(codec, encode(records, counted), options.windowLog);
  const count = options.count ?? counted.count;
  const header = Buffer.alloc(40);
  header.writeInt16BE(CODECS.indexOf(codec) | (options.attributes ?? 0), 0);
  header.writeInt32BE(options.lastDelta ?? Math.max(0, counted.count - 1), 2);
  header.writeBigInt64BE(TIME, 6);
  header.writeBigInt64BE(TIME, 14);
  header.writeBigInt64BE(options.producerId ?? -1n, 22);
  header.writeInt16BE(-1, 30);
  header.writeInt32BE(-1, 32);
  header.writeInt32BE(count, 36);
  const body = Buffer.concat([header, content]);
  const front = Buffer.alloc(21);
  front.writeBigInt64BE(BigInt(firstOffset), 0);
  front.writeInt32BE(body.length + 9, 8);
  front.writeInt32BE(options.epoch ?? -1, 12);
  front.writeInt8(2, 16);
  front.writeUInt32BE(crc32c(body), 17);
  return Buffer.concat([front, body]);
}

/** Gives a changed batch the right checksum. */
export const seal = (batch: Buffer): void => void batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);

/** Changes the batches of a log file at these offsets, while a broker serves it. */
export async function overwrite(path: string, changes: ReadonlyMap<number, (batch: Buffer) => void>): Promise<void> {
  const log = await readFile(path);
  await using file = await open(path, "r+");
  for (let at = 0; at + 12 <= log.length;) {
    const batch = log.subarray(at, at + 12 + log.readInt32BE(at + 8));
    if (batch.length <= 12) return;
    const change = changes.get(Number(batch.readBigInt64BE(0)));
    change?.(batch);
    if (change !== undefined) await file.write(batch, 0, batch.length, at);
    at += batch.length;
  }
}

/** Writes batches to a partition, unchanged. Throws where the broker refuses one. */
export async function writeRaw(
  broker: string,
  topic: string,
  batches: readonly Buffer[],
  partition = 0,
): Promise<void> {
  const [host = "", port = ""] = broker.split(":");
  const connection = new Connection("tests", { requestTimeout: 120_000 });
  await connection.connect(host, Number(port));
  try {
    for (const batch of batches) {
      const isTaken = async () => !NOT_YET.has(await produce(connection, topic, partition, batch));
      await eventually(isTaken, () => `Nobody leads partition ${partition} of ${topic}`);
    }
  } finally {
    await connection.close();
  }
}

/** The errors of the protocol for a topic that has just been made. */
const NOT_YET = new Set([3, 5, 6]);

/** Produce (key 0), version 7, the first that takes zstd: gives the broker's error, 0 where it took the batch. */
async function produce(connection: Connection, topic: string, partition: number, batch: Buffer): Promise<number> {
  const request = Writer.create().appendString(null, false).appendInt16(1).appendInt32(60_000).appendInt32(1)
    .appendString(topic, false).appendInt32(1).appendInt32(partition).appendInt32(batch.length).append(batch);
  const code = await new Promise<number>((resolve, reject) => {
    connection.send(
      0,
      7,
      () => request,
      (_correlation, _key, _version, reader) => {
        reader.readInt32();
        reader.readString(false);
        reader.readInt32();
        reader.readInt32();
        return reader.readInt16();
      },
      false,
      false,
      (error, result) => error ? reject(error) : resolve(result as number),
    );
  });
  if (code !== 0 && !NOT_YET.has(code)) throw new Error(`The broker refuses the batch with error ${code}`);
  return code;
}

function* encode(records: Iterable<RawRecord>, counted: { count: number }): Generator<Part> {
  for (const { key = null, value, ballast = 0 } of records) {
    const parts: Part[] = [Buffer.concat([Buffer.of(0), varint(0), varint(counted.count++)])];
    for (const field of [key, value]) {
      parts.push(varint(field === null ? -1 : sizeOf(field)));
      if (field !== null) parts.push(field);
    }
    if (ballast === 0) parts.push(varint(0));
    else parts.push(varint(1), varint(1), Buffer.from("h"), varint(ballast), { byte: 120, count: ballast });
    yield varint(parts.reduce((sum, part) => sum + sizeOf(part), 0));
    yield* parts;
  }
}

function sizeOf(part: Part): number {
  return part instanceof Uint8Array ? part.length : part.count;
}

/** A number in the form of the records: the sign in the lowest bit, 7 bits a byte. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push(128 | rest % 128);
  return Buffer.from([...bytes, rest]);
}

async function pack(codec: Codec, parts: Iterable<Part>, windowLog?: number): Promise<Buffer> {
  if (codec === "lz4") return packLz4(parts);
  if (codec === "snappy") return packSnappy([...parts]);
  if (codec === "none") return Buffer.concat([...pieces(parts)]);
  const packing = codec === "gzip" ? createGzip({ level: 1 }) : createZstdCompress(withWindow(windowLog));
  const packed: Buffer[] = [];
  packing.on("data", (piece: Buffer) => packed.push(piece));
  const ended = new Promise((resolve, reject) => packing.once("end", resolve).once("error", reject));
  for (const piece of pieces(parts)) {
    if (!packing.write(piece)) await new Promise((resolve) => packing.once("drain", resolve));
  }
  packing.end();
  await ended;
  return Buffer.concat(packed);
}

const withWindow = (log: number | undefined) =>
  log === undefined ? {} : { params: { [constants.ZSTD_c_windowLog]: log } };

const MANY = 4 * 1024 * 1024;

/** The parts as pieces to send. Small parts become one piece. */
function* pieces(parts: Iterable<Part>): Generator<Uint8Array> {
  let held: Uint8Array[] = [];
  let size = 0;
  for (const part of limited(parts)) {
    held.push(part instanceof Uint8Array ? part : Buffer.alloc(part.count, part.byte));
    size += sizeOf(part);
    if (size < 65_536) continue;
    yield Buffer.concat(held);
    held = [];
    size = 0;
  }
  yield Buffer.concat(held);
}

function* limited(parts: Iterable<Part>): Generator<Part> {
  for (const part of parts) {
    if (part instanceof Uint8Array) yield part;
    else for (let left = part.count; left > 0; left -= MANY) yield { byte: part.byte, count: Math.min(left, MANY) };
  }
}

/**
 * A frame of literal blocks for bytes, and of a match of distance 1 for the same byte many times.
 */
function packLz4(parts: Iterable<Part>): Buffer {
  const header = Buffer.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73);
  const blocks: Buffer[] = [];
  let literals: Uint8Array[] = [];
  const flush = () => {
    const bytes = Buffer.concat(literals);
    if (bytes.length > 0) blocks.push(uint32(bytes.length + 0x80000000), bytes);
    literals = [];
  };
  for (const part of limited(parts)) {
    if (part instanceof Uint8Array) literals.push(part);
    else if (part.count < 32) literals.push(Buffer.alloc(part.count, part.byte));
    else {
      flush();
      const more = part.count - 1 - 5 - 4 - 15;
      const lengths = Buffer.alloc(Math.max(0, Math.floor(more / 255)) + 1, 255);
      lengths[lengths.length - 1] = more % 255;
      const block = Buffer.concat([
        Buffer.of(0x1f, part.byte, 1, 0),
        lengths,
        Buffer.of(0x50, part.byte, part.byte, part.byte, part.byte, part.byte),
      ]);
      blocks.push(uint32(block.length), block);
    }
    if (literals.length > 1000) flush();
  }
  flush();
  return Buffer.concat([header, ...blocks, uint32(0)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/**
 * One block, as librdkafka writes it. Larger data becomes a frame of blocks, as Java writes it: a
 * broker reads those one by one.
 */
function packSnappy(parts: readonly Part[]): Buffer {
  if (parts.reduce((sum, part) => sum + sizeOf(part), 0) <= MANY) return snappyBlock(parts);
  const frame: Buffer[] = [Buffer.from("82534e41505059000000000100000001", "hex")];
  let held: Part[] = [];
  let size = 0;
  const flush = () => {
    const block = snappyBlock(held);
    const length = Buffer.alloc(4);
    length.writeInt32BE(block.length);
    frame.push(length, block);
    held = [];
    size = 0;
  };
  for (const part of limited(parts)) {
    held.push(part);
    size += sizeOf(part);
    if (size >= MANY) flush();
  }
  if (held.length > 0) flush();
  return Buffer.concat(frame);
}

function snappyBlock(parts: readonly Part[]): Buffer {
  const total = parts.reduce((sum, part) => sum + sizeOf(part), 0);
  const packed: Uint8Array[] = [unsigned(total)];
  for (const part of parts) {
    const isLong = !(part instanceof Uint8Array) && part.count > 4;
    const literal = part instanceof Uint8Array ? part : Buffer.alloc(isLong ? 1 : part.count, part.byte);
    if (literal.length > 0) packed.push(Buffer.of(63 << 2, ...uint32(literal.length - 1)), literal);
    if (!isLong) continue;
    const left = part.count - 1;
    // Copies of 64 bytes from one byte before, and then one copy of the rest.
    packed.push(Buffer.alloc(3 * Math.floor(left / 64), Buffer.of(63 << 2 | 2, 1, 0)));
    if (left % 64 > 0) packed.push(Buffer.of((left % 64 - 1) << 2 | 2, 1, 0));
  }
  return Buffer.concat(packed);
}

function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push(128 | rest % 128);
  return Buffer.from([...bytes, rest]);
}

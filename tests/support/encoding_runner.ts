// Encodes random messages twice: as they come, so that the plain ones are copied, and after reading
// each of them. Prints how many were copied, and the first difference.
import { randomUUID } from "node:crypto";
import process from "node:process";
import { text } from "node:stream/consumers";
import { decodeMetric, encodeMetric, type Metric, METRIC_FIELDS } from "../../lib/metric.ts";
import { BatchEncoder, type BatchSlice } from "../../lib/postgres/encoded_batch.ts";
import { type Entry, ReceivedEntry, type ReceivedMessage } from "../../lib/postgres/entry.ts";
import type { Tables } from "../../lib/postgres/tables.ts";
import { madeUpMessage, madeUpTime } from "../fuzz/messages/made_up.ts";
import { metricWith } from "./metrics.ts";
import { Random } from "./random.ts";

/** What is asked for: so many slices of random messages. */
export interface EncodingOrder {
  readonly seed: number;
  readonly slices: number;
}

/** What came of it. */
export interface Encodings {
  readonly messages: number;
  /** Messages whose bytes were copied. */
  readonly copied: number;
  /** Null: both ways gave the same. */
  readonly difference: string | null;
}

/** Messages of one slice: more than are copied at a time. */
const MOST = 1_200;
/** Noon of some day: both ways must see the same clock. */
const NOW = Date.parse("2026-06-15T12:00:00Z");
const TEXTS = [
  null,
  "",
  "a",
  "ü日😀",
  "null",
  "NULL",
  "a,b}",
  "{",
  "\u007f",
  "\u2028",
  '"',
  "\\",
  "\n",
  "\0",
  "\ud800",
];
const NUMBERS = [null, 0, 1, 0.1, 0.020001, 1e-7, 2.5e-6, 12_345.678_9, 1e20, 1e21, 5e-324, 2 ** 53];
const ADDRESSES = [
  null,
  "192.0.2.1",
  "255.255.255.255",
  "2001:db8::1",
  "::ffff:192.0.2.1",
  "fe80::1%eth0",
  "01.2.3.4",
  "::1%",
];
/** Times in the form of our own producer, some of which do not exist. */
const TIMES = [
  "0000-01-01",
  "0001-01-01",
  "2024-02-29",
  "2026-02-29",
  "2026-04-31",
  "2026-00-10",
  "2026-13-10",
  "2026-12-00",
]
  .flatMap((day) => ["00:00:00", "23:59:59", "24:00:00", "23:60:00", "23:59:60"].map((clock) => `${day}T${clock}.000Z`))
  .concat(["24:00:00", "23:60:00", "23:59:60"].map((clock) => `2026-01-31T${clock}.000Z`));
const JSON_VALUES = [
  "null",
  "true",
  "0",
  "-0",
  "00",
  "0.10",
  "1.",
  "2e2",
  "1000",
  '"a"',
  '"\\u0041"',
  "{}",
  "[1]",
  '"x',
  "ull",
];

/** A message whose content is read when it is asked for, and that counts how often. */
class WatchedEntry extends ReceivedEntry {
  reads = 0;
  override get content() {
    this.reads++;
    return super.content;
  }
}

function randomMetric(random: Random): Metric {
  const time = () => {
    const kind = random.next();
    if (kind < 0.02) return madeUpTime(random);
    return new Date(NOW - random.pick([0, 1, 86_400_000, 7e9, 1e12]) - random.between(0, 5e8)).toISOString();
  };
  const maybe = <T>(value: T, other: T) => random.next() < 0.8 ? value : other;
  const seconds = () => maybe(random.next(), random.pick(NUMBERS));
  return metricWith({
    address: maybe(`https://a${random.between(0, 1e6)}.example/`, random.pick(TEXTS) ?? "ä"),
    status_code: maybe(200, random.pick([null, 0, 999, 1000, 20.5])),
    latency: seconds() ?? 0,
    is_valid: random.next() < 0.5,
    scheduled_at: maybe(time(), null),
    checked_at: maybe(time(), null),
    error: maybe(null, random.pick(["tls", "missed", "removed", "ö"])),
    error_detail: maybe(null, random.pick(TEXTS)),
    latency_dns: seconds(),
    latency_body: seconds(),
    tls_expires_at: maybe(time(), null),
    location: maybe("fra-1", random.pick(TEXTS)),
    check_id: maybe(randomUUID(), null),
    up: maybe(true, random.pick([false, null])),
    remote_address: random.pick(ADDRESSES),
    producer: maybe("checker-1", random.pick(TEXTS)),
    next_at: maybe(time(), null),
    labels: maybe(null, random.pick<Metric["labels"]>([{}, { team: "shop" }, { é: 'a"\\b' }])),
  });
}

/** A document that our producer might send or, often, one that is a little different. */
function randomValue(random: Random): Uint8Array | null {
  const kind = random.next();
  if (kind < 0.1) return madeUpMessage(random).value;
  const metric = random.next() < 0.5 ? metricWith({ up: true }) : randomMetric(random);
  const document = Buffer.from(encodeMetric(metric));
  return kind < 0.6 ? document : changed(document, random);
}

function changed(document: Buffer, random: Random): Uint8Array {
  const at = random.between(0, document.length);
  const to = Math.min(document.length, at + random.between(1, 6));
  const field = random.pick(METRIC_FIELDS);
  const withValue = (value: string) =>
    Buffer.from(document.toString().replace(new RegExp(`("${field}":)("[^"]*"|[^,}]*)`), (_, name) => name + value));
  const put = (byte: number) => Buffer.concat([document.subarray(0, at), Buffer.of(byte), document.subarray(at)]);
  const changes: readonly (() => Uint8Array)[] = [
    () => document.subarray(0, at),
    () => Buffer.concat([document.subarray(0, at), document.subarray(to)]),
    () => Buffer.concat([document.subarray(0, to), document.subarray(at)]),
    () => put(random.pick([0x20, 0x0a, 0x00, 0x22, 0x5c, 0xff, 0xc3, 0xef, 0x2c, 0x30, 0x39, 0x2e])),
    () => put(random.between(0, 255)),
    () => withValue(random.pick(JSON_VALUES)),
    () => withValue(JSON.stringify(random.pick([...TEXTS, ...NUMBERS, ...ADDRESSES]))),
    () => withValue(JSON.stringify(madeUpTime(random))),
    () => withValue(JSON.stringify(random.pick(TIMES))),
    () => {
      const digits = [...document.toString().matchAll(/\d/g)].map(({ index }) => index);
      const at = random.pick(digits);
      return document.fill(String(random.between(0, 9)), at, at + 1);
    },
    () => withValue(random.pick(["1", "0", "0."]) + "0".repeat(random.between(0, 30)) + "7"),
    () => Buffer.from(`${document.toString().slice(0, -1)},"${field}":${random.pick(JSON_VALUES)}}`),
    () => Buffer.from(document.toString().replace(`,"${field}":`, `, "${field}" : `)),
    () => Buffer.from(`${document}${random.pick([" ", "\n", "}", ","])}`),
    () => {
      const flipped = Buffer.from(document);
      const place = Math.min(at, document.length - 1);
      flipped[place] = (flipped[place] as number) ^ (1 << random.between(0, 7));
      return flipped;
    },
  ];
  return random.pick(changes)();
}

/** A table of any shape that a user's may have. */
function randomTables(random: Random): Tables {
  const isAll = random.next() < 0.5;
  const maybe = <T>(value: T) => random.next() < 0.5 ? value : null;
  return {
    columns: METRIC_FIELDS.filter((_, i) => i < 4 || isAll || random.next() < 0.7),
    statusCodeRequired: random.next() < 0.3,
    scheduledAtRequired: random.next() < 0.3,
    reals: new Set(random.next() < 0.5 ? METRIC_FIELDS.filter((field) => /^latency_/.test(field)) : []),
    partLength: maybe("month"),
    kept: maybe({ from: "2026-01-31T12:00:00.000Z", why: "because" }),
    isUnicode: random.next() < 0.8,
    hasIncidents: random.next() < 0.8,
  } as unknown as Tables;
}

/** The values of an array's text: numbers as JavaScript writes them, and whether they were quoted. */
function valuesOf(column: string): string[] {
  return [...column.matchAll(/"((?:[^"\\]|\\.)*)"|([^,"]+)/gs)].map(([, quoted, bare]) => {
    if (quoted !== undefined) return `"${quoted.replaceAll(/\\(.)/gs, "$1")}`;
    return /^[\d.e+-]+$/.test(bare as string) ? String(Number(bare)) : (bare as string).toLowerCase();
  });
}

/** Everything that a slice is used for. */
function meaning({ columns, days, bytes, checks, sorted: { metrics, rejections, missed } }: BatchSlice): string {
  const offsets = (entries: readonly Entry[]) => entries.map(({ offset }) => offset);
  const reasons = rejections.map(({ offset, content }) => [offset, content.reason]);
  const observed = Array.from({ length: checks?.count ?? 0 }, (_, i) => checks?.observation(i));
  return JSON.stringify([
    ...[columns.map(valuesOf), [...days], bytes, offsets(metrics), reasons, offsets(missed)],
    ...observed.map((check) => ({ ...check, failure: check?.failure() })),
  ]);
}

Date.now = () => NOW;
const { seed, slices }: EncodingOrder = JSON.parse(await text(process.stdin));
const encoder = new BatchEncoder();
const found = { messages: 0, copied: 0, difference: null as string | null };
for (let n = 0; n < slices && found.difference === null; n++) {
  const random = new Random(seed + n);
  const tables = randomTables(random);
  const messages = Array.from({ length: random.pick([1, 3, 50, MOST]) }, (_, offset): ReceivedMessage => {
    const timestamp = random.next() < 0.9 ? NOW : -1;
    return { partition: offset % 3, offset, key: Buffer.from("k"), value: randomValue(random), timestamp };
  });
  const entries = messages.map((message) => new WatchedEntry(message));
  const slice = encoder.encodeSlice(entries, tables);
  found.messages += messages.length;
  found.copied += entries.filter(({ reads }) => reads === 0).length;
  const read = messages.map((message) => ({ ...message, content: decodeMetric(message.value, message.timestamp) }));
  const [copying, reading] = [meaning(slice), meaning(encoder.encodeSlice(read, tables))];
  if (copying !== reading) found.difference = firstDifference(messages, tables) ?? `${copying} and ${reading}`;
}
process.stdout.write(`${JSON.stringify(found)}\n`);

/** The first message that alone is encoded in two ways. */
function firstDifference(messages: readonly ReceivedMessage[], tables: Tables): string | null {
  for (const message of messages) {
    const copying = meaning(encoder.encodeSlice([new ReceivedEntry(message)], tables));
    const content = decodeMetric(message.value, message.timestamp);
    const reading = meaning(encoder.encodeSlice([{ ...message, content }], tables));
    if (copying !== reading) return `${Buffer.from(message.value ?? []).toString("latin1")}: ${copying} and ${reading}`;
  }
  return null;
}

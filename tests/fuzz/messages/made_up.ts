import type { Random } from "../../support/random.ts";

/** A Kafka message as a reader gets it. `timestamp` is the record's, in milliseconds since 1970. */
export interface Message {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly timestamp: number;
}

const utf8 = new TextEncoder();
const MIB = 1024 * 1024;

/** JSON texts for any field. Each is right, odd or wrong, depending on the kind of the field. */
const NUMBERS = [
  ..."0 -0 0.0 1 -1 200 200.0 2e2 2E+2 20000e-2 200.5 999 999.0000000000000000001 1000 0.123456 1e-7 5e-324 1e-400"
    .split(" "),
  ..."1e308 1.7976931348623157e308 1e309 1e999 -1e999 9007199254740993 12345678901234567890123 00 01 1. .5 +1".split(
    " ",
  ),
  ..."NaN Infinity -Infinity 0x10 1_000 1e 1e+".split(" "),
  `0.${"3".repeat(400)}`,
  `${"9".repeat(400)}`,
];
const TEXTS = [
  ...[
    "",
    " ",
    "a",
    "é😀",
    "NULL",
    "null",
    "{}",
    '{"a",b}',
    "\\",
    '"',
    "'",
    "\n",
    "\t",
    "\u007f",
    "\u0085",
    "\u2028",
    "\ufeff",
  ],
  ...["\ufffe", "\uffff", "\u{10ffff}", "a\u0301", "\u202e", "%s", "$1", "\\x00", "\\u0000", "'; drop table m; --"],
].map((text) => JSON.stringify(text));
const ESCAPES = [
  String.raw`"\u0000"`,
  String.raw`"a\u0000b"`,
  String.raw`"\ud800"`,
  String.raw`"\udc00"`,
  String.raw`"\ud83d\ude00"`,
  String.raw`"\ude00\ud83d"`,
  String.raw`"\u00e9"`,
  String.raw`"\uD83D\uDE00"`,
  String.raw`"\u004e"`,
  String.raw`"\\u0000"`,
  String.raw`"\/\b\f"`,
  String.raw`"\x41"`,
  String.raw`"\u12"`,
];
const OTHERS = ["null", "true", "false", "[]", "{}", "[1]", '{"a":1}', "nul", "True", "undefined", ""];
const UUIDS = [
  "0b0e7f3c-2b53-4c2e-9d43-0d6d4e3f0c11",
  "0B0E7F3C-2B53-4C2E-9D43-0D6D4E3F0C12",
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "0b0e7f3c2b534c2e9d430d6d4e3f0c11",
  "{0b0e7f3c-2b53-4c2e-9d43-0d6d4e3f0c11}",
  "0b0e7f3c-2b53-4c2e-9d43-0d6d4e3f0c1g",
];

const ADDRESSES = [
  ...["192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::1", "::ffff:192.0.2.1"],
  ...["192.0.2", "192.0.2.256", "01.2.3.4", "192.0.2.1/24", "fe80::1%eth0", "[::1]", "1::2::3", ""],
];

const FIELDS = [
  ...["address", "status_code", "latency", "is_valid", "scheduled_at", "checked_at", "error", "error_detail"],
  ...["latency_dns", "latency_connect", "latency_tls", "latency_first_byte", "latency_body", "tls_expires_at"],
  ...["location", "check_id", "up", "remote_address", "producer", "next_at", "labels"],
];
/** Names of no field of a metric, on which careless code may stumble. */
const STRANGE_NAMES = [
  "__proto__",
  "constructor",
  "toString",
  "reason",
  "hasOwnProperty",
  "",
  "Address",
  "address ",
  "id",
];

/**
 * Times of records: usual ones, Kafka's "none", the limits of PostgreSQL and JavaScript in four
 * digits, and beyond.
 */
const TIMESTAMPS = [
  ...[1_790_000_000_000, 0, 1, -1, -2, 253_402_300_799_999, 253_402_300_800_000, -62_135_596_800_000],
  ...[-62_135_596_800_001, 8.64e15, 8.64e15 + 1, -8.64e15, Number.MAX_SAFE_INTEGER, NaN],
];

const two = (n: number) => String(n).padStart(2, "0");

/** A time in one of many notations. Often it does not exist. */
export function madeUpTime(random: Random): string {
  const maybe = (chance: number, odd: readonly string[], usual: string) =>
    random.next() < chance ? random.pick(odd) : usual;
  const year = maybe(0.1, ["0000", "0001", "1900", "2000", "2100", "9999", "99999", "+002026", "-2026", "26"], "2026");
  const month = maybe(0.1, ["00", "13", "1", "02", "02"], two(random.between(1, 12)));
  const day = maybe(0.2, ["00", "29", "30", "31", "31", "32", "1"], two(random.between(1, 28)));
  const hour = maybe(0.1, ["24", "25", "00", "1"], two(random.between(0, 23)));
  const minute = maybe(0.1, ["60", "00", "00", "5"], two(random.between(0, 59)));
  const second = maybe(0.15, ["60", "61", "00", "00", "7"], two(random.between(0, 59)));
  const fraction = maybe(
    0.3,
    ["", ".", ".1", ".000000", ".999999", ".9999999999", ",5", ".12345678901234567890"],
    ".123",
  );
  const zones = "z +00:00 -00:00 +01:00 -0330 +05 +14:00 -12:00 +15:59 +16:00 +23:59 +24:00 +01:60 +1:00 UTC".split(
    " ",
  );
  const zone = maybe(0.4, [...zones, "", " Z", "Z "], "Z");
  const clock = maybe(
    0.1,
    [`${hour}:${minute}`, `${hour}${minute}${second}`, hour, "24:00:00", "24:00:00.000"],
    [
      `${hour}:${minute}:${second}${fraction}`,
    ].join(""),
  );
  return `${year}-${month}-${day}${maybe(0.1, ["t", " ", "", "T "], "T")}${clock}${zone}`;
}

function madeUpText(random: Random): string {
  const kind = random.next();
  if (kind < 0.4) return random.pick(TEXTS);
  if (kind < 0.6) return random.pick(ESCAPES);
  if (kind < 0.9) {
    return JSON.stringify(Array.from({ length: random.between(1, 40) }, () => madeUpCharacter(random)).join(""));
  }
  // An index refuses a text of this length, unless it compresses well.
  return JSON.stringify(
    random.next() < 0.5
      ? "x".repeat(random.between(1_000, 60_000))
      : Array.from({ length: random.between(500, 3_000) }, () => madeUpCharacter(random)).join(""),
  );
}

function madeUpCharacter(random: Random): string {
  const [low, high] = random.pick([[0x20, 0x7e], [0x20, 0x7e], [0x01, 0x1f], [0xa0, 0x2fff], [0xd800, 0xdfff], [
    0x1f300,
    0x1faff,
  ]]);
  return String.fromCodePoint(random.between(low as number, high as number));
}

function deep(random: Random): string {
  const depth = random.pick([2, 50, 1_000, 20_000]);
  return random.next() < 0.5 ? "[".repeat(depth) + "]".repeat(depth) : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
}

function madeUpValue(random: Random): string {
  const kind = random.next();
  if (kind < 0.25) return random.pick(NUMBERS);
  if (kind < 0.5) return madeUpText(random);
  if (kind < 0.75) return JSON.stringify(madeUpTime(random));
  if (kind < 0.8) return JSON.stringify(random.pick(UUIDS));
  if (kind < 0.85) return deep(random);
  return random.pick(OTHERS);
}

/** A value that fits the field most of the time. */
function fittingValue(random: Random, field: string): string {
  if (field === "address") return JSON.stringify(`https://a${random.between(0, 9)}.example/${random.between(0, 1e9)}`);
  if (field === "up") return random.pick(["true", "false", "null"]);
  if (field === "remote_address") return JSON.stringify(random.pick(ADDRESSES));
  if (field === "error") return random.pick(["null", "null", '"tls"', '"missed"', '"removed"']);
  if (field === "is_valid") return random.pick(["true", "false"]);
  if (field === "status_code") return random.pick(["200", "404", "null"]);
  if (field.startsWith("latency")) return String(random.next());
  if (field === "check_id") return JSON.stringify(madeUpId(random));
  if (field.endsWith("_at")) {
    return JSON.stringify(random.next() < 0.3 ? madeUpTime(random) : "2026-03-01T12:00:00.000Z");
  }
  return random.pick(["null", '"tls"', '"ü"']);
}

function madeUpId(random: Random): string {
  const hex = Array.from({ length: 32 }, () => random.between(0, 15).toString(16)).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A JSON document of a metric, or one that looks like it. */
function madeUpDocument(random: Random): string {
  const isWhole = random.next() < 0.4;
  let pairs = FIELDS.filter((_, i) => isWhole || i < 4 || random.next() < 0.7)
    .map((field): [string, string] => [field, fittingValue(random, field)]);
  for (let changes = random.between(0, 3); changes > 0; changes--) {
    const at = random.between(0, pairs.length - 1);
    const change = random.next();
    const value = madeUpValue(random);
    if (isWhole && change < 0.4) continue;
    if (change < 0.5) pairs[at] = [(pairs[at] as [string, string])[0], value];
    else if (change < 0.65) pairs.push([random.pick(FIELDS), value]);
    else if (change < 0.8) pairs.push([random.pick(STRANGE_NAMES), value]);
    else if (change < 0.9) pairs = pairs.filter((_, i) => i !== at || pairs.length === 1);
    else pairs = random.shuffled(pairs);
  }
  const blank = () => random.next() < 0.02 ? random.pick([" ", "\n", "\t\r", "\u00a0", "\u000b"]) : "";
  const inside = pairs.map(([name, value]) =>
    `${blank()}${JSON.stringify(name)}${blank()}:${blank()}${value}${blank()}`
  );
  const document = `{${inside.join(",")}}`;
  const around = random.next();
  if (around < 0.95) return document;
  if (around < 0.98) {
    return random.pick([`[${document}]`, `${document}${document}`, `${document},`, ` ${document}\n`, `"${document}"`]);
  }
  return document.slice(0, -1) +
    `,"padding":"${"x".repeat(MIB - utf8.encode(document).length - 13 + random.between(-1, 1))}"}`;
}

/** Bytes that are no UTF-8, or that may confuse a reader. */
const ODD_BYTES = [
  [0xff],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe2, 0x82],
  [0x00],
  [0xef, 0xbb, 0xbf],
  [0x1f],
];

function changeBytes(random: Random, bytes: Uint8Array): Uint8Array {
  const at = random.between(0, bytes.length);
  const to = Math.min(bytes.length, at + random.between(1, 8));
  const put = (...parts: readonly (Uint8Array | readonly number[])[]) =>
    Uint8Array.from(parts.flatMap((part) => [...part]));
  const change = random.between(0, 6);
  if (change === 0) return bytes.slice(0, at);
  if (change === 1) return put(bytes.slice(0, at), bytes.slice(to));
  if (change === 2) return put(bytes.slice(0, to), bytes.slice(at));
  if (change === 3) return put(bytes.slice(0, at), random.pick(ODD_BYTES), bytes.slice(at));
  if (change === 4) return put([0xef, 0xbb, 0xbf], bytes);
  if (change === 5) return Uint8Array.from(Buffer.from(new TextDecoder().decode(bytes), "utf16le"));
  const flipped = bytes.slice();
  const place = Math.min(at, bytes.length - 1);
  if (place >= 0) flipped[place] = (flipped[place] as number) ^ (1 << random.between(0, 7));
  return flipped;
}

export function madeUpMessage(random: Random): Message {
  const timestamp = random.next() < 0.8 ? 1_790_000_000_000 + random.between(0, 1e9) : random.pick(TIMESTAMPS);
  const key = random.pick([
    null,
    new Uint8Array(),
    utf8.encode("https://a.example"),
    Uint8Array.of(0, 0xff, 0x5c, 0x27),
  ]);
  if (random.next() < 0.01) {
    return { key, value: random.pick([null, new Uint8Array(), new Uint8Array(MIB + 1)]), timestamp };
  }
  const value = utf8.encode(madeUpDocument(random));
  return { key, value: random.next() < 0.15 ? changeBytes(random, value) : value, timestamp };
}

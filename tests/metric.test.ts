import { expect, it, vi } from "vitest";
import { safeParse } from "valibot";
import {
  decodeMetric,
  emptyMetric,
  encodeMetric,
  isRejection,
  type Metric,
  METRIC_FIELDS,
  type MetricOrigin,
  MetricSchema,
} from "../lib/metric.ts";

const RECEIVED = Date.parse("2026-01-02T03:04:05.678Z");
const four = { address: "a.example", status_code: 200, latency: 0.1, is_valid: true };
const bytes = (text: string) => new TextEncoder().encode(text);
const decode = (value: unknown) => decodeMetric(bytes(JSON.stringify(value)), RECEIVED);

const full: Metric = {
  ...four,
  scheduled_at: "2026-01-01T00:00:00.000Z",
  checked_at: "2026-01-01T00:00:00.123Z",
  error: "body",
  error_detail: "it broke off",
  latency_dns: 0.01,
  latency_connect: 0.02,
  latency_tls: 0.03,
  latency_first_byte: 0.04,
  latency_body: 0,
  tls_expires_at: "2027-01-01T00:00:00.000Z",
  location: "north",
  check_id: "0b0e7f3c-2b53-4c2e-9d43-0d6d4e3f0c11",
  up: false,
  remote_address: "2001:db8::1",
  producer: "checker-1",
  next_at: "2026-01-01T00:05:00.000Z",
  labels: { team: "shop", "é": "" },
};

it("decodeMetric reads back what encodeMetric wrote", () => {
  expect(decodeMetric(bytes(encodeMetric(full)), RECEIVED)).toEqual(full);
  expect(Object.keys(full)).toEqual(METRIC_FIELDS);
});

it("decodeMetric takes the four fields of older producers, and the record's time", () => {
  const metric = decode(four) as Metric;
  expect(metric).toMatchObject({ ...four, checked_at: "2026-01-02T03:04:05.678Z", error: null, check_id: null });
  expect(Object.keys(metric).sort()).toEqual([...METRIC_FIELDS].sort());
});

it("decodeMetric ignores fields it does not know", () => {
  expect(decode({ ...four, mood: "fine" })).not.toHaveProperty("mood");
});

it.each([
  [{ checked_at: "2026-01-01T01:00:00+01:00" }, { checked_at: "2026-01-01T00:00:00.000Z" }],
  [{ status_code: null }, { status_code: null }],
  [{ status_code: 0 }, { status_code: 0 }],
  [{ status_code: 999 }, { status_code: 999 }],
  [{ error: null, location: null }, { error: null, location: null }],
])("decodeMetric accepts %j", (fields, expected) => {
  expect(decode({ ...four, ...fields })).toMatchObject(expected);
});

it.each([
  ["a tombstone", null, "the message has no value (a tombstone)"],
  ["nothing", bytes(""), /^the document is not JSON: /],
  ["text", bytes("hello"), /^the document is not JSON: /],
  ["an array", bytes("[1]"), "the document is JSON, but not an object"],
  ["null", bytes("null"), "the document is JSON, but not an object"],
  ["NaN", bytes('{"latency": NaN}'), /^the document is not JSON: /],
  ["invalid UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "the document is not UTF-8"],
  ["5 MB", new Uint8Array(5_000_000), "the document has 5000000 bytes, more than 1048576"],
  ["an endless latency", bytes(JSON.stringify(four).replace("0.1", "1e999")), /^latency: Invalid finite/],
])("decodeMetric refuses %s", (_name, value, reason) => {
  const result = decodeMetric(value, RECEIVED);
  expect(isRejection(result) && result.reason).toEqual(
    typeof reason === "string" ? reason : expect.stringMatching(reason),
  );
});

it.each([
  [{ address: undefined, is_valid: undefined }, /^address: Invalid key.*; is_valid: Invalid key/],
  [{ address: 5 }, "address: Invalid type: Expected string but received 5"],
  [{ address: "a\0b" }, "address: holds U+0000 or a lone surrogate, which PostgreSQL cannot store"],
  [{ error_detail: "\ud800" }, "error_detail: holds U+0000 or a lone surrogate, which PostgreSQL cannot store"],
  [{ status_code: "200" }, 'status_code: Invalid type: Expected number but received "200"'],
  [{ status_code: 1000 }, "status_code: Invalid value: Expected <=999 but received 1000"],
  [{ status_code: -1 }, "status_code: Invalid value: Expected >=0 but received -1"],
  [{ status_code: 200.5 }, "status_code: Invalid integer: Received 200.5"],
  [{ latency: -1 }, "latency: Invalid value: Expected >=0 but received -1"],
  [{ is_valid: "yes" }, 'is_valid: Invalid type: Expected boolean but received "yes"'],
  [{ checked_at: "yesterday" }, "checked_at: is no ISO 8601 time with a zone"],
  [{ checked_at: "2026-13-01T00:00:00Z" }, "checked_at: is no time that exists"],
  [{ check_id: "7" }, "check_id: is no UUID"],
])("decodeMetric refuses %j", (fields, reason) => {
  const result = decode({ ...four, ...fields });
  expect(isRejection(result) && result.reason).toEqual(
    typeof reason === "string" ? reason : expect.stringMatching(reason),
  );
});

// Kafka's "none", and times that `toISOString` writes in a form that PostgreSQL does not read.
it.each([Number.MAX_SAFE_INTEGER, NaN, -1, 253_402_300_800_000, 8.64e15, -62_135_596_800_001])(
  "decodeMetric refuses a metric without checked_at in a record whose time is %d",
  (receivedAt) => {
    expect(decodeMetric(bytes(JSON.stringify(four)), receivedAt)).toEqual({
      reason: "checked_at: is missing, and the record has no time either",
    });
  },
);

it("decodeMetric gives a reason that PostgreSQL can store, whatever the message held", () => {
  const result = decode({ ...four, status_code: "\0\ud800" });
  expect(isRejection(result) && result.reason).toBe(
    'status_code: Invalid type: Expected number but received "\\0\ufffd"',
  );
});

/**
 * Values of every kind. A field takes some of them unchanged, takes others changed, and refuses the
 * rest.
 */
const ODD_VALUES: readonly unknown[] = [
  ...[undefined, null, "", "text", "é😀", "\0", "\ud800", "a\u2028b", '"\\', true, false, {}, [], [1]],
  ...[0, -0, 1, -1, 0.5, 999, 1000, 1e308, 2 ** 53],
  ...["2026-02-28T23:59:59.999Z", "2026-02-29T00:00:00.000Z", "2026-02-31T00:00:00.000Z", "2024-02-29T00:00:00.000Z"],
  ...["2026-01-31T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-00T00:00:00.000Z", "2026-01-01T24:00:00.000Z"],
  ...["2026-01-01T23:60:00.000Z", "2026-01-01T23:00:60.000Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00+01:00"],
  ...["0000-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z\n", "+02026-01-01T00:00:00.000Z"],
  ...[
    "0b0e7f3c-2b53-4c2e-9d43-0d6d4e3f0c11",
    "0B0E7F3C-2B53-4C2E-9D43-0D6D4E3F0C11",
    "0b0e7f3c2b534c2e9d430d6d4e3f0c11",
  ],
];

it.each(METRIC_FIELDS)("decodeMetric makes of %s what MetricSchema makes of it, whatever it holds", (field) => {
  for (const value of ODD_VALUES) {
    const document = JSON.parse(JSON.stringify({ ...full, [field]: value }));
    const decoded = decode(document);
    const parsed = safeParse(MetricSchema, document);
    expect(isRejection(decoded), JSON.stringify(value)).toBe(!parsed.success);
    const isDated = parsed.success && parsed.output.checked_at !== null;
    if (isDated) expect(decoded, JSON.stringify(value)).toEqual(parsed.output);
  }
});

it("decodeMetric reads what our own producer sends without the slow schema, on every day but 29 February", () => {
  const run = vi.spyOn(MetricSchema, "~run");
  const DAY = 86_400_000;
  for (let time = Date.UTC(2024, 0); time < Date.UTC(2025, 0); time += DAY) {
    const at = new Date(time + 123).toISOString();
    const metric = { ...full, scheduled_at: at, checked_at: at, tls_expires_at: at };
    run.mockClear();
    expect(decode(metric)).toEqual(metric);
    expect(run.mock.calls.length > 0, at).toBe(at.startsWith("2024-02-29"));
  }
  run.mockRestore();
});

it("decodeMetric refuses days that there are not, as MetricSchema does", () => {
  for (let month = 0; month <= 13; month++) {
    for (let day = 0; day <= 32; day++) {
      const date = `2023-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
      const document = { ...full, checked_at: `${date}T00:00:00.000Z` };
      const exists = month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(2023, month, 0)).getUTCDate();
      expect(isRejection(decode(document)), date).toBe(!exists);
      expect(safeParse(MetricSchema, document).success, date).toBe(exists);
    }
  }
});

it("in a group a metric has the id of its due time, whoever makes it; else one of its own", () => {
  const scheduledAt = new Date("2026-03-01T12:00:00Z");
  const origin = {
    address: "a.example",
    scheduledAt,
    checkedAt: new Date(),
    nextAt: null,
    location: null,
    producer: "p",
  };
  const idOf = (more: Partial<MetricOrigin> = {}) => emptyMetric({ ...origin, isGrouped: true, ...more }).check_id;
  // Never changes, or a table would have two rows of one due time.
  expect(idOf()).toBe("db729151-c491-54b7-bd55-636d2e754a52");
  expect(idOf({ producer: "q", checkedAt: new Date(0) })).toBe(idOf());
  const others = [{ location: "" }, { address: "b.example" }, { scheduledAt: new Date("2026-03-01T12:00:00.001Z") }];
  expect(new Set([idOf(), ...others.map(idOf)]).size).toBe(4);
  expect(idOf({ isGrouped: false })).not.toBe(idOf({ isGrouped: false }));
});

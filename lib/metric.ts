import * as v from "valibot";

/** Longest document that is read as a metric, in bytes. */
export const MAX_METRIC_BYTES = 1024 * 1024;

/** Why a check got no whole answer, or none at all (contract: the field `error`). */
export const CHECK_ERRORS = [
  "dns",
  "connect",
  "tls",
  "timeout",
  "redirect",
  "protocol",
  "body",
  "missed",
] as const;
export type CheckError = typeof CHECK_ERRORS[number];

/** PostgreSQL's text holds neither U+0000 nor a lone surrogate; postgres.js would silently replace the latter. */
const isStorable = (text: string) => !text.includes("\0") && text.isWellFormed();

const text = v.pipe(
  v.string(),
  v.check(isStorable, "holds U+0000 or a lone surrogate, which PostgreSQL cannot store"),
);
const seconds = v.pipe(v.number(), v.finite(), v.minValue(0));
const instant = v.pipe(
  v.string(),
  v.regex(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/,
    "is no ISO 8601 time with a zone",
  ),
  v.transform((iso) => new Date(iso)),
  v.date("is no time that exists"),
  v.transform((date) => date.toISOString()),
);
const optional = <S extends v.GenericSchema>(schema: S) => v.optional(v.nullable(schema), null);

/**
 * One check of one host: the value of a Kafka message, and a row of the table.
 * Durations are seconds, times ISO 8601 UTC with milliseconds.
 * Only the first four fields are required, so that messages of older producers are read too.
 */
export const MetricSchema = v.object({
  address: text,
  status_code: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999))),
  latency: seconds,
  is_valid: v.boolean(),
  scheduled_at: optional(instant),
  checked_at: optional(instant),
  error: optional(text),
  error_detail: optional(text),
  latency_dns: optional(seconds),
  latency_connect: optional(seconds),
  latency_tls: optional(seconds),
  latency_first_byte: optional(seconds),
  latency_body: optional(seconds),
  tls_expires_at: optional(instant),
  location: optional(text),
  check_id: optional(v.pipe(v.string(), v.uuid("is no UUID"))),
});
export type Metric = v.InferOutput<typeof MetricSchema>;

/** The fields of a metric, in the order of the contract; also the columns of the table. */
export const METRIC_FIELDS = Object.keys(MetricSchema.entries) as (keyof Metric)[];

/** Why a message is no metric, for a person. */
export interface Rejection {
  readonly reason: string;
}

/** True where a message could not be read as a metric. */
export function isRejection(value: Metric | Rejection): value is Rejection {
  return "reason" in value;
}

/** A metric as the JSON document that is sent and printed. */
export function encodeMetric(metric: Metric): string {
  return JSON.stringify(metric);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads one message. Never throws: a message that is no metric comes back as the reason why.
 * `receivedAt` (milliseconds since 1970; the record's timestamp) stands in for a missing `checked_at`.
 */
export function decodeMetric(value: Uint8Array | null, receivedAt: number): Metric | Rejection {
  if (value === null) return { reason: "the message has no value (a tombstone)" };
  if (value.length > MAX_METRIC_BYTES) {
    return { reason: `the document has ${value.length} bytes, more than ${MAX_METRIC_BYTES}` };
  }
  const parsed = parseJson(value);
  if ("reason" in parsed) return parsed;
  const result = v.safeParse(MetricSchema, parsed.json);
  if (!result.success) return { reason: describe(result.issues) };
  const metric = result.output;
  if (metric.checked_at !== null) return metric;
  const received = new Date(receivedAt);
  // A producer may give a record any timestamp, also one that is no time.
  if (Number.isNaN(received.getTime())) return { reason: "checked_at: is missing, and the record has no time either" };
  return { ...metric, checked_at: received.toISOString() };
}

function parseJson(value: Uint8Array): { json: unknown } | Rejection {
  let document;
  try {
    document = utf8.decode(value);
  } catch {
    return { reason: "the document is not UTF-8" };
  }
  let json: unknown;
  try {
    json = JSON.parse(document);
  } catch (error) {
    return { reason: storable(`the document is not JSON: ${(error as SyntaxError).message}`) };
  }
  return json !== null && typeof json === "object" && !Array.isArray(json)
    ? { json }
    : { reason: "the document is JSON, but not an object" };
}

/** Every problem at once, as `field: what is wrong`, cut to what a person reads. */
function describe(issues: readonly v.BaseIssue<unknown>[]): string {
  const problems = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return path === null ? issue.message : `${path}: ${issue.message}`;
  });
  return storable(problems.join("; "));
}

/** A reason may quote what came: what PostgreSQL cannot store, or nobody would read to its end, must not get in that way. */
function storable(reason: string): string {
  return reason.slice(0, 1000).replaceAll("\0", "\\0").toWellFormed();
}

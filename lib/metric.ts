import { createHash, randomUUID } from "node:crypto";
import { isIP } from "node:net";
import * as v from "valibot";
import { isWritable, parseInstant } from "./config/instant.ts";

/** The longest document that is read as a metric, in bytes. */
export const MAX_METRIC_BYTES = 1024 * 1024;

/**
 * Why a check got no whole answer, or none at all (docs/checks.md, "Errors"). `removed` is the last
 * metric of a host that left the hosts file.
 */
export const CHECK_ERRORS = [
  "dns",
  "connect",
  "tls",
  "timeout",
  "redirect",
  "protocol",
  "body",
  "missed",
  "removed",
] as const;
export type CheckError = typeof CHECK_ERRORS[number];

/**
 * PostgreSQL's text holds neither U+0000 nor a lone surrogate. postgres.js would silently replace a
 * lone surrogate.
 */
const isStorable = (text: string) => !text.includes("\0") && text.isWellFormed();

/**
 * How a value of each kind is read. Durations are seconds; times are ISO 8601 UTC with
 * milliseconds.
 */
const KINDS = {
  text: v.pipe(
    v.string(),
    v.check(isStorable, "holds U+0000 or a lone surrogate, which PostgreSQL cannot store"),
  ),
  status: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999)),
  flag: v.boolean(),
  seconds: v.pipe(v.number(), v.finite(), v.minValue(0)),
  instant: v.pipe(
    v.string(),
    v.rawTransform<string, string>(({ dataset, addIssue, NEVER }) => {
      const time = parseInstant(dataset.value);
      if (typeof time === "number") return new Date(time).toISOString();
      addIssue({ message: time });
      return NEVER;
    }),
  ),
  uuid: v.pipe(v.string(), v.uuid("is no UUID")),
  // An address with a zone (fe80::1%eth0) means something on one machine only; PostgreSQL has none.
  ip: v.pipe(v.string(), v.check((text) => isAddress(text), "is no IP address")),
  // A text by each name.
  labels: v.pipe(
    v.custom<Record<string, string>>((value) => isLabels(value), "is no object of texts"),
    v.check(
      (labels) => Object.entries(labels).flat().every(isStorable),
      "holds U+0000 or a lone surrogate, which PostgreSQL cannot store",
    ),
  ),
} as const;
export type FieldKind = keyof typeof KINDS;

/**
 * The fields of a metric in their order (docs/table.md), each with its kind. The type, the schema
 * and the columns of the table come from here.
 */
export const FIELD_KINDS = {
  address: "text",
  status_code: "status",
  latency: "seconds",
  is_valid: "flag",
  scheduled_at: "instant",
  checked_at: "instant",
  error: "text",
  error_detail: "text",
  latency_dns: "seconds",
  latency_connect: "seconds",
  latency_tls: "seconds",
  latency_first_byte: "seconds",
  latency_body: "seconds",
  tls_expires_at: "instant",
  location: "text",
  check_id: "uuid",
  up: "flag",
  remote_address: "ip",
  producer: "text",
  next_at: "instant",
  labels: "labels",
} as const satisfies Readonly<Record<string, FieldKind>>;
type FieldName = keyof typeof FIELD_KINDS;

/** The fields that every message has. Older producers send no others, and are read too. */
const REQUIRED_FIELDS = ["address", "status_code", "latency", "is_valid"] as const satisfies readonly FieldName[];
type RequiredField = typeof REQUIRED_FIELDS[number];

/** These fields always have a value; null in any other stands for no value. */
type Fact = Exclude<RequiredField, "status_code">;
type FieldValue<F extends FieldName> = v.InferOutput<typeof KINDS[typeof FIELD_KINDS[F]]>;

/** One check of one host: the value of a Kafka message, and a row of the table. */
export type Metric = { [F in FieldName]: F extends Fact ? FieldValue<F> : FieldValue<F> | null };

/**
 * The answer that a check got which found its host down (docs/checks.md, "Evidence"). It is no field
 * of a row: it has a table of its own.
 */
export interface Evidence {
  readonly status_line: string;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The beginning of the body; null: it was not read. */
  readonly body: string | null;
}

/** A metric with its evidence, as a producer may send it. */
export type EvidencedMetric = Metric & { readonly evidence: Evidence };

/** The evidence that comes with a metric; null: none does. */
export function evidenceOf(metric: Metric): Evidence | null {
  return (metric as Partial<EvidencedMetric>).evidence ?? null;
}

/** The fields of a metric in their order; also the columns of the table. */
export const METRIC_FIELDS = Object.keys(FIELD_KINDS) as FieldName[];

/** Reads a metric from any JSON object. */
export const MetricSchema = v.object(
  Object.fromEntries(METRIC_FIELDS.map((field) => [field, schemaOf(field)])),
) as unknown as v.GenericSchema<unknown, Metric>;

function schemaOf(field: FieldName): v.GenericSchema {
  const schema = KINDS[FIELD_KINDS[field]];
  if (field === "status_code") return v.nullable(schema);
  return isRequired(field) ? schema : v.optional(v.nullable(schema), null);
}

/** True for a field that every message has. */
export function isRequired(field: keyof Metric): boolean {
  return (REQUIRED_FIELDS as readonly FieldName[]).includes(field);
}

/** Where metrics are made: a place, and a program. */
export interface MetricSource {
  readonly location: string | null;
  readonly producer: string | null;
  /** True in a group: whoever makes the check of a due time, its metric has the same `check_id`. */
  readonly isGrouped?: boolean;
}

/** Whose a metric is, and when its check was due and began. */
export interface MetricOrigin extends MetricSource {
  readonly address: string;
  readonly scheduledAt: Date;
  readonly checkedAt: Date;
  /** When the host is due next; null: never. */
  readonly nextAt: Date | null;
  /** The labels of the host; absent: it has none. */
  readonly labels?: Readonly<Record<string, string>> | null | undefined;
}

/**
 * A new metric without a finding: every other field is null, 0 or false. It has an id of its own or,
 * in a group, that of its due time.
 */
export function emptyMetric(origin: MetricOrigin): Metric {
  const { address, scheduledAt, checkedAt, nextAt, location, producer, isGrouped } = origin;
  return {
    address,
    status_code: null,
    latency: 0,
    is_valid: false,
    scheduled_at: scheduledAt.toISOString(),
    checked_at: checkedAt.toISOString(),
    error: null,
    error_detail: null,
    latency_dns: null,
    latency_connect: null,
    latency_tls: null,
    latency_first_byte: null,
    latency_body: null,
    tls_expires_at: null,
    location,
    check_id: isGrouped === true ? dueTimeId(location, address, scheduledAt) : randomUUID(),
    up: null,
    remote_address: null,
    producer,
    next_at: nextAt?.toISOString() ?? null,
    labels: origin.labels ?? null,
  };
}

/** The namespace of the ids of due times: a UUID that stands for them and for nothing else. */
const DUE_TIMES = Buffer.from("5b1c7d3a4f0e4c52a1d6e9b8037f2c44", "hex");

/** The id of a due time: it is made of place, address and time. */
export function dueTimeId(location: string | null, address: string, scheduledAt: Date): string {
  return idOf(DUE_TIMES, [location, address, scheduledAt.toISOString()]);
}

/** An id that is made of a thing's name: a UUID of version 5 (RFC 9562). */
export function idOf(namespace: Uint8Array, name: readonly (string | null)[]): string {
  const hash = createHash("sha1").update(namespace).update(JSON.stringify(name)).digest();
  hash.writeUInt8(hash.readUInt8(6) & 0x0f | 0x50, 6);
  hash.writeUInt8(hash.readUInt8(8) & 0x3f | 0x80, 8);
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * The rule that says whether a host is up: a whole answer came, its status is below 400, or in one
 * of `statuses` where they are given, and its body is as it should be. Null for a check that was
 * missed, and for a host that was removed.
 */
export function verdictOn(
  { error, status_code, is_valid }: Pick<Metric, "error" | "status_code" | "is_valid">,
  statuses: readonly { readonly from: number; readonly to: number }[] | null = null,
): boolean | null {
  if (error === "missed" || error === "removed") return null;
  // 0 stands for no answer where a column refuses null.
  if (error !== null || status_code === null || status_code <= 0 || !is_valid) return false;
  return statuses === null
    ? status_code < 400
    : statuses.some(({ from, to }) => from <= status_code && status_code <= to);
}

/** Why a message is no metric, for a person. */
export interface Rejection {
  readonly reason: string;
}

/** True where a message could not be read as a metric. */
export function isRejection(value: Metric | Rejection): value is Rejection {
  return "reason" in value;
}

/** Writes a metric as the JSON document that is sent and printed. */
export function encodeMetric(metric: Metric): string {
  return JSON.stringify(metric);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Kafka's value for a record without a time. */
const NO_TIMESTAMP = -1;

/**
 * Reads one message. Never throws: for a message that is no metric it returns the reason.
 * `receivedAt` is the record's timestamp (milliseconds since 1970). It stands in for a missing
 * `checked_at`. `length` is the length of the whole document, where `value` is only its beginning.
 */
export function decodeMetric(
  value: Uint8Array | null,
  receivedAt: number,
  length = value?.length ?? 0,
): Metric | Rejection {
  if (value === null) return { reason: "the message has no value (a tombstone)" };
  if (length > MAX_METRIC_BYTES) return { reason: `the document has ${length} bytes, more than ${MAX_METRIC_BYTES}` };
  const parsed = parseJson(value);
  if ("reason" in parsed) return parsed;
  const metric = withEvidence(readPlain(parsed) ?? readBySchema(parsed), parsed.json["evidence"]);
  if (isRejection(metric) || metric.checked_at !== null) return metric;
  // A producer may give a record any timestamp: no time at all, or a time that PostgreSQL cannot
  // read.
  if (receivedAt === NO_TIMESTAMP || !isWritable(receivedAt)) {
    return { reason: "checked_at: is missing, and the record has no time either" };
  }
  return { ...metric, checked_at: new Date(receivedAt).toISOString() };
}

/** A document that is a JSON object. */
interface JsonObject {
  readonly json: Readonly<Record<string, unknown>>;
  /**
   * True where a text in it may hold anything: JSON writes U+0000 and lone surrogates as escapes
   * only.
   */
  readonly hasEscapes: boolean;
}

function parseJson(value: Uint8Array): JsonObject | Rejection {
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
    ? { json: json as JsonObject["json"], hasEscapes: document.includes("\\u") }
    : { reason: "the document is JSON, but not an object" };
}

function readBySchema({ json }: JsonObject): Metric | Rejection {
  const result = v.safeParse(MetricSchema, json);
  return result.success ? result.output : { reason: describe(result.issues) };
}

/** Characters of evidence that are read. */
const MOST_EVIDENCE = { line: 1000, headers: 100, header: 2000, body: 16_384 } as const;

/** Evidence of another form is left out: the check counts all the same. */
function withEvidence(metric: Metric | Rejection, evidence: unknown): Metric | EvidencedMetric | Rejection {
  if (evidence === undefined || evidence === null || isRejection(metric)) return metric;
  const { status_line, headers, body } = evidence as Readonly<Record<string, unknown>>;
  if (!isText(status_line) || !isLabels(headers) || !(body === null || isText(body))) return metric;
  const texts = Object.entries(headers).slice(0, MOST_EVIDENCE.headers).map(([name, value]) =>
    [kept(name, MOST_EVIDENCE.line), kept(value, MOST_EVIDENCE.header)] as const
  );
  return {
    ...metric,
    evidence: {
      status_line: kept(status_line, MOST_EVIDENCE.line),
      headers: Object.fromEntries(texts),
      body: body === null ? null : kept(body, MOST_EVIDENCE.body),
    },
  };
}

/** The beginning of a text, without what PostgreSQL cannot store. */
function kept(text: string, most: number): string {
  return text.slice(0, most).replaceAll("\0", "\uFFFD").toWellFormed();
}

/** Every day of every year, 29 February left out. */
const PLAIN_DAY = "(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31";
/** A time as `toISOString` writes it, on such a day, in a year that PostgreSQL has. */
const PLAIN_INSTANT = new RegExp(
  String.raw`^(?!0000)\d{4}-(?:${PLAIN_DAY})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$`,
);
const PLAIN_UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Reads a document of our own producer as `MetricSchema` would, at a fraction of the cost. Null for
 * any other document, which the schema then reads. So it refuses nothing, and takes nothing that
 * the schema would refuse or change.
 */
function readPlain({ json, hasEscapes }: JsonObject): Metric | null {
  const { address, status_code, latency, is_valid } = json;
  if (hasEscapes || !isText(address) || !isSeconds(latency) || typeof is_valid !== "boolean") return null;
  if (status_code !== null && !isStatusCode(status_code)) return null;
  let isPlain = true;
  const optional = <T>(value: unknown, fits: (value: unknown) => value is T): T | null => {
    if (fits(value)) return value;
    isPlain &&= value === null || value === undefined;
    return null;
  };
  const metric: Metric = {
    address,
    status_code,
    latency,
    is_valid,
    scheduled_at: optional(json.scheduled_at, isPlainInstant),
    checked_at: optional(json.checked_at, isPlainInstant),
    error: optional(json.error, isText),
    error_detail: optional(json.error_detail, isText),
    latency_dns: optional(json.latency_dns, isSeconds),
    latency_connect: optional(json.latency_connect, isSeconds),
    latency_tls: optional(json.latency_tls, isSeconds),
    latency_first_byte: optional(json.latency_first_byte, isSeconds),
    latency_body: optional(json.latency_body, isSeconds),
    tls_expires_at: optional(json.tls_expires_at, isPlainInstant),
    location: optional(json.location, isText),
    check_id: optional(json.check_id, isPlainUuid),
    up: optional(json.up, isFlag),
    remote_address: optional(json.remote_address, isAddress),
    producer: optional(json.producer, isText),
    next_at: optional(json.next_at, isPlainInstant),
    labels: optional(json.labels, isLabels),
  };
  return isPlain ? metric : null;
}

const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
const isText = (value: unknown): value is string => typeof value === "string";
const isSeconds = (value: unknown): value is number => typeof value === "number" && value >= 0 && value < Infinity;
const isStatusCode = (value: unknown): value is number => isSeconds(value) && Number.isInteger(value) && value <= 999;
const isPlainInstant = (value: unknown): value is string => isText(value) && PLAIN_INSTANT.test(value);
const isPlainUuid = (value: unknown): value is string => isText(value) && PLAIN_UUID.test(value);

function isLabels(value: unknown): value is Record<string, string> {
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.values(value).every(isText);
}

function isAddress(value: unknown): value is string {
  return isText(value) && isIP(value) !== 0 && !value.includes("%");
}

/** Lists every problem at once, as `field: what is wrong`, cut to a length that a person reads. */
function describe(issues: readonly v.BaseIssue<unknown>[]): string {
  const problems = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return path === null ? issue.message : `${path}: ${issue.message}`;
  });
  return storable(problems.join("; "));
}

/**
 * Makes a reason storable, which may quote the message. It keeps nothing that PostgreSQL cannot
 * store, and no more than a person reads.
 */
function storable(reason: string): string {
  return reason.slice(0, 1000).replaceAll("\0", "\\0").toWellFormed();
}

import { addAbortListener } from "node:events";
import { count } from "../config/count.ts";
import { hasScheme } from "../hosts/address.ts";
import type { Host } from "../hosts/hosts.ts";
import type { Pattern } from "../hosts/pattern.ts";
import { emptyMetric, type EvidencedMetric, type Metric, type MetricSource, verdictOn } from "../metric.ts";
import { connect, type ConnectOptions } from "./connect.ts";
import type { Head } from "./answer_parser.ts";
import { evidenceIn, keepPage, type KeptPage } from "./evidence.ts";
import { type Body, exchange, type HttpAnswer, MAX_BODY_BYTES, readBody } from "./exchange.ts";
import { Failure } from "./failure.ts";
import { type Matcher, Unmatched } from "./matching.ts";
import type { Turns } from "./pace.ts";
import { Redaction } from "./redaction.ts";
import { nextRequest, redirectOf } from "./redirect.ts";
import { type Hop, hopTo, requestOf } from "./request.ts";
import { NOT_TLS } from "./secure.ts";
import { type Phase, Timings } from "./timings.ts";
import type { TrustStore } from "./trust.ts";

/** The part of a host that a check needs. It can go to another thread. */
export type CheckedHost = Pick<Host, "address" | "url" | "authorization" | "pattern" | "absent" | "options">;

/** How each check is made. */
export interface CheckOptions extends ConnectOptions, MetricSource {
  /**
   * Seconds for the whole check: DNS, connect, TLS, every redirect, and the body. A host may have an
   * option of its own.
   */
  readonly timeout: number;
  readonly userAgent: string;
  /** Shared by all checks of this thread. */
  readonly trust: TrustStore;
  readonly matcher: Pick<Matcher, "matches">;
  /** Shared by all checks of this thread. */
  readonly turns: Turns;
}

/** The findings of a check so far: it may end at any moment. */
interface Findings {
  readonly timings: Timings;
  status: number | null;
  expiresAt: Date | null;
  /** The address that was connected to last. */
  remoteAddress: string | null;
  failure: Failure | null;
  isValid: boolean;
  /** The head of the last answer. */
  head: Head | null;
}

/**
 * Checks `host` once, on a fresh connection for every hop. When the host is due next, and its
 * labels, the metric does not say: the caller knows. Never throws for the host's behaviour:
 * that is in the metric. The metric is `missed` where this machine lacked something for the check.
 * Rejects only when `signal` aborts, with its reason. The check is given up then. With
 * `wantsEvidence` the metric has it where an answer came and the host is down.
 */
export async function check(
  host: CheckedHost,
  scheduledAt: Date,
  options: CheckOptions,
  signal: AbortSignal,
  wantsEvidence = false,
): Promise<Metric> {
  const checkedAt = new Date();
  const findings: Findings = {
    timings: new Timings(),
    status: null,
    expiresAt: null,
    remoteAddress: null,
    failure: null,
    isValid: false,
    head: null,
  };
  const page = await withDeadline(
    findings.timings,
    timeoutOf(host, options),
    signal,
    (inTime) => visit(host, options, findings, inTime),
  ).catch((reason: unknown) => {
    if (!(reason instanceof Failure)) throw reason;
    return reason;
  });
  // The host is not to blame for the time of matching, nor for the wait before it.
  findings.timings.stop();
  let kept: KeptPage | null = null;
  if (page instanceof Failure) findings.failure = page;
  else {
    // The bytes may be gone after a match.
    if (wantsEvidence) kept = keepPage(page, host);
    await judge(host, page, options, findings, signal);
  }
  const metric = toMetric(host, scheduledAt, checkedAt, options, findings);
  if (!wantsEvidence || metric.up !== false || findings.head === null) return metric;
  const evidenced: EvidencedMetric = { ...metric, evidence: await evidenceIn(findings.head, kept, host) };
  return evidenced;
}

function timeoutOf(host: CheckedHost, { timeout }: CheckOptions): number {
  return host.options?.timeout ?? timeout;
}

/** The most redirects that are followed; the next one is a failure. */
const MAX_REDIRECTS = 10;

/** Follows `host` to its last answer and reads it. */
async function visit(
  host: CheckedHost,
  options: CheckOptions,
  findings: Findings,
  signal: AbortSignal,
): Promise<Body | Failure> {
  const most = host.options?.redirects ?? MAX_REDIRECTS;
  let url = host.url;
  let request = requestOf(host.options);
  for (let redirects = 0;; redirects++) {
    const hop = hopTo(url, request, host, options.userAgent);
    const answer = await fetchHead(url, hop, host, options, findings, signal);
    if (answer instanceof Failure) return redirects === 0 ? withHint(answer, host) : withoutSecrets(answer, host);
    // Where none is followed, the redirect is the answer.
    const target = most === 0 ? null : redirectOf(answer, url);
    if (target === null) return await readBody(answer, options.turns, signal, maxBodyOf(host));
    answer.close();
    if (target instanceof Failure) return withoutSecrets(target, host);
    if (redirects === most) return new Failure("redirect", `more than ${count(most, "redirect")}`);
    const next = nextRequest(request, answer.status, target.origin === host.url.origin);
    if (next instanceof Failure) return next;
    [url, request] = [target, next];
  }
}

/** Bytes of the page that are read, at most. */
function maxBodyOf({ options }: CheckedHost): number {
  return options?.maxBody ?? MAX_BODY_BYTES;
}

/** Explains the `https://` that nobody wrote, where the server does not speak TLS. */
function withHint(failure: Failure, { address }: CheckedHost): Failure {
  if (failure.detail !== NOT_TLS || hasScheme(address)) return failure;
  return new Failure(
    "tls",
    `${NOT_TLS}: https:// is put in front of an address without a scheme, write http://${address}`,
  );
}

/** The failure of a redirect, in whose address a site may send back what it was sent. */
function withoutSecrets(failure: Failure, host: CheckedHost): Failure {
  return new Failure(failure.error, new Redaction(host).of(failure.detail));
}

/** One hop: a fresh connection, one request, the head of the answer. */
async function fetchHead(
  url: URL,
  hop: Hop,
  host: CheckedHost,
  options: CheckOptions,
  findings: Findings,
  signal: AbortSignal,
): Promise<HttpAnswer | Failure> {
  const trust = options.trust.of(host.options?.tls ?? null, url.hostname === host.url.hostname);
  const { outcome, remoteAddress, expiresAt } = await connect(url, options, trust, findings.timings, signal);
  findings.remoteAddress = remoteAddress ?? findings.remoteAddress;
  // Of several certificates on the way, the one that ends the service first.
  if (expiresAt !== null && !(findings.expiresAt !== null && findings.expiresAt < expiresAt)) {
    findings.expiresAt = expiresAt;
  }
  if (outcome instanceof Failure) return outcome;
  const answer = await exchange(outcome, url, hop, findings.timings, options.turns, signal);
  if (answer instanceof Failure) return answer;
  findings.status = answer.status;
  findings.head = answer;
  return answer;
}

/** Matches the last answer's body. */
async function judge(
  host: CheckedHost,
  page: Body,
  options: CheckOptions,
  findings: Findings,
  signal: AbortSignal,
): Promise<void> {
  const { pattern, absent } = host;
  // The bytes may be gone after a match.
  const copy = pattern !== null && absent !== null ? { ...page, bytes: Buffer.from(page.bytes) } : page;
  const isFound = pattern === null || await matchOf(pattern, page, host, options, signal);
  if (isFound instanceof Failure) findings.failure = isFound;
  else if (page.isCut && !isFound) {
    findings.failure = new Failure("body", `no match in the first ${sizeText(maxBodyOf(host))}`);
  } else if (!isFound || absent === null) findings.isValid = isFound;
  else {
    const isPresent = await matchOf(absent, copy, host, options, signal);
    if (isPresent instanceof Failure) findings.failure = isPresent;
    else findings.isValid = !isPresent;
  }
}

async function matchOf(
  pattern: Pattern,
  page: Body,
  host: CheckedHost,
  options: CheckOptions,
  signal: AbortSignal,
): Promise<boolean | Failure> {
  const outcome = await options.matcher.matches(pattern, page, timeoutOf(host, options), signal, host.address);
  if (!(outcome instanceof Unmatched)) return outcome;
  return new Failure(outcome.error, `the body could not be matched: ${outcome.reason}`);
}

/** Bytes, in the largest unit of which there is a whole number. */
function sizeText(bytes: number): string {
  if (bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2} MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} bytes`;
}

/**
 * Does `work` with a signal of its own. It aborts after `timeout` seconds, with a Failure for its
 * reason, or together with `signal`.
 */
async function withDeadline<T>(
  timings: Timings,
  timeout: number,
  signal: AbortSignal,
  work: (inTime: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const deadline = new AbortController();
  const expire = () => {
    timings.stop();
    deadline.abort(new Failure("timeout", WHEN_LATE[timings.phase].replace("#", String(timeout))));
  };
  const timer = setTimeout(expire, timeout * 1000);
  using _listening = addAbortListener(signal, () => deadline.abort(signal.reason));
  try {
    return await work(deadline.signal);
  } finally {
    clearTimeout(timer);
  }
}

const WHEN_LATE: Readonly<Record<Phase, string>> = {
  dns: "no answer within # s (while resolving the name)",
  connect: "no answer within # s (while connecting)",
  tls: "no answer within # s (during the TLS handshake)",
  first_byte: "no answer within # s (while waiting for the first byte)",
  body: "no whole answer within # s (while reading it)",
};

function toMetric(
  { address, options: hostOptions }: CheckedHost,
  scheduledAt: Date,
  checkedAt: Date,
  { location, producer, isGrouped = false }: CheckOptions,
  { timings, status, expiresAt, remoteAddress, failure, isValid }: Findings,
): Metric {
  const metric = {
    ...emptyMetric({ address, scheduledAt, checkedAt, nextAt: null, location, producer, isGrouped }),
    remote_address: remoteAddress,
    is_valid: failure === null && isValid,
    error: failure?.error ?? null,
    error_detail: failure === null ? null : oneLine(failure.detail),
  };
  // A check that ended early, because this machine lacked something, found out nothing
  // (docs/checks.md, "Errors").
  if (failure?.error === "missed") return metric;
  const { total, phases } = timings.laps();
  return {
    ...metric,
    up: verdictOn({ ...metric, status_code: status }, hostOptions?.status),
    status_code: status,
    latency: total,
    latency_dns: phases.dns,
    latency_connect: phases.connect,
    latency_tls: phases.tls,
    latency_first_byte: phases.first_byte,
    latency_body: phases.body,
    tls_expires_at: expiresAt?.toISOString() ?? null,
  };
}

/**
 * Makes a detail storable, which may quote the server, such as the names of a certificate. It
 * becomes one line of a readable length, without a character that PostgreSQL refuses.
 */
function oneLine(detail: string): string {
  // deno-lint-ignore no-control-regex -- those are what has to go
  return detail.replaceAll(/[\0-\x1f\x7f-\x9f\u2028\u2029]+/g, " ").slice(0, 300).toWellFormed();
}

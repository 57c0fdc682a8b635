import { createHash } from "node:crypto";

/** Kinds of targets to which a message goes by one HTTP request. */
const HTTP_KINDS = ["slack", "teams", "ntfy", "alertmanager"] as const;

/** Where outages are told. */
export interface NotifyTarget {
  readonly kind: "webhook" | "pagerduty" | typeof HTTP_KINDS[number];
  /** Tells it from the others, in the log and in the database. It holds no secret. */
  readonly name: string;
  readonly url: string;
  /** The value of the header `Authorization`; null: there is none. */
  readonly authorization: string | null;
  /** The integration key of PagerDuty; null elsewhere. */
  readonly key: string | null;
}

/** A target, or why a text is none. The problem quotes nothing of the text, which holds secrets. */
type TargetResult = { readonly target: NotifyTarget } | { readonly problem: string };

/** The targets of a setting, and its problems, each with the target's number. */
export interface NotifyTargets {
  readonly targets: readonly NotifyTarget[];
  readonly problems: readonly string[];
}

/** Reads targets: split by blanks or, of a file, one a line, where `#` begins a comment line. */
export function parseTargets(text: string, isFile: boolean): NotifyTargets {
  const lines = isFile
    ? text.split(/\r?\n/).map((line) => line.trim()).filter((line) => !line.startsWith("#"))
    : [text];
  const results = lines.flatMap((line) => line.split(/\s+/)).filter((word) => word !== "").map(parseTarget);
  const targets = results.flatMap((result) => "target" in result ? [result.target] : []);
  const names = results.map((result) => "target" in result ? result.target.name : null);
  const problems = results.flatMap((result, i) => {
    const same = names.indexOf(names[i] ?? null);
    if ("problem" in result) return [`target ${i + 1}: ${result.problem}`];
    return same < i ? [`target ${i + 1}: it is the same as target ${same + 1}: leave out one of them`] : [];
  });
  return { targets, problems };
}

const KNOWN = "http:, https:, slack+https:, teams+https:, ntfy+https:, alertmanager+http: or pagerduty:";
const PAGERDUTY = "https://events.pagerduty.com/v2/enqueue";

function parseTarget(text: string): TargetResult {
  const [, scheme = "", rest = ""] = /^([a-z]+(?:\+https?)?):(.*)$/i.exec(text) ?? [];
  const [kind = "", inner] = scheme.toLowerCase().split("+");
  if (inner === undefined && kind === "pagerduty") return pagerDuty(text, PAGERDUTY, rest);
  if (inner === undefined && (kind === "http" || kind === "https")) return http(text, "webhook", text);
  const url = `${inner}:${rest}`;
  if (inner !== undefined && kind === "pagerduty") return pagerDuty(text, url, null);
  const known = HTTP_KINDS.find((name) => name === kind);
  if (inner === undefined || known === undefined) return { problem: `write a URL that begins with ${KNOWN}` };
  return http(text, known, url);
}

function http(text: string, kind: NotifyTarget["kind"], written: string): TargetResult {
  const url = urlOf(written);
  if (url === null) return { problem: "write a whole URL, such as https://hooks.example/path" };
  const [user, password] = [decoded(url.username), decoded(url.password)];
  url.username = url.password = "";
  if (kind === "alertmanager") url.pathname = url.pathname.replace(/\/?$/, "/api/v2/alerts");
  const authorization = user !== ""
    ? `Basic ${base64(`${user}:${password}`)}`
    : password !== ""
    ? `Bearer ${password}`
    : null;
  return { target: { kind, name: nameOf(kind, url, text), url: url.href, authorization, key: null } };
}

/** `pagerduty:KEY`, or with another endpoint `pagerduty+https://KEY@host/v2/enqueue`. */
function pagerDuty(text: string, endpoint: string, given: string | null): TargetResult {
  const url = urlOf(endpoint);
  const key = given ?? decoded(url?.username ?? "");
  if (url === null || !/^\w{8,64}$/.test(key)) return { problem: "write pagerduty: and the integration key behind it" };
  url.username = url.password = "";
  return {
    target: { kind: "pagerduty", name: nameOf("pagerduty", url, text), url: url.href, authorization: null, key },
  };
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

function urlOf(text: string): URL | null {
  // Of other schemes than HTTP's a URL without slashes has no host.
  return /^[a-z]+:\/\/[^/]/i.test(text) && URL.canParse(text) ? new URL(text) : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Kind and host, with a short sum of the whole: two targets may differ in their secrets alone. */
function nameOf(kind: string, { host }: URL, text: string): string {
  return `${kind} ${host} #${createHash("sha256").update(text).digest("hex").slice(0, 6)}`;
}

import { createHash } from "node:crypto";

/** Kinds of targets to which a message goes by one HTTP request. */
const HTTP_KINDS = ["slack", "teams", "ntfy", "alertmanager"] as const;

interface Named {
  /** Tells it from the others, in the log and in the database. It holds no secret. */
  readonly name: string;
}

/** A target that is told over HTTP. */
export interface HttpTarget extends Named {
  readonly kind: "webhook" | "pagerduty" | typeof HTTP_KINDS[number];
  readonly url: string;
  /** The value of the header `Authorization`; null: there is none. */
  readonly authorization: string | null;
  /** The integration key of PagerDuty; null elsewhere. */
  readonly key: string | null;
}

/** Somebody who is told by mail. */
export interface MailTarget extends Named {
  readonly kind: "smtp";
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte on. Else it begins by STARTTLS. */
  readonly isTls: boolean;
  /** Null: the server wants no login. */
  readonly login: { readonly user: string; readonly password: string } | null;
  readonly to: string;
  readonly from: string;
}

/** Where outages are told. */
export type NotifyTarget = HttpTarget | MailTarget;

/** Targets, or why a text is none. The problem quotes nothing of the text, which holds secrets. */
type TargetResult = { readonly targets: readonly NotifyTarget[] } | { readonly problem: string };

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
  const targets = new Map<string, { readonly target: NotifyTarget; readonly number: number }>();
  const problems: string[] = [];
  for (const [i, result] of results.entries()) {
    if ("problem" in result) problems.push(`target ${i + 1}: ${result.problem}`);
    else {
      for (const target of result.targets) {
        const same = targets.get(target.name);
        if (same === undefined) targets.set(target.name, { target, number: i + 1 });
        else problems.push(`target ${i + 1}: it is the same as target ${same.number}: leave out one of them`);
      }
    }
  }
  return { targets: [...targets.values()].map(({ target }) => target), problems };
}

const KNOWN = "http:, https:, slack+https:, teams+https:, ntfy+https:, alertmanager+http:, pagerduty:, smtp: or smtps:";
const PAGERDUTY = "https://events.pagerduty.com/v2/enqueue";

function parseTarget(text: string): TargetResult {
  const [, scheme = "", rest = ""] = /^([a-z]+(?:\+https?)?):(.*)$/i.exec(text) ?? [];
  const [kind = "", inner] = scheme.toLowerCase().split("+");
  if (inner === undefined && kind === "pagerduty") return pagerDuty(text, PAGERDUTY, rest);
  if (inner === undefined && (kind === "smtp" || kind === "smtps")) return mail(text);
  if (inner === undefined && (kind === "http" || kind === "https")) return http(text, "webhook", text);
  const url = `${inner}:${rest}`;
  if (inner !== undefined && kind === "pagerduty") return pagerDuty(text, url, null);
  const known = HTTP_KINDS.find((name) => name === kind);
  if (inner === undefined || known === undefined) return { problem: `write a URL that begins with ${KNOWN}` };
  return http(text, known, url);
}

function http(text: string, kind: HttpTarget["kind"], written: string): TargetResult {
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
  return { targets: [{ kind, name: nameOf(kind, url, text), url: url.href, authorization, key: null }] };
}

/** `pagerduty:KEY`, or with another endpoint `pagerduty+https://KEY@host/v2/enqueue`. */
function pagerDuty(text: string, endpoint: string, given: string | null): TargetResult {
  const url = urlOf(endpoint);
  const key = given ?? decoded(url?.username ?? "");
  if (url === null || !/^\w{8,64}$/.test(key)) return { problem: "write pagerduty: and the integration key behind it" };
  url.username = url.password = "";
  return {
    targets: [{ kind: "pagerduty", name: nameOf("pagerduty", url, text), url: url.href, authorization: null, key }],
  };
}

/** Each recipient is a target: one that is refused holds up no other. */
function mail(text: string): TargetResult {
  const url = urlOf(text);
  const lists = url?.searchParams.getAll("to") ?? [];
  const to = [...new Set(lists.flatMap((list) => list.split(",")).filter((address) => address !== ""))];
  if (url === null || url.hostname === "" || to.length === 0 || !to.every(isMailAddress)) {
    const where = "smtp://host:587?to=somebody@example.org";
    return { problem: `write ${where}, with user:password@ in front of the host if it wants that` };
  }
  const odd = [...url.searchParams.keys()].filter((key) => key !== "to" && key !== "from");
  if (odd.length > 0) return { problem: "behind ? write to= and from= only" };
  const [user, password] = [decoded(url.username), decoded(url.password)];
  const from = url.searchParams.get("from") ?? (isMailAddress(user) ? user : to[0] ?? "");
  if (!isMailAddress(from)) return { problem: "write a mail address behind from=" };
  const isTls = url.protocol === "smtps:";
  const server = {
    host: url.hostname.replaceAll(/^\[|\]$/g, ""),
    port: url.port === "" ? (isTls ? 465 : 587) : Number(url.port),
    isTls,
    login: user === "" ? null : { user, password },
    from,
  };
  return {
    targets: to.map((each) => ({
      kind: "smtp",
      name: nameOf("smtp", url, [url.protocol, url.host, user, each].join(" ")),
      to: each,
      ...server,
    })),
  };
}

const isMailAddress = (text: string) => /^[^\s@<>,"]+@[^\s@<>,"]+$/.test(text);
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

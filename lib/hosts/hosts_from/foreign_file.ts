/** A text that a check sends. */
export type ForeignText =
  /** As the file of the other program has it. It may be a secret. */
  | { readonly text: string }
  /** Of which the file has what nobody may see. */
  | ForeignSecret
  /** That stands in a file of its own. */
  | { readonly before: string; readonly file: string };

/** A secret, which a variable will hold. */
export interface ForeignSecret {
  /** What comes before it, such as `Bearer `. */
  readonly before: string;
  /** What the variable must hold, for a person. */
  readonly what: string;
  /** Secrets with one key are one: they share a variable. */
  readonly key: string;
  /** The variable's name behind HOSTS_; null: it is made of the host's name. */
  readonly variable: string | null;
}

/** The certificates of a check: paths, or what has to be put there. */
export interface ForeignTls {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly name: string | null;
  readonly isVerified: boolean;
}

/** A host of another program's file, as far as a hosts file has words for it. */
export interface ForeignHost {
  /** What people call it. */
  readonly name: string;
  readonly url: string;
  /** Milliseconds. */
  readonly interval: number;
  readonly isPaused: boolean;
  readonly regex: string | null;
  readonly absent: string | null;
  readonly method: string | null;
  readonly headers: readonly (readonly [name: string, value: ForeignText])[];
  readonly body: ForeignText | null;
  /** The value of the option `status`. */
  readonly status: string | null;
  /** Seconds. */
  readonly timeout: number | null;
  readonly redirects: number | null;
  /** Bytes. */
  readonly maxBody: number | null;
  readonly tls: ForeignTls | null;
  readonly labels: readonly (readonly [name: string, value: string])[];
  /** What the file says of it beside that, and no option can. */
  readonly lacks: readonly string[];
}

/** What a file of another program says. */
export interface ForeignFile {
  /** The other program. */
  readonly program: string;
  readonly hosts: readonly ForeignHost[];
  /** What is no web site, and what has no counterpart for all hosts together. One line each. */
  readonly remarks: readonly string[];
}

/** A host of which nothing is said but its name, address and interval. */
export function plainHost(name: string, url: string, interval: number): ForeignHost {
  const none = null;
  return {
    ...{ name, url, interval, isPaused: false, regex: none, absent: none, method: none, headers: [], body: none },
    ...{ status: none, timeout: none, redirects: none, maxBody: none, tls: none, labels: [], lacks: [] },
  };
}

/** TLS as it is where nothing is said. */
export const USUAL_TLS: ForeignTls = { ca: null, cert: null, key: null, name: null, isVerified: true };

/**
 * The value of the header Authorization for a user and a password (RFC 7617). `where` tells a person
 * where these stand.
 */
export function basicLogin(where: string, key: string): ForeignSecret {
  return {
    before: "Basic ",
    what: `user and password ${where}: printf %s 'USER:PASSWORD' | base64 -w0 writes them as they are sent`,
    key,
    variable: null,
  };
}

/** Milliseconds of a time as Go and Prometheus write it (`1m30s`, `2d`); null where it is none. */
export function durationOf(text: string): number | null {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhdwy]))+$/.test(text)) return text === "0" ? 0 : null;
  const parts = [...text.matchAll(/([\d.]+)(ns|us|µs|ms|[smhdwy])/g)];
  return parts.reduce((sum, [, number, unit = ""]) => sum + Number(number) * (UNITS[unit] as number), 0);
}

const DAY = 86_400_000;
const UNITS: Readonly<Record<string, number>> = {
  ...{ ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 },
  ...{ d: DAY, w: 7 * DAY, y: 365 * DAY },
};

/** True for a path that an option can name: one without blanks at its ends, and no part of a reference. */
export function isPath(text: string): boolean {
  return /^(?! )[^{}$\p{Cc}\p{Cs}\uFFFD]+(?<! )$/u.test(text);
}

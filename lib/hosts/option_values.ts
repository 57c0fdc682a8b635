import { isIP } from "node:net";
import { nearestWord } from "../config/nearest_word.ts";
import { type HostHeader, METHODS, type StatusRange } from "./host_options.ts";
import { nameFault } from "./host_name.ts";
import { type References, resolveReferences } from "./references.ts";

// The values of options, from their text. Each function throws an error whose message says what to
// write instead. It quotes nothing that may be a secret.

/** Bytes of a page that may be read, at most: an answer has no more than 8 MiB on its way. */
export const MOST_BODY = 4 * 1024 * 1024;
/** Seconds. */
const SHORTEST_TIMEOUT = 0.001;
export const LONGEST_TIMEOUT = 3600;
export const MOST_REDIRECTS = 50;

export function readMethod(text: string): string {
  const capitals = text.toUpperCase();
  if ((METHODS as readonly string[]).includes(text)) return text;
  const near = (METHODS as readonly string[]).includes(capitals) ? capitals : nearestWord(capitals, METHODS);
  throw new SyntaxError(
    `"${text}" is no method that a check sends: write ${
      near ?? `${METHODS.slice(0, -1).join(", ")} or ${METHODS.at(-1)}`
    }`,
  );
}

/** Numbers and ranges, with blanks between them. */
export function readStatus(text: string): readonly StatusRange[] {
  return text.split(/[ \t]+/).map((part) => {
    const [, from, to = from] = /^([2-9]\d\d)(?:-([2-9]\d\d))?$/.exec(part) ?? [];
    if (from === undefined) throw new SyntaxError(`"${part}" is no status: ${statusAdvice(part)}`);
    if (Number(from) > Number(to)) throw new RangeError(`"${part}" is a range from more to less: write ${to}-${from}`);
    return { from: Number(from), to: Number(to) };
  });
}

function statusAdvice(part: string): string {
  const [, hundreds] = /^([2-9])xx$/i.exec(part) ?? [];
  if (hundreds !== undefined) return `write ${hundreds}00-${hundreds}99`;
  if (part.includes(",")) return `write blanks instead of commas (${part.split(",").filter(Boolean).join(" ")})`;
  return "write numbers from 200 to 999 and ranges, such as 200-299 401";
}

const UNITS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** Seconds. */
export function readTimeout(text: string): number {
  const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  if (number === undefined) {
    throw new SyntaxError(`"${text}" is no time: write seconds, or a number with a unit (5s, 500ms)`);
  }
  const seconds = Number((Number(number) * (UNITS[unit] as number)).toFixed(6));
  if (seconds >= SHORTEST_TIMEOUT && seconds <= LONGEST_TIMEOUT) return seconds;
  throw new RangeError(
    `"${text}" is no time for a check: write from ${SHORTEST_TIMEOUT} to ${LONGEST_TIMEOUT} seconds`,
  );
}

export function readRedirects(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= MOST_REDIRECTS) return Number(text);
  throw new SyntaxError(
    `"${text}" is no number of redirects: write 0, which makes the redirect the answer, to ${MOST_REDIRECTS}`,
  );
}

const SIZES: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 * 1024 };

/** Bytes. */
export function readMaxBody(text: string): number {
  const [, number, unit = ""] = /^(\d{1,9})(?:([km])(?:i?b)?)?$/i.exec(text) ?? [];
  const bytes = Number(number) * (SIZES[unit.toLowerCase()] as number);
  if (bytes >= 1 && bytes <= MOST_BODY) return bytes;
  const what = Number.isNaN(bytes) ? "is no size" : "is more or less than is read of a page";
  throw new RangeError(
    `"${text}" ${what}: write bytes, or a number with a unit (64KiB), up to ${MOST_BODY / 1024 / 1024}MiB`,
  );
}

/** A host's name in lower case, as TLS has it. */
export function readTlsName(text: string): string {
  const name = URL.parse(`https://${text}`)?.hostname ?? "";
  const isName = /^[^/?#@:\s]+$/.test(text) && nameFault(name) === null && name !== "" && isIP(name) === 0;
  if (isName) return name;
  throw new SyntaxError(`"${text}" is no name of a host: write one such as www.example.com`);
}

export function readOnOff(text: string): boolean {
  if (text === "on" || text === "off") return text === "on";
  throw new SyntaxError(`"${text}" is neither on nor off: write off to take any certificate`);
}

/** Characters of a label's value. */
export const LONGEST_LABEL = 253;

/** `NAME=VALUE`. */
export function readLabel(text: string): readonly [name: string, value: string] {
  const [, name, value = ""] = /^([A-Za-z_][\w.-]{0,62})[ \t]*=[ \t]*(.+)$/s.exec(text) ?? [];
  if (name === undefined) {
    throw new SyntaxError(
      "this is no label: write NAME=VALUE, such as team=shop; NAME has letters, digits, dots and dashes",
    );
  }
  if (/\p{Cc}/u.test(value)) throw new SyntaxError(`the label ${name} holds a control character: leave it out`);
  if (value.length <= LONGEST_LABEL) return [name, value];
  throw new RangeError(`the label ${name} has ${value.length} characters, and ${LONGEST_LABEL} are the most`);
}

/** The name of a header (RFC 9110, section 5.6.2). */
const HEADER_NAME = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/.source;
const WHOLE_NAME = new RegExp(`^${HEADER_NAME}$`);
const HEADER = new RegExp(`^(${HEADER_NAME}):[ \\t]*(.*)$`, "s");
const CONNECTION = "each check has a connection of its own and closes it: leave it out";
const LENGTH = "it comes with | body: leave it out";
/** Headers that a check sends by itself, or cannot send, and what does it. */
const REFUSED: Readonly<Record<string, string>> = {
  "host": "DOMAIN names the host: write it there",
  "content-length": LENGTH,
  "transfer-encoding": LENGTH,
  "trailer": LENGTH,
  "expect": "| body is sent at once: leave it out",
  "connection": CONNECTION,
  "keep-alive": CONNECTION,
  "proxy-connection": CONNECTION,
  "upgrade": CONNECTION,
  "http2-settings": CONNECTION,
  "te": CONNECTION,
};
/** Headers that hold no secret. */
const OPEN: readonly string[] = [
  ...["accept", "accept-encoding", "accept-language", "cache-control", "content-type", "content-language", "depth"],
  ...["origin", "pragma", "range", "user-agent", "x-requested-with"],
];

/** True for a text that can be the name of a header. */
export function isHeaderName(text: string): boolean {
  return WHOLE_NAME.test(text);
}

/** True for a header whose value may be shown to a person: it is no secret. */
export function isOpenHeader(name: string): boolean {
  return OPEN.includes(name.toLowerCase());
}

// deno-lint-ignore no-control-regex -- those are what a header may not hold
const UNSENDABLE = /[\0-\x08\x0a-\x1f\x7f]/;

/** A header field, `NAME: VALUE`. */
export function readHeader(text: string, references: References): HostHeader {
  const [, name, written = ""] = HEADER.exec(text) ?? [];
  if (name === undefined) {
    throw new SyntaxError("this is no header: write NAME: VALUE, such as Accept: text/html, without a blank in NAME");
  }
  const why = REFUSED[name.toLowerCase()];
  if (why !== undefined) throw new SyntaxError(`the header ${name} is not sent, ${why}`);
  const { text: value, isLiteral } = resolveReferences(written, references);
  if (UNSENDABLE.test(value)) {
    throw new SyntaxError(`the value of ${name} holds a line end or control character: write one line of plain text`);
  }
  return { name, value, isOpen: isLiteral && isOpenHeader(name), isLiteral };
}

import { shortened } from "../config/terminal.ts";
import type { Host } from "../hosts/hosts.ts";
import type { Evidence } from "../metric.ts";
import type { Head } from "./answer_parser.ts";
import type { Body } from "./exchange.ts";
import { textOf } from "./matching/text.ts";
import { longestSecret, Redaction } from "./redaction.ts";

/** The part of a host that holds secrets. */
type SecretHost = Pick<Host, "authorization" | "options">;

/** The beginning of a page, in memory of its own. */
export interface KeptPage {
  readonly bytes: Uint8Array;
  /** True where the page goes on behind these bytes, or was not read further. */
  readonly isCut: boolean;
  readonly contentType: string | null;
}

/** Bytes of a body that are kept. */
const MOST_BODY = 2048;
/** Characters of the status line, of a header's value, and of all headers. */
const MOST_LINE = 200;
const MOST_VALUE = 500;
const MOST_HEADERS = 4096;

/** Headers that log somebody in, and those that may. */
const SECRET = /cookie|authorization|authentication-info|token|secret|passw|credential|session|api-?key|signature/i;
/** Headers with addresses, whose query may hold a secret. */
const ADDRESSES: readonly string[] = ["location", "content-location", "refresh", "link", "referer"];

/**
 * Keeps so much of a page that its beginning can be told, with no secret in it. A secret that begins
 * within must be seen whole.
 */
export function keepPage({ bytes, isCut, contentType }: Body, host: SecretHost): KeptPage {
  const most = MOST_BODY + longestSecret(host);
  return { bytes: new Uint8Array(bytes.subarray(0, most)), isCut: isCut || bytes.length > most, contentType };
}

/** What came back, without cookies, credentials, and the secrets that the host's options sent. */
export async function evidenceIn(
  { line, fields }: Pick<Head, "line" | "fields">,
  page: KeptPage | null,
  host: SecretHost,
): Promise<Evidence> {
  const redaction = new Redaction(host);
  const headers: Record<string, string> = {};
  let left = MOST_HEADERS;
  for (const [name, values] of fields.entries()) {
    if (SECRET.test(name)) continue;
    const all = readable(values.join(", "));
    const value = shown(redaction.of(ADDRESSES.includes(name) ? bare(all) : all));
    const text = shortened(value, MOST_VALUE);
    left -= name.length + text.length;
    if (left < 0) break;
    headers[shown(redaction.of(name))] = text;
  }
  return {
    status_line: shortened(shown(redaction.of(readable(line))), MOST_LINE),
    headers,
    body: page === null ? null : await bodyText(page, redaction),
  };
}

/** An address without its query, its fragment and its login. */
function bare(address: string): string {
  return address.replace(/\/\/[^/\s?#]*@/g, "//").replace(/[?#][^\s,;>"]*/g, "?…");
}

async function bodyText({ bytes, isCut, contentType }: KeptPage, redaction: Redaction): Promise<string | null> {
  const decoded = await textOf(bytes, contentType);
  if (typeof decoded !== "string") return null;
  // What is cut may end within a character.
  const text = isCut ? decoded.replace(/\uFFFD+$/, "") : decoded;
  const known = shown(isCut ? redaction.ofBeginning(text) : redaction.of(text));
  return new TextDecoder().decode(Buffer.from(known).subarray(0, MOST_BODY)).replace(/\uFFFD$/, "");
}

/** Header values are bytes, which nearly all servers mean as UTF-8. */
function readable(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}

/** A text that can be stored and shown: without control characters but for tabs and line ends. */
function shown(text: string): string {
  // deno-lint-ignore no-control-regex -- those are what has to go
  return text.replaceAll(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, "\uFFFD").toWellFormed();
}

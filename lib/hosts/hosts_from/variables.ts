import type { ForeignSecret, ForeignText } from "./foreign_file.ts";

/** Headers that hold no secret go as they are; of others, what kind of a login they bring. */
const SCHEME = /^((?:Bearer|Basic|Digest|Token|ApiKey|Negotiate)[ ]+)(\S.*)$/is;
/** What a body without a secret hardly has. */
const SUSPICIOUS = new RegExp(
  [
    "pass|pwd|secret|token|key|auth|log.?in|user|account|sign|session|cookie|cred|cert|otp|pin\\b|@",
    "(?=[A-Za-z+/_-]*\\d)(?=[\\d+/_-]*[A-Za-z])[A-Za-z\\d+/_-]{16}",
    "\\d{12}",
  ].join("|"),
  "i",
);
const LONGEST_NAME = 60;
const LONGEST_BODY = 1000;

/** The variables that stand for secrets in a hosts file, and what each must hold. */
export class Variables {
  readonly #names = new Map<string, string>();
  readonly #needed = new Map<string, string>();

  /** The names, each with what it must hold, for a person. */
  get needed(): ReadonlyMap<string, string> {
    return this.#needed;
  }

  /** The value of a header, as an option has it. */
  header(name: string, value: ForeignText, host: string, isOpen: boolean): string {
    if (!("text" in value)) return this.#referTo(value, host, name);
    if (isOpen) return literal(value.text);
    const [, before = "", secret = value.text] = SCHEME.exec(value.text) ?? [];
    const behind = before === "" ? "" : `, without ${before.trim()} in front`;
    const what = `the value of the header ${name} of ${JSON.stringify(host)}${behind}`;
    return this.#referTo({ before, what, key: `header ${secret}`, variable: null }, host, name);
  }

  /** A body, as an option has it. */
  body(body: ForeignText, host: string): string {
    if (!("text" in body)) return this.#referTo(body, host, "BODY");
    const text = oneLineOf(body.text);
    if (!/[\r\n]/.test(text) && text === text.trim() && text.length <= LONGEST_BODY && !SUSPICIOUS.test(text)) {
      return literal(text);
    }
    const what = `the body that is sent to ${JSON.stringify(host)}`;
    return this.#referTo({ before: "", what, key: `body ${text}`, variable: null }, host, "BODY");
  }

  #referTo(value: ForeignSecret | { before: string; file: string }, host: string, part: string): string {
    if ("file" in value) return `${literal(value.before)}\${file:${value.file}}`;
    return `${literal(value.before)}\${${this.#nameOf(value, host, part)}}`;
  }

  #nameOf({ key, variable, what }: ForeignSecret, host: string, part: string): string {
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const wanted = `HOSTS_${variable ?? [host, part].map(capitals).filter((word) => word !== "").join("_")}`;
    let name = wanted;
    for (let number = 2; this.#needed.has(name); number++) name = `${wanted}_${number}`;
    this.#names.set(key, name);
    this.#needed.set(name, what);
    return name;
  }
}

/** JSON on several lines is put on one: its texts hold no line end. */
function oneLineOf(text: string): string {
  const trimmed = text.trim();
  if (!/[\r\n]/.test(trimmed)) return text;
  try {
    JSON.parse(trimmed);
    return trimmed.replaceAll(/\s*[\r\n]\s*/g, " ");
  } catch {
    return text;
  }
}

/** A text in which nothing is a reference. */
function literal(text: string): string {
  return text.replaceAll("${", () => "$${");
}

function capitals(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9]+/g, "_").slice(0, LONGEST_NAME).replace(/^_+|_+$/g, "");
}

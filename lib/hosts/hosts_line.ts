import { openSecret, pageOf, readDomain, type Target } from "./address.ts";
import { frequencyField, frequencyReader } from "./frequency.ts";
import type { Host } from "./hosts.ts";
import { type Pattern, patternReader } from "./pattern.ts";
import { patternDoubt } from "./pattern_doubts.ts";
import type { Frequency } from "./schedule.ts";

/** The longest line that is read, in bytes. */
const LONGEST_LINE = 64 * 1024;
/** The longest message about a line, in characters. */
const LONGEST_MESSAGE = 2000;

const BROKEN = /[\0\uFFFD]/;

/** Notes about lines: a `HostsFile` in the making. */
interface LineNotes {
  readonly problems: string[];
  readonly warnings: string[];
}

/** Reads the lines of one hosts file, one after the other. Notes what is wrong with them. */
export class LineReader {
  readonly #fileName: string;
  readonly #notes: LineNotes;
  readonly #readFrequency: (text: string) => Frequency;
  readonly #readPattern = patternReader();
  /** The line of each address. */
  readonly #lineOf = new Map<string, number>();
  /** The last fragment that was proposed for each page, as a number. */
  readonly #checksOf = new Map<string, number>();

  /** `timeZone` is that of cron expressions. */
  constructor(fileName: string, timeZone: string, notes: LineNotes) {
    this.#fileName = fileName;
    this.#notes = notes;
    this.#readFrequency = frequencyReader(timeZone);
  }

  /** The host of a line; null where the line is blank, a comment, or wrong. */
  read(text: string, number: number): Host | null {
    const line = new HostsLine(text, number, this.#fileName, this.#notes);
    if (line.isSkipped) return null;
    if (line.isTooLong) line.reportLength();
    else if (line.isBroken) line.reportBroken();
    else return this.#readHost(line);
    return null;
  }

  #readHost(line: HostsLine): Host | null {
    const target = line.attempt(() => readDomain(line.take()));
    if (target !== undefined) this.#noteAddress(line, target.address);
    const frequency = line.attempt(() => this.#readFrequency(line.take(frequencyField)));
    // Where the FREQUENCY is wrong, nobody knows where the REGEX begins.
    if (frequency === undefined) return null;
    const pattern = line.attempt(() => this.#readRegex(line));
    if (target === undefined || pattern === undefined) return null;
    return new ParsedHost(line.number, target, frequency, pattern);
  }

  /** Reports an address that a line above has. Warns of a secret in it. */
  #noteAddress(line: HostsLine, address: string): void {
    const first = this.#lineOf.get(address);
    if (first === undefined) this.#lineOf.set(address, line.number);
    else {
      line.report(
        `${address} is on line ${first} already: remove one, or add a fragment to check the page in two ways (${
          this.#freeAddress(address)
        })`,
      );
    }
    const secret = openSecret(address);
    if (secret !== null) line.warn(secret);
  }

  /** An address of the same page that no line above has. */
  #freeAddress(address: string): string {
    const page = address.split("#", 1)[0] ?? "";
    let check = this.#checksOf.get(page) ?? 2;
    while (this.#lineOf.has(`${page}#${check}`)) check++;
    // So that many checks of one page do not search for a number from the first one on.
    this.#checksOf.set(page, check);
    return `${page}#${check}`;
  }

  /**
   * The REGEX of a line; null where it has none. Throws an error that says what to write instead.
   */
  #readRegex(line: HostsLine): Pattern | null {
    const source = line.take((rest) => rest);
    if (source === "") return null;
    if (source.startsWith("#")) {
      throw new SyntaxError("a comment needs its own line; a REGEX that begins with # is written \\#");
    }
    if (UNIT.test(source)) {
      throw new SyntaxError(
        `${source} would be the REGEX: write the unit at the number (5m), or (${source}) if the page must hold that`,
      );
    }
    const pattern = this.#readPattern(source);
    const doubt = patternDoubt(source);
    if (doubt !== null) line.warn(doubt);
    return pattern;
  }
}

/** The rest of "5 minutes", where that was meant for a FREQUENCY. */
const UNIT = /^(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$/i;

class ParsedHost implements Host {
  readonly line: number;
  readonly address: string;
  readonly authorization: string | null;
  readonly frequency: Frequency;
  readonly pattern: Pattern | null;

  constructor(line: number, { address, authorization }: Target, frequency: Frequency, pattern: Pattern | null) {
    this.line = line;
    this.address = address;
    this.authorization = authorization;
    this.frequency = frequency;
    this.pattern = pattern;
  }

  get url(): URL {
    return new URL(pageOf(this.address));
  }
}

/**
 * The text of one line while it is read, and the place up to which it was read. It gives one field
 * after the other. A problem is noted with the place of the last field.
 */
class HostsLine {
  readonly text: string;
  readonly number: number;
  readonly #fileName: string;
  readonly #notes: LineNotes;
  #field = 0;
  #next: number;

  constructor(text: string, number: number, fileName: string, notes: LineNotes) {
    this.text = text.slice(0, endWithoutBlanks(text));
    this.number = number;
    this.#fileName = fileName;
    this.#notes = notes;
    this.#next = skipBlanks(this.text, 0);
  }

  /** True for a blank line and a comment. */
  get isSkipped(): boolean {
    return this.#next === this.text.length || this.text[this.#next] === "#";
  }

  get isTooLong(): boolean {
    // A character has one byte at least, and three at most.
    return this.text.length * 3 > LONGEST_LINE && Buffer.byteLength(this.text) > LONGEST_LINE;
  }

  reportLength(): void {
    this.report(
      `the line has ${Buffer.byteLength(this.text)} bytes, and ${LONGEST_LINE} are the most: write a shorter one`,
    );
  }

  /** True where the text has a sign that no UTF-8 text has. */
  get isBroken(): boolean {
    return BROKEN.test(this.rest);
  }

  reportBroken(): void {
    this.take((rest) => rest.slice(0, rest.search(BROKEN)));
    this.take(() => "");
    this.report("this line is not UTF-8 text: save the file as UTF-8");
  }

  /** The rest of the line, without blanks in front. */
  get rest(): string {
    return this.text.slice(this.#next);
  }

  /**
   * Takes the next field: what `find` finds at the beginning of the rest, or all up to the next
   * blank.
   */
  take(find: (rest: string) => string = upToBlank): string {
    this.#field = this.#next;
    const field = find(this.rest);
    this.#next = skipBlanks(this.text, this.#field + field.length);
    return field;
  }

  /** The outcome of `read`. Undefined where it throws: its message is then reported. */
  attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.report((error as Error).message);
      return undefined;
    }
  }

  report(message: string): void {
    this.#notes.problems.push(this.#placed(message));
  }

  warn(message: string): void {
    this.#notes.warnings.push(this.#placed(message));
  }

  #placed(message: string): string {
    const column = [...this.text.slice(0, this.#field)].length + 1;
    return `${this.#fileName}:${this.number}:${column}: ${showInvisible(curtailed(message))}`;
  }
}

/** Cut in the middle: the end of a message says what to write instead. */
function curtailed(message: string): string {
  if (message.length <= LONGEST_MESSAGE) return message;
  const half = LONGEST_MESSAGE / 2;
  return `${message.slice(0, half)} … ${message.slice(-half)}`.toWellFormed();
}

/**
 * A message is one line on a terminal. A blank that is neither space nor tab is no blank here, and
 * would not be seen.
 */
function showInvisible(text: string): string {
  return text.replace(/(?![ \t])[\p{Cc}\p{Cf}\p{Z}]/gu, (sign) => `\\x{${sign.codePointAt(0)?.toString(16)}}`);
}

function isBlank(sign: string | undefined): boolean {
  return sign === " " || sign === "\t";
}

function skipBlanks(text: string, from: number): number {
  while (isBlank(text[from])) from++;
  return from;
}

function endWithoutBlanks(text: string): number {
  let end = text.length;
  while (isBlank(text[end - 1])) end--;
  return end;
}

function upToBlank(text: string): string {
  return /^[^ \t]*/.exec(text)?.[0] ?? "";
}

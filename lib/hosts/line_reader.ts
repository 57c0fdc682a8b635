import { openSecret, pageOf, readDomain, type Target } from "./address.ts";
import { frequencyField, frequencyReader } from "./frequency.ts";
import { HostsLine, type LineNotes } from "./hosts_line.ts";
import type { HostOptions } from "./host_options.ts";
import type { Host } from "./hosts.ts";
import { HostOptionsReader } from "./host_options_reader.ts";
import { type Pattern, patternReader } from "./pattern.ts";
import { patternDoubt } from "./pattern_doubts.ts";
import type { References } from "./references.ts";
import type { Frequency } from "./schedule.ts";

/** A line with a host, of which the options are still to come. */
interface PendingHost {
  readonly line: HostsLine;
  readonly target: Target;
  readonly frequency: Frequency;
  readonly pattern: Pattern | null;
}

/** Reads the lines of one hosts file, one after the other. Notes what is wrong with them. */
export class LineReader {
  readonly #fileName: string;
  readonly #notes: LineNotes;
  readonly #readFrequency: (text: string) => Frequency;
  readonly #readPattern = patternReader();
  readonly #options: HostOptionsReader;
  readonly #hosts: Host[] = [];
  /** The line of each address. */
  readonly #lineOf = new Map<string, number>();
  /** The last fragment that was proposed for each page, as a number. */
  readonly #checksOf = new Map<string, number>();
  /** The host above; null where its line is wrong, or where there is none. */
  #pending: PendingHost | null = null;

  /** `timeZone` is that of cron expressions. */
  constructor(fileName: string, timeZone: string, references: References, notes: LineNotes) {
    this.#fileName = fileName;
    this.#notes = notes;
    this.#readFrequency = frequencyReader(timeZone);
    const readPattern = (source: string, line: HostsLine) => this.#readSource(source, line);
    this.#options = new HostOptionsReader({ references, readPattern });
  }

  /** Reads a line, whose text has no line end. Skips a blank one, and a comment. */
  read(text: string, number: number): void {
    const line = new HostsLine(text, number, this.#fileName, this.#notes);
    if (line.isSkipped) return;
    if (!line.isOption) this.#endHost();
    if (line.isTooLong) line.reportLength();
    else if (line.isBroken) line.reportBroken();
    else if (line.isOption) this.#options.read(line);
    else this.#pending = this.#readHost(line);
  }

  /** The hosts of all lines that were read. No other line follows. */
  end(): readonly Host[] {
    this.#endHost();
    return this.#hosts;
  }

  /** The options of the host above are all read, or those of all hosts. */
  #endHost(): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending === null) return this.#options.skip();
    const { line, target, frequency, pattern } = pending;
    const hasLogin = target.authorization !== null;
    const { options, absent } = this.#options.end({ line, hasLogin, hasPattern: pattern !== null });
    this.#hosts.push(new ParsedHost(line.number, target, frequency, { pattern, absent, options }));
  }

  #readHost(line: HostsLine): PendingHost | null {
    const target = line.attempt(() => readDomain(line.take()));
    if (target !== undefined) this.#noteAddress(line, target.address);
    const frequency = line.attempt(() => this.#readFrequency(line.take(frequencyField)));
    // Where the FREQUENCY is wrong, nobody knows where the REGEX begins.
    if (frequency === undefined) return null;
    const pattern = line.attempt(() => this.#readRegex(line));
    if (target === undefined || pattern === undefined) return null;
    return { line, target, frequency, pattern };
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
    return this.#readSource(source, line);
  }

  #readSource(source: string, line: HostsLine): Pattern {
    const pattern = this.#readPattern(source);
    const doubt = patternDoubt(source);
    if (doubt !== null) line.warn(doubt);
    return pattern;
  }
}

/** The rest of "5 minutes", where that was meant for a FREQUENCY. */
const UNIT = /^(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$/i;

/** How the page of a host is asked for and judged. */
type Manner = Pick<Host, "pattern" | "absent" | "options">;

class ParsedHost implements Host {
  readonly line: number;
  readonly address: string;
  readonly authorization: string | null;
  readonly frequency: Frequency;
  readonly pattern: Pattern | null;
  readonly absent: Pattern | null;
  readonly options: HostOptions | null;

  constructor(line: number, { address, authorization }: Target, frequency: Frequency, manner: Manner) {
    this.line = line;
    this.address = address;
    this.authorization = authorization;
    this.frequency = frequency;
    this.pattern = manner.pattern;
    this.absent = manner.absent;
    this.options = manner.options;
  }

  get url(): URL {
    return new URL(pageOf(this.address));
  }
}

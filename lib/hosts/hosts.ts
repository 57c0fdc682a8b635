import { count } from "../config/count.ts";
import { openSecret, pageOf, readDomain, type Target } from "./address.ts";
import { readFrequencyField } from "./frequency_field.ts";
import { HostsLine } from "./hosts_line.ts";
import { type Pattern, patternReader } from "./pattern.ts";
import { patternDoubt } from "./pattern_doubts.ts";
import { type Frequency, frequencyReader, hashOf } from "./schedule.ts";

/** A host to check, and how: the content of one line of a hosts file. */
export interface Host {
  /** The number of its line, from 1. */
  readonly line: number;
  /** As written, without `user:password@`. Metrics name the host by it. */
  readonly address: string;
  /**
   * What is asked for: without user, password and fragment. Made anew at each reading: 100,000 URLs
   * would hold 45 MB.
   */
  readonly url: URL;
  /** The value of the Authorization header, where the line names a user. */
  readonly authorization: string | null;
  readonly frequency: Frequency;
  /** What the body must hold; null: any body is valid. */
  readonly pattern: Pattern | null;
}

/** Problems and warnings are `file:line:column: what is wrong, and what to write instead`. */
export interface HostsFile {
  readonly hosts: readonly Host[];
  /** Where there is one, nothing may start. */
  readonly problems: readonly string[];
  /** Doubts: the line may mean what it says, but most likely does not. */
  readonly warnings: readonly string[];
}

/** Part I of N of the hosts; `index` counts from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** How many problems and warnings are told in full. */
const MOST_PROBLEMS = 1000;
const MOST_WARNINGS = 50;
const EXAMPLE = "a line such as: https://example.com 5m (Example Domain)";

/**
 * Reads a hosts file (README.md, "The hosts file"). `timeZone` is that of its cron expressions.
 * Never throws for the content of the file.
 */
export function parseHosts(text: string, fileName: string, timeZone: string): HostsFile {
  const parsing = parseInPieces(text, fileName, timeZone);
  let step = parsing.next();
  while (step.done !== true) step = parsing.next();
  return step.value;
}

/** Lines that `parseInPieces` reads in one piece, which takes some milliseconds. */
const PIECE = 500;

/** As `parseHosts`, but stops now and then, so that the caller can let other work run. */
export function* parseInPieces(text: string, fileName: string, timeZone: string): Generator<void, HostsFile> {
  const hosts: Host[] = [];
  const [problems, warnings]: [string[], string[]] = [[], []];
  const reader: Reader = {
    frequency: frequencyReader(timeZone),
    pattern: patternReader(),
    lineOf: new Map(),
    checksOf: new Map(),
  };
  for (const [index, content] of text.split("\n").entries()) {
    if (index % PIECE === PIECE - 1) yield;
    // Files that were joined may have a byte-order mark in the middle.
    const begin = content.startsWith("\uFEFF") ? 1 : 0;
    const end = content.endsWith("\r") ? -1 : undefined;
    const line = new HostsLine(content.slice(begin, end), index + 1, fileName, { problems, warnings });
    if (line.isSkipped) continue;
    const host = line.isTooLong ? line.reportLength() : readHost(line, reader);
    if (host !== null) hosts.push(host);
  }
  if (hosts.length === 0 && problems.length === 0) {
    problems.push(`${fileName}:1:1: the file names no host: write ${EXAMPLE}`);
  }
  curtail(problems, MOST_PROBLEMS, (more) => `${fileName}: ${count(more, "more problem")} of this kind and others`);
  curtail(warnings, MOST_WARNINGS, (more) => `${fileName}: ${count(more, "more warning")} of this kind and others`);
  return { hosts, problems, warnings };
}

function curtail(texts: string[], most: number, rest: (more: number) => string): void {
  const more = texts.length - most;
  if (more > 0) texts.splice(most, more, rest(more));
}

/**
 * The hosts of a shard. Each address belongs to one shard, whatever else the file holds. Shards are
 * about equal.
 */
export function shardOf(hosts: readonly Host[], { index, count }: Shard): readonly Host[] {
  // Salted: the bare hash also sets the phase of an interval. With it, a shard's hosts would be due
  // at the same time.
  return count === 1 ? hosts : hosts.filter(({ address }) => hashOf(`shard ${address}`) % count === index - 1);
}

/** True where both mean the same check. Neither blanks nor the place in the file count. */
export function isSameHost(one: Host, other: Host): boolean {
  return one.address === other.address && one.authorization === other.authorization &&
    one.frequency.text === other.frequency.text && one.pattern?.source === other.pattern?.source;
}

interface Reader {
  readonly frequency: (text: string) => Frequency;
  readonly pattern: (source: string) => Pattern;
  /** The line of each address. */
  readonly lineOf: Map<string, number>;
  /** The last fragment that was proposed for each page, as a number. */
  readonly checksOf: Map<string, number>;
}

function readHost(line: HostsLine, reader: Reader): Host | null {
  const broken = line.rest.search(/[\0\uFFFD]/);
  if (broken >= 0) {
    line.take(broken);
    line.take(0);
    return line.report("this line is not UTF-8 text: save the file as UTF-8");
  }
  const target = readDomain(line);
  if (target !== null) {
    noteAddress(line, target.address, reader);
    const secret = openSecret(target.address);
    if (secret !== null) line.warn(secret);
  }
  const frequency = readFrequencyField(line, reader.frequency);
  // Where the FREQUENCY is wrong, nobody knows where the REGEX begins.
  if (frequency === null) return null;
  const pattern = readPattern(line, reader);
  if (target === null || pattern === undefined) return null;
  return new ParsedHost(line.number, target, frequency, pattern);
}

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

/** Reports an address that a line above has. */
function noteAddress(line: HostsLine, address: string, { lineOf, checksOf }: Reader): void {
  const first = lineOf.get(address);
  if (first === undefined) {
    lineOf.set(address, line.number);
    return;
  }
  const page = address.split("#", 1)[0] ?? "";
  let check = checksOf.get(page) ?? 2;
  while (lineOf.has(`${page}#${check}`)) check++;
  // So that many checks of one page do not search for a number from the first one on.
  checksOf.set(page, check);
  line.report(
    `${address} is on line ${first} already: remove one, or add a fragment to check the page in two ways (${page}#${check})`,
  );
}

/** The rest of "5 minutes", where that was meant for a FREQUENCY. */
const UNIT = /^(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)$/i;

/** Undefined: the REGEX is wrong, which has been reported. */
function readPattern(line: HostsLine, reader: Reader): Pattern | null | undefined {
  const source = line.take(line.rest.length);
  if (source === "") return null;
  if (source.startsWith("#")) {
    line.report("a comment needs its own line; a REGEX that begins with # is written \\#");
    return undefined;
  }
  if (UNIT.test(source)) {
    line.report(
      `${source} would be the REGEX: write the unit at the number (5m), or (${source}) if the page must hold that`,
    );
    return undefined;
  }
  try {
    const pattern = reader.pattern(source);
    const doubt = patternDoubt(source);
    if (doubt !== null) line.warn(doubt);
    return pattern;
  } catch (error) {
    line.report((error as Error).message);
    return undefined;
  }
}

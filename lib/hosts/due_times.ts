import { printableInLine } from "../config/terminal.ts";
import { optionLines } from "./host_options.ts";
import type { Host } from "./hosts.ts";
import { nextDue } from "./schedule.ts";

const TIMES = 3;
/** Hosts in one piece of text. One text of 100,000 hosts would be held in memory twice. */
const PIECE = 200;

/**
 * The output of `--check`: each host with its frequency, its REGEX and its next due times in UTC,
 * and below it the options that it has. The times come after `now` (milliseconds since 1970).
 */
export function* dueTimes(hosts: readonly Host[], now: number): Generator<string, void> {
  const widths = {
    address: widest(hosts, ({ address }) => address, 60),
    frequency: widest(hosts, ({ frequency }) => frequency.text, 40),
  };
  const times = new UtcTimes();
  for (let at = 0; at < hosts.length; at += PIECE) {
    const lines: string[] = [];
    for (const host of hosts.slice(at, at + PIECE)) addLines(lines, host, widths, times, now);
    yield printableLines(lines);
  }
}

/** The length of the longest text. A longer one than `most` leaves its column. */
function widest(hosts: readonly Host[], textOf: (host: Host) => string, most: number): number {
  return Math.min(most, hosts.reduce((length, host) => Math.max(length, textOf(host).length), 0));
}

interface Widths {
  readonly address: number;
  readonly frequency: number;
}

function addLines(lines: string[], host: Host, widths: Widths, times: UtcTimes, now: number): void {
  const { address, frequency, pattern, absent, options } = host;
  let line = `${address.padEnd(widths.address)}  ${frequency.text.padEnd(widths.frequency)}`;
  for (let [at, time] = [now, 0]; time < TIMES; time++) {
    at = nextDue(frequency, address, at);
    line += `  ${times.textOf(at)}`;
  }
  // As it was understood: a remark behind FREQUENCY is a part of it too.
  if (pattern !== null) line += `  ${pattern.source}`;
  lines.push(line);
  for (const option of optionLines(options)) lines.push(`  ${option}`);
  if (absent !== null) lines.push(`  | absent ${absent.source}`);
}

/** Signs of nearly every line; … stands for a secret. */
const PLAIN = /^[ -~\n…]*$/;

/** A text that a terminal shows as it is. Each line is made of one of the hosts file, and has no end. */
function printableLines(lines: readonly string[]): string {
  const text = [...lines, ""].join("\n");
  // One look at many lines costs a tenth of a look at each.
  return PLAIN.test(text) ? text : lines.map((line) => `${printableInLine(line)}\n`).join("");
}

const MINUTE = 60_000;
/** Minutes whose text is kept: those of a week. */
const MOST_MINUTES = 7 * 24 * 60;
const SECONDS = Array.from({ length: 60 }, (_, second) => `${String(second).padStart(2, "0")}Z`);

/** Times as `2026-11-30T17:24:16Z`: 300,000 of them, with few minutes among them. */
class UtcTimes {
  readonly #minutes = new Map<number, string>();

  /** `at` is in milliseconds since 1970. */
  textOf(at: number): string {
    const minute = Math.floor(at / MINUTE);
    return `${this.#minuteText(minute)}${SECONDS[Math.floor((at - minute * MINUTE) / 1000)]}`;
  }

  #minuteText(minute: number): string {
    const known = this.#minutes.get(minute);
    if (known !== undefined) return known;
    const text = new Date(minute * MINUTE).toISOString().slice(0, 17);
    if (this.#minutes.size < MOST_MINUTES) this.#minutes.set(minute, text);
    return text;
  }
}

import { printableInLine } from "../config/terminal.ts";
import { optionLines } from "./host_options.ts";
import type { Host } from "./hosts.ts";
import { nextDue } from "./schedule.ts";

const TIMES = 3;
/** Hosts in one piece of text. One text of 100,000 hosts would be held in memory twice. */
const PIECE = 1000;

/**
 * The output of `--check`: each host with its frequency, its REGEX and its next due times in UTC,
 * and below it the options that it has. The times come after `now` (milliseconds since 1970).
 */
export function* dueTimes(hosts: readonly Host[], now: number): Generator<string, void> {
  const widths = {
    address: widest(hosts.map(({ address }) => address), 60),
    frequency: widest(hosts.map(({ frequency }) => frequency.text), 40),
  };
  for (let at = 0; at < hosts.length; at += PIECE) {
    yield hosts.slice(at, at + PIECE).map((host) => line(host, widths, now)).join("");
  }
}

/** The length of the longest text. A longer one than `most` leaves its column. */
function widest(texts: readonly string[], most: number): number {
  return Math.min(most, texts.reduce((length, text) => Math.max(length, text.length), 0));
}

interface Widths {
  readonly address: number;
  readonly frequency: number;
}

function line({ address, frequency, pattern, absent, options }: Host, widths: Widths, now: number): string {
  const times: string[] = [];
  for (let at = now; times.length < TIMES;) {
    at = nextDue(frequency, address, at);
    times.push(`${new Date(at).toISOString().slice(0, 19)}Z`);
  }
  // As it was understood: a remark behind FREQUENCY is a part of it too.
  const regex = pattern === null ? "" : `  ${pattern.source}`;
  const columns = [address.padEnd(widths.address), frequency.text.padEnd(widths.frequency), ...times];
  const below = [...optionLines(options), ...absent === null ? [] : [`| absent ${absent.source}`]];
  const lines = [`${columns.join("  ")}${regex}`, ...below.map((text) => `  ${text}`)];
  return lines.map((text) => `${printableInLine(text)}\n`).join("");
}

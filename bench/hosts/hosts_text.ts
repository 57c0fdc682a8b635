import { Random } from "../../tests/support/random.ts";

/** A hosts file for a measurement. */
export interface HostsText {
  readonly text: string;
  readonly lines: number;
}

/** Options of all hosts. */
const DEFAULTS = ["| timeout 10s", "| header User-Agent: bench/1", "| label place=fra"];
const TIMEOUTS = ["500ms", "1s", "2s", "3s", "5s", "8s", "15s", "30s"];
const ACCEPTED = ["text/html", "application/json", "*/*", "text/plain"];
const STATUSES = ["200-299", "200", "200-299 401", "200-399", "200 204 301"];
const FREQUENCIES = ["1h", "6h", "12h", "1d"];

/**
 * So many hosts of a site (`http://127.0.0.1:8080`), each with options of its own, three on an
 * average. Some of these are those of many hosts, and some are those of one. A `version` has another
 * label at every hundredth host. The same arguments give the same text.
 */
export function hostsText(site: string, count: number, version = 0): HostsText {
  const random = new Random(1);
  const lines = [...DEFAULTS];
  const some = (share: number, line: () => string) => {
    // Drawn in any case: versions differ in nothing else.
    const [isThere, text] = [random.next() < share, line()];
    if (isThere) lines.push(text);
  };
  for (let n = 0; n < count; n++) {
    lines.push(`${site}/shop/${n}/health ${random.pick(FREQUENCIES)}`);
    some(0.6, () => `| timeout ${random.pick(TIMEOUTS)}`);
    some(0.4, () => `| header Accept: ${random.pick(ACCEPTED)}`);
    some(0.3, () => `| header X-Shop: ${n}`);
    some(0.5, () => `| status ${random.pick(STATUSES)}`);
    some(0.4, () => `| label team=team-${random.between(1, 50)}`);
    lines.push(`| label id=${n % 100 === 0 ? `${n}-${version}` : n}`);
  }
  return { text: lines.map((line) => `${line}\n`).join(""), lines: lines.length };
}

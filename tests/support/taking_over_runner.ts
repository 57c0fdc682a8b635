// Has a CheckRunner take over as many more hosts as the argument says, while hosts wait for their
// checks. Each check takes a turn of the event loop. Prints a `TakingOver` as JSON. The tests run
// this under each runtime.
import { argv, exit, stdout } from "node:process";
import { CheckRunner } from "../../lib/check/check_runner.ts";
import type { Checker } from "../../lib/check/checker.ts";
import { removedMetric } from "../../lib/check/missed.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import type { Metric } from "../../lib/metric.ts";

export interface TakingOver {
  /** Hosts that were added. */
  readonly added: number;
  /** Checks that began while they were. */
  readonly begun: number;
}

const WAITING = Array.from({ length: 1000 }, (_, n) => `https://waits-${n}.example "* * * * * *"\n`).join("");
const MORE = Array.from({ length: Number(argv[2]) }, (_, n) => `https://new-${n}.example 1d\n| timeout 5s\n`).join("");
const hostsOf = (text: string) => parseHosts(text, "hosts.txt", "UTC").hosts;
const [few, all] = [hostsOf(WAITING), hostsOf(WAITING + MORE)];

const source = { location: null, producer: null };
let checks = 0;
let hasBegun = () => {};
const checker: Checker = {
  hasRoom: true,
  whenRoom: () => {},
  async check({ address }): Promise<Metric> {
    checks++;
    hasBegun();
    await new Promise((resolve) => setTimeout(resolve, 0));
    return removedMetric({ address }, new Date(), source);
  },
};
const { signal } = new AbortController();
const runner = new CheckRunner(few, { ...source, concurrency: 1, isOnce: false, checker }, signal, signal);
void Array.fromAsync(runner);
await new Promise<void>((resolve) => hasBegun = resolve);
const before = checks;
const { added } = await runner.replace(all);
stdout.write(`${JSON.stringify({ added, begun: checks - before } satisfies TakingOver)}\n`, () => exit(0));

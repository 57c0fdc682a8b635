// Makes the checks that standard input asks for (JSON). Prints a line for each. Makes all at once,
// or with the argument "in-turn" one after another. With "in-short-turns" each turn of reading and
// decoding is as short as possible. The tests run this under each runtime.
import { createHash } from "node:crypto";
import { argv, exit, memoryUsage, stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { check } from "../../lib/check/check.ts";
import { type Matcher, openMatcher } from "../../lib/check/matching.ts";
import { Turns } from "../../lib/check/pace.ts";
import { runtimeAuthorities } from "../../lib/check/paths.ts";
import { TrustStore } from "../../lib/check/trust.ts";
import { denoCertificatesFile, hostsVariable } from "../../lib/config/environment.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import { ReferencedFiles } from "../../lib/hosts/referenced_files.ts";
import type { Metric } from "../../lib/metric.ts";
import { type ResolverOptions, systemResolver } from "../../lib/net/resolver.ts";
import { isPrivateAddress } from "../../lib/net/ip_address.ts";

/** The checks to make, and their settings. */
export interface Target {
  readonly name: string;
  /** A line of a hosts file, and those of its options. */
  readonly line: string;
  readonly timeout: number;
  /** Addresses that must not be dialed. "private": those of --block-private-addresses. */
  readonly blocked: "private" | readonly string[] | null;
}

/** The settings of a run. */
export interface Order {
  readonly names: ResolverOptions;
  readonly targets: readonly Target[];
}

/** The outcome for a target. */
export interface Checked {
  readonly name: string;
  readonly metric: Metric;
  /** Bytes of memory that the process held then. */
  readonly memory: number;
  /** The SHA-256 of the body that was matched last, in hexadecimal digits; null without a regex. */
  readonly body: string | null;
}

const order = JSON.parse(await text(stdin)) as Order;
const resolver = systemResolver(order.names);
const matcher = openMatcher();
const trust = new TrustStore(runtimeAuthorities(denoCertificatesFile()));
const turns = argv.includes("in-short-turns") ? new Turns(0) : new Turns();

async function run({ name, line, timeout, blocked }: Target): Promise<Checked> {
  const references = await ReferencedFiles.read(line, ".", hostsVariable);
  const { hosts: [host], problems } = parseHosts(line, "hosts.txt", "UTC", references);
  if (host === undefined) throw new Error(problems.join());
  const isBlocked = blocked === "private"
    ? isPrivateAddress
    : blocked && ((address: string) => blocked.includes(address));
  let body: string | null = null;
  const options = {
    timeout,
    location: "here",
    producer: "me",
    userAgent: "check-test",
    resolver,
    isBlocked,
    matcher: {
      ...matcher,
      matches(...asked: Parameters<Matcher["matches"]>) {
        body = createHash("sha256").update(asked[1].bytes).digest("hex");
        return matcher.matches(...asked);
      },
    },
    trust,
    turns,
  };
  const metric = await check(host, new Date(0), options, new AbortController().signal);
  return { name, metric, memory: memoryUsage().rss, body };
}

const print = async (target: Target) =>
  await run(target).then((checked) =>
    new Promise<void>((resolve) => stdout.write(`${JSON.stringify(checked)}\n`, () => resolve()))
  );
if (argv.includes("in-turn")) { for (const target of order.targets) await print(target); }
else await Promise.all(order.targets.map(print));
await matcher[Symbol.asyncDispose]();
exit(0);

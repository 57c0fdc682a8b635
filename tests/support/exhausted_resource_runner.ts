// Makes the checks that standard input asks for (JSON), and prints a line for each. First this
// process may open no more files, then it may. The tests run this under each runtime.
import { closeSync, openSync } from "node:fs";
import { exit, stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { check } from "../../lib/check/check.ts";
import { TrustStore } from "../../lib/check/trust.ts";
import { openMatcher } from "../../lib/check/matching.ts";
import { Turns } from "../../lib/check/pace.ts";
import { runtimeAuthorities } from "../../lib/check/paths.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import { type ResolverOptions, systemResolver } from "../../lib/net/resolver.ts";

/** The hosts lines to check, and the machine's files about names. */
export interface ResourceOrder {
  readonly names: ResolverOptions;
  readonly lines: readonly string[];
}

const order = JSON.parse(await text(stdin)) as ResourceOrder;
const { hosts } = parseHosts(order.lines.join("\n"), "hosts.txt", "UTC");
const resolver = systemResolver(order.names);
const matcher = openMatcher();
const trust = new TrustStore(runtimeAuthorities(null));
const options = {
  ...{ timeout: 5, location: null, producer: null, userAgent: "resources-test" },
  ...{ resolver, isBlocked: null, trust, matcher, turns: new Turns() },
};
const checkAll = () => Promise.all(hosts.map((host) => check(host, new Date(), options, new AbortController().signal)));

const files: number[] = [];
try {
  while (true) files.push(openSync(new URL(import.meta.url), "r"));
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== "EMFILE") throw error;
}
const without = await checkAll();
for (const file of files) closeSync(file);
const withThem = await checkAll();
stdout.write([...without, ...withThem].map((metric) => `${JSON.stringify(metric)}\n`).join(""), () => exit(0));

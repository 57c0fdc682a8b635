import { setTimeout as delay } from "node:timers/promises";
import { stopped } from "./cores.ts";
import type { OurChecker } from "./our_checker.ts";
import type { Site } from "./site.ts";
import { memory } from "./usage.ts";

/** What so many hosts cost the producer. */
export interface Loaded {
  readonly hosts: number;
  /** In MB of 10^6 bytes. */
  readonly memory: { readonly settled: number; readonly peak: number };
  /** Seconds from the start of the process to the first request at the site. */
  readonly firstCheck: number;
}

/** Seconds of checking after which the memory is looked at. */
const SETTLED = 5;

/**
 * Starts the producer with a large hosts file: each host is checked every ten minutes, and once
 * soon after the start.
 */
export async function loadMany(checker: OurChecker, site: Site, hosts: number): Promise<Loaded> {
  await site.seen();
  const file = await checker.writeHosts(site, { scheme: "http", pages: hosts }, "10m");
  const begun = Date.now();
  const producer = checker.startProducer(file);
  try {
    producer.stdout?.resume();
    await delay(SETTLED * 1000);
    const { firstAt } = await site.seen();
    if (firstAt === null) throw new Error(`${checker.name} made no check in ${SETTLED} s`);
    return { hosts, memory: memory(producer.pid as number), firstCheck: (firstAt - begun) / 1000 };
  } finally {
    await stopped(producer);
  }
}

// How fast metrics go through a spool: `npm run bench:spool`, which runs this under Node and under Deno.
// Metrics are pushed as fast as they are taken, with at most so many on their way, and "delivered" at once.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { deliver, MemoryOutbox, type Outbox, type Sink } from "../lib/delivery/delivery.ts";
import { Spool } from "../lib/delivery/spool.ts";
import { decodeMetric, type Metric } from "../lib/metric.ts";

const METRICS = 200_000;
/** Pushed and not delivered yet: what a busy producer has on its way. */
const ON_THE_WAY = 4_000;
/** Metrics a second of the second part, in which the loop's delay is measured: a check's latency would be off by it. */
const RATE = 2_000;
const SECONDS = 10;

const runtime = "Deno" in globalThis ? "Deno" : "Node";

function metric(n: number): Metric {
  const now = new Date(1_790_000_000_000 + n).toISOString();
  const fields = {
    address: `https://shop-${n % 5_000}.example/products/overview`,
    status_code: 200,
    latency: 0.123456,
    is_valid: true,
    scheduled_at: now,
    checked_at: now,
    latency_dns: 0.001234,
    latency_connect: 0.012345,
    latency_tls: 0.045678,
    latency_first_byte: 0.0567,
    latency_body: 0.0075,
    tls_expires_at: now,
    location: "Berlin",
    check_id: crypto.randomUUID(),
  };
  return decodeMetric(new TextEncoder().encode(JSON.stringify(fields)), 0) as Metric;
}

const nowhere: Sink = { send: () => Promise.resolve(0), [Symbol.asyncDispose]: () => Promise.resolve() };
const never = new AbortController().signal;

async function asFastAsPossible(outbox: Outbox, metrics: readonly Metric[]): Promise<string> {
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const delivery = deliver(outbox, nowhere, never);
  for (const metric of metrics) {
    while (outbox.figures.waiting > ON_THE_WAY) await setImmediate();
    outbox.push(metric);
  }
  outbox.end();
  await delivery;
  await outbox.settle();
  const { user, system } = process.cpuUsage(cpu);
  const rate = metrics.length / (performance.now() - began) * 1000;
  return `${rate.toFixed(0)} metrics/s, ${((user + system) / metrics.length).toFixed(1)} µs of CPU a metric`;
}

async function atSteadyRate(outbox: Outbox, metrics: readonly Metric[]): Promise<string> {
  const cpu = process.cpuUsage();
  const delivery = deliver(outbox, nowhere, never);
  const began = performance.now();
  const late: number[] = [];
  for (let pushed = 0; pushed < RATE * SECONDS;) {
    const asked = performance.now();
    await delay(5);
    late.push(performance.now() - asked - 5);
    const due = Math.min((performance.now() - began) / 1000 * RATE, RATE * SECONDS);
    for (; pushed < due; pushed++) outbox.push(metrics[pushed % metrics.length] as Metric);
  }
  outbox.end();
  await delivery;
  const { user, system } = process.cpuUsage(cpu);
  late.sort((a, b) => a - b);
  const at = (part: number) => (late[Math.floor(late.length * part)] ?? NaN).toFixed(1);
  const share = (user + system) / 1e6 / SECONDS * 100;
  return `${RATE} metrics/s take ${share.toFixed(0)} % of a core; a 5 ms timer is late by ${at(0.5)} ms (p50), ${
    at(0.99)
  } ms (p99)`;
}

const folder = mkdtempSync(join(tmpdir(), "bench-spool-"));
let count = 0;
const openSpool = () =>
  Spool.open(join(folder, String(++count)), {
    topic: "bench",
    mostOnDisk: 2 ** 30,
    mostInMemory: 100_000,
    events: console,
  });
const metrics = Array.from({ length: METRICS }, (_, n) => metric(n));
try {
  for (
    const [name, open] of [["memory", () => Promise.resolve(new MemoryOutbox(Infinity))], ["spool", openSpool]] as const
  ) {
    for (const measure of [asFastAsPossible, atSteadyRate]) {
      await using outbox = await open();
      console.log(`${runtime}, ${name}: ${await measure(outbox, metrics)}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);

// Sends the checks of a plan, tick by tick, from a given tick on. Says so as the generator does.
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { say } from "../say.ts";
import { openSending, type SendingOptions } from "../sending.ts";
import { plannedMetric, type PlanOptions, ticksOf } from "./plan.ts";

/** The feed's orders, as JSON in its only argument. */
export interface FeedOptions extends SendingOptions {
  readonly plan: PlanOptions;
  /** Ticks a second. */
  readonly rate: number;
  readonly from: number;
}

const { plan, rate, from, ...where } = JSON.parse(process.argv[2] ?? "{}") as FeedOptions;
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

const { producer, sink } = await openSending(where, stop.signal) ?? process.exit(0);
const never = new AbortController().signal;
const began = performance.now();
let tick = from;
for (const checks of ticksOf(plan, from)) {
  if (stop.signal.aborted) break;
  await say(`sending ${++tick}`);
  // The next tick waits: checks of an address come in their order.
  await sink.send(checks.map(plannedMetric), never);
  await say(`confirmed ${tick}`);
  await delay(began + (tick - from) * 1000 / rate - performance.now());
}
await producer[Symbol.asyncDispose]();
process.exit(0);

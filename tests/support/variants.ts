import process from "node:process";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { skipped } from "./kafka.ts";
import type { Runtime } from "./programs.ts";
import { denoMissing } from "./runtimes.ts";

/** A program as a user may start it: a runtime, and a Kafka client. */
export interface Variant {
  readonly name: string;
  readonly runtime: Runtime;
  readonly client: "librdkafka" | "javascript";
}

const VARIANTS: readonly Variant[] = [
  { name: "Node with librdkafka", runtime: "node", client: "librdkafka" },
  { name: "Node with javascript", runtime: "node", client: "javascript" },
  { name: "Deno with javascript", runtime: "deno", client: "javascript" },
];

/** nan, with which the librdkafka add-on is made, does not build on newer versions of Node. */
const NEWEST_FOR_LIBRDKAFKA = 24;

/**
 * The variants that this machine can run. Under CI it must be able to run all that the tests' own
 * Node can.
 */
export function possibleVariants(): readonly Variant[] {
  const library = loadLibrdkafka();
  return VARIANTS.filter(({ runtime, client }) => {
    if (runtime === "deno" && denoMissing !== null) return skipped(denoMissing);
    if (client === "javascript") return true;
    if (Number.parseInt(process.versions.node) > NEWEST_FOR_LIBRDKAFKA) return false;
    return !("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`);
  });
}

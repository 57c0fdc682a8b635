import type { Runtime } from "../support/programs.ts";

/** A runtime and a Kafka client: a user may start a consumer in this way. */
export interface Variant {
  readonly runtime: Runtime;
  readonly client: "librdkafka" | "javascript";
}

/** The members of a group. */
export interface Combination {
  readonly name: string;
  readonly members: readonly Variant[];
}

const NODE_LIBRDKAFKA: Variant = { runtime: "node", client: "librdkafka" };
const NODE_JAVASCRIPT: Variant = { runtime: "node", client: "javascript" };
const DENO_JAVASCRIPT: Variant = { runtime: "deno", client: "javascript" };

export const COMBINATIONS: readonly Combination[] = [
  { name: "node-librdkafka", members: [NODE_LIBRDKAFKA] },
  { name: "node-javascript", members: [NODE_JAVASCRIPT] },
  { name: "deno-javascript", members: [DENO_JAVASCRIPT] },
  { name: "mixed", members: [NODE_LIBRDKAFKA, NODE_JAVASCRIPT, DENO_JAVASCRIPT] },
];

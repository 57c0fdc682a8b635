// Says of each broker that standard input names (JSON) why TLS with it cannot be agreed on: the
// tests run this under each runtime.
import process, { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { findRefusal } from "../../lib/kafka/handshake.ts";
import type { KafkaOptions } from "../../lib/kafka/kafka.ts";

/** Brokers by what is special about them, and whom to trust (PEM). */
export interface Brokers {
  readonly ports: Readonly<Record<string, number>>;
  readonly ca: string;
}

/** What came of one; null: nothing speaks against it. */
export interface Refused {
  readonly name: string;
  readonly message: string | null;
}

const { ports, ca } = JSON.parse(await text(stdin)) as Brokers;
for (const [name, port] of Object.entries(ports)) {
  const options = { tls: { ca }, bootstrapServers: [`localhost:${port}`] } as unknown as KafkaOptions;
  const refusal = await findRefusal(options, new AbortController().signal);
  stdout.write(`${JSON.stringify({ name, message: refusal?.message ?? null } satisfies Refused)}\n`);
}
process.exit(0);

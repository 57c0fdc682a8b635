// Says for each of the brokers that standard input names (JSON) why TLS fails. The tests run this
// under each runtime.
import process, { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { findRefusal } from "../../lib/kafka/handshake.ts";
import type { KafkaOptions } from "../../lib/kafka/kafka.ts";

/** Brokers by their speciality, and the authorities to trust (PEM). */
export interface Brokers {
  readonly ports: Readonly<Record<string, number>>;
  readonly ca: string;
}

/** The reason for one broker. Null: nothing is wrong. */
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

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type KafkaServer, type KafkaServerOptions, reasonMissing, startKafka } from "../../tools/kafka/kafka.ts";

/**
 * Whether this machine can run a broker; says in one line what to install where it cannot. Under CI
 * that is a failure.
 */
export function canRunKafka(): boolean {
  const missing = reasonMissing();
  return missing === null || skipped(`Kafka tests are skipped: ${missing}`);
}

/** Says why tests do not run: false, or an error where all must run. */
export function skipped(why: string): false {
  if (process.env.CI === "true") throw new Error(why);
  console.warn(why);
  return false;
}

/** A broker in a folder of its own, which goes with it. */
export async function temporaryKafka(
  options: Pick<KafkaServerOptions, "expired" | "sasl" | "settings" | "users"> = {},
): Promise<KafkaServer> {
  const directory = await mkdtemp(join(tmpdir(), "host-checker-kafka-"));
  const broker = await startKafka({ directory, misnamed: true, ...options });
  const stop = broker[Symbol.asyncDispose].bind(broker);
  return Object.assign(broker, {
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  });
}

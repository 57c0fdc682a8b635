import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type KafkaServer, type KafkaServerOptions, reasonMissing, startKafka } from "../../tools/kafka/kafka.ts";

/**
 * Whether this machine can run a broker. Where it cannot, one line says what to install. Under CI
 * that is a failure.
 */
export function canRunKafka(): boolean {
  const missing = reasonMissing();
  return missing === null || skipped(`Kafka tests are skipped: ${missing}`);
}

/** Says why tests do not run. Gives false; where all tests must run, throws an error. */
export function skipped(why: string): false {
  if (process.env.CI === "true") throw new Error(why);
  console.warn(why);
  return false;
}

/** A broker in a folder of its own. Disposing of it removes the folder. */
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

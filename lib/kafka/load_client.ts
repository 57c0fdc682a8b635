import type { ClientChoice } from "../config/setting_types.ts";
import type { KafkaClient } from "./kafka.ts";

/**
 * The client that `choice` names; with `auto`, librdkafka where its add-on can be loaded, else the
 * one in plain TypeScript. Throws a TypeError where librdkafka is wanted and cannot be loaded. Each
 * client's code is loaded only when it is chosen: it is large, and looks around in the machine
 * while it loads.
 */
export async function loadClient(choice: ClientChoice): Promise<KafkaClient> {
  if (choice === "javascript") return await loadJavascript();
  const client = (await import("./librdkafka/client.ts")).loadLibrdkafkaClient();
  if (!("missing" in client)) return client;
  if (choice === "auto") return await loadJavascript();
  throw new TypeError(
    `--kafka-client (KAFKA_CLIENT) is librdkafka, but ${client.missing}: write javascript, or leave it out`,
  );
}

async function loadJavascript(): Promise<KafkaClient> {
  return (await import("./javascript/client.ts")).client;
}

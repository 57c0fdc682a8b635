import { Admin } from "@platformatic/kafka";
import { CLIENT_ID } from "../../lib/kafka/client_settings.ts";

/** Makes a topic with settings of its own at a broker without TLS, and waits until the broker leads its partitions. */
export async function makeTopic(
  server: string,
  topic: string,
  partitions: number,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  await using admin = openAdmin(server);
  const configs = Object.entries(settings).map(([name, value]) => ({ name, value }));
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs });
  await admin.metadata({ topics: [topic] });
  // The broker leads a partition a moment after it says so: asked for its end, it is tried again until it does.
  const asked = Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n }));
  await admin.listOffsets({ topics: [{ name: topic, partitions: asked }] });
}

function openAdmin(server: string): Admin & AsyncDisposable {
  const admin = new Admin({ clientId: CLIENT_ID, bootstrapBrokers: [server], retries: 20, retryDelay: 250 });
  return Object.assign(admin, { [Symbol.asyncDispose]: () => admin.close() });
}

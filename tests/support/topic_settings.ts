import { Admin } from "@platformatic/kafka";
import { CLIENT_ID } from "../../lib/kafka/client_settings.ts";

/**
 * Makes a topic with its own settings, at a broker without TLS. Waits until the broker leads the
 * partitions.
 */
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
  // The broker leads a partition a moment after it says so. So the test asks for the partition's
  // end until it answers.
  const asked = Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n }));
  await admin.listOffsets({ topics: [{ name: topic, partitions: asked }] });
}

function openAdmin(server: string): Admin & AsyncDisposable {
  const admin = new Admin({ clientId: CLIENT_ID, bootstrapBrokers: [server], retries: 20, retryDelay: 250 });
  return Object.assign(admin, { [Symbol.asyncDispose]: () => admin.close() });
}

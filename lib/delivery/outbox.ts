import { count } from "../config/count.ts";
import type { ProducerSettings } from "../config/settings.ts";
import type { Outbox } from "./delivery.ts";
import { MemoryOutbox } from "./memory_outbox.ts";
import { Spool, type SpoolEvents } from "./spool.ts";

/** Beyond so many metrics in memory, or bytes of them on disk, the oldest give way. */
export interface OutboxOptions {
  readonly mostInMemory: number;
  readonly mostOnDisk: number;
  readonly events: SpoolEvents & { info(text: string): void };
}

/**
 * Opens the outbox that the settings ask for: on disk, or in memory only. Throws as `Spool.open`
 * does.
 */
export async function openOutbox(
  { kafka, spool }: ProducerSettings,
  options: OutboxOptions,
): Promise<Outbox> {
  if (spool === null || kafka === null) return new MemoryOutbox(options.mostInMemory);
  const outbox = await Spool.open(spool, { ...options, topic: kafka.topic });
  const { waiting } = outbox.figures;
  const wait = waiting === 1 ? "waits" : "wait";
  options.events.info(`${count(waiting, "metric")} of an earlier run ${wait} in the spool ${spool}`);
  return outbox;
}

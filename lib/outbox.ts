import type { Outbox } from "./delivery.ts";
import { MemoryOutbox } from "./outbox/memory_outbox.ts";
import type { ProducerSettings } from "./settings.ts";
import { Spool, type SpoolEvents } from "./spool.ts";

/** `mostInMemory`: beyond so many metrics in memory the oldest give way. */
export interface OutboxOptions {
  readonly mostInMemory: number;
  readonly events: SpoolEvents & { info(text: string): void };
}

/** The outbox that the settings ask for: on disk, or in memory only. Throws what `Spool.open` throws. */
export async function openOutbox(
  { kafka, spool }: ProducerSettings,
  { mostInMemory, events }: OutboxOptions,
): Promise<Outbox> {
  if (spool === null || kafka === null) return new MemoryOutbox(mostInMemory);
  const outbox = await Spool.open(spool.directory, {
    topic: kafka.topic,
    mostOnDisk: spool.mebibytes * 2 ** 20,
    mostInMemory,
    events,
  });
  const { waiting } = outbox.figures;
  events.info(`${waiting} metric${waiting === 1 ? "" : "s"} of an earlier run wait in the spool ${spool.directory}`);
  return outbox;
}

import type { Health } from "../async/health.ts";
import type { Listener } from "./kafka.ts";

const PART = "Kafka";

/** `open` with a listener that notes in `health` whether Kafka can be reached, and passes on what it hears. */
export async function openHealthily<T>(
  open: (listener: Listener) => Promise<T>,
  listener: Listener,
  health: Health,
): Promise<T> {
  health.note(PART, "Kafka was not reached yet");
  const opened = await open((event, isTrouble) => {
    health.note(PART, isTrouble ? event : null);
    listener(event, isTrouble);
  });
  health.note(PART, null);
  return opened;
}

import type { OutgoingMessage } from "../../lib/kafka.ts";

/** Every so many numbers one is sent as a message that is no metric, and must end among the rejected. */
export const BAD_EVERY = 50;
const EPOCH = Date.parse("2026-01-01T00:00:00Z");

export function isBad(number: number): boolean {
  return number % BAD_EVERY === BAD_EVERY - 1;
}

/** True where the message can be recognised when it is sent twice. The others tell whether one is stored twice. */
export function isRecognisable(number: number): boolean {
  return number % 2 === 1;
}

/** The message with a number: always the same one, but for its time in Kafka. */
export function messageOf(number: number): OutgoingMessage {
  // Of now: a broker that starts again forgets producers whose newest message is a day old, by the messages' own times, and
  // takes what one of them sends again for something new.
  const timestamp = Date.now();
  // A key of its own: the numbers spread over the partitions, and compaction keeps them all.
  const address = `https://n${number}.example`;
  if (isBad(number)) return { key: address, value: badText(number), timestamp };
  const value = {
    address,
    status_code: 200,
    latency: number,
    is_valid: true,
    checked_at: new Date(EPOCH + number).toISOString(),
    ...isRecognisable(number) && { check_id: `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}` },
  };
  return { key: address, value: JSON.stringify(value), timestamp };
}

export function badText(number: number): string {
  return `no metric ${number}`;
}

/** The number in a message; null where it holds none. */
export function numberIn(value: Uint8Array | null | undefined): number | null {
  const text = new TextDecoder().decode(value ?? undefined);
  const match = /^no metric (\d+)$|^\{"address":"https:\/\/n(\d+)\.example"/.exec(text);
  return match === null ? null : Number(match[1] ?? match[2]);
}

import type { OutgoingMessage } from "../../lib/kafka/kafka.ts";
import type { Metric } from "../../lib/metric.ts";

/** One number in so many is sent as a message that is no metric. It must end among the rejected. */
export const BAD_EVERY = 50;
/** The day (UTC) of the first number. */
export const FIRST_DAY = "2026-01-30";
const EPOCH = Date.parse(`${FIRST_DAY}T00:00:00Z`);
/**
 * Milliseconds between the checks of two numbers. A short campaign passes a month's end too, and a
 * long one passes several.
 */
const EVERY = 10_000;

export function isBad(number: number): boolean {
  return number % BAD_EVERY === BAD_EVERY - 1;
}

/**
 * True where the message can be recognised when it is sent twice. The other messages show whether
 * one is stored twice.
 */
export function isRecognisable(number: number): boolean {
  return number % 2 === 1;
}

/**
 * True where the message has all fields, as a producer of today sends them: the consumer copies its
 * bytes. It reads the other messages.
 */
const isWhole = (number: number) => number % 4 < 2;

/** One number in so many has a metric with a longer text than a small topic takes. */
const LONG_EVERY = 40;
const LONG = "All that went wrong. ".repeat(150);

/** The metric of a number, always the same one. Null where the number's message is no metric. */
export function metricOf(number: number): Metric | null {
  if (isBad(number)) return null;
  const checkedAt = new Date(EPOCH + number * EVERY).toISOString();
  return {
    // Each number has a key of its own. So the numbers spread over the partitions, and compaction
    // keeps them all.
    address: addressOf(number),
    status_code: 200,
    latency: number,
    is_valid: true,
    scheduled_at: isWhole(number) ? checkedAt : null,
    checked_at: checkedAt,
    error: null,
    error_detail: number % LONG_EVERY === 0 ? LONG : null,
    latency_dns: null,
    latency_connect: null,
    latency_tls: null,
    latency_first_byte: null,
    latency_body: null,
    tls_expires_at: null,
    location: null,
    check_id: isRecognisable(number) ? `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}` : null,
    up: isWhole(number) ? true : null,
    remote_address: null,
    producer: null,
    next_at: null,
    labels: null,
  };
}

/** The message of a number that is no metric. */
export function badMessageOf(number: number): OutgoingMessage {
  return { key: addressOf(number), value: badText(number), timestamp: Date.now() };
}

function addressOf(number: number): string {
  return `https://n${number}.example`;
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

import type { NativeClient } from "./library.ts";

/** Milliseconds between two looks of the library at itself, which it tells as `event.stats`. */
export const LOOK = 5_000;
/** Looks in a row that find no broker: it may know none for a moment while it begins anew. */
const LOOKS = 2;

/** A broker that the library was told of: by bootstrap.servers, or by another broker. */
const BROKER = /"source":\s*"(?:configured|learned)"/;

/**
 * Calls `tell` where a client knows no broker any more: it can do nothing then, for ever. librdkafka
 * forgets each broker that an answer does not name. One that was frozen may name none, not even
 * itself, until it has registered anew. The library then means to go back to bootstrap.servers, but
 * that very answer may call it off (https://github.com/confluentinc/librdkafka/issues/5301).
 */
export function whenBrokersAreForgotten(client: NativeClient, tell: (reason: Error) => void): void {
  let looks = 0;
  client.on("event.stats", ({ message }) => {
    looks = BROKER.test(message) ? 0 : looks + 1;
    if (looks === LOOKS) tell(new Error("librdkafka knows no broker any more"));
  });
}

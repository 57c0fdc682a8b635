/** How both clients present themselves to the brokers, for quotas and the brokers' logs. */
export const CLIENT_ID = "host-checker";

/**
 * Milliseconds without a heartbeat after which the group gives a consumer's partitions to others,
 * and between two heartbeats.
 */
export const SESSION_LIMIT = 15_000;
export const HEARTBEAT_EVERY = 3_000;

/** Milliseconds for one question to the brokers. */
export const ANSWER_LIMIT = 5_000;

/**
 * Milliseconds that closing a client may take. The brokers' timeouts make up for what it could not
 * say by then.
 */
const CLOSE_LIMIT = 3_000;

/**
 * Waits for the closing of a client, but not longer than `CLOSE_LIMIT`: true where it is over by
 * then. Never rejects, since nothing can be done about a failure.
 */
export async function closedInTime(closing: Promise<unknown>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(resolve, CLOSE_LIMIT, false));
  const isOver = await Promise.race([closing.then(() => true, () => true), late]);
  clearTimeout(timer);
  return isOver;
}

import { addAbortListener } from "node:events";
import { retry } from "../../async/retry.ts";
import type { LiveKeyMaterial } from "../../net/tls.ts";
import type { StatusReporter } from "../status_reporter.ts";
import type { NativeProducer } from "./library.ts";

/** Key material of some moment: aborts when it is outdated. Undefined: it will not change. */
export type Edition = LiveKeyMaterial["replaced"];

/** How a client with new key material is opened. */
export interface Renewing {
  readonly tls: LiveKeyMaterial | undefined;
  /**
   * A producer's client with the present key material that has reached a broker. Waits for a
   * broker.
   */
  open(signal: AbortSignal): Promise<NativeProducer>;
  readonly status: StatusReporter;
}

/**
 * A client with the new key material, each time that it is replaced: librdkafka reads it only when
 * a client is made. The old client goes on until then. The brokers may not know the new
 * certificates yet: this tells of it, and tries again. `edition` is that of the present client,
 * taken before it was made. Ends when `signal` aborts.
 */
export async function* renewals(
  { tls, open, status }: Renewing,
  edition: Edition,
  signal: AbortSignal,
): AsyncGenerator<NativeProducer, void> {
  while (edition !== undefined) {
    await firstAbort(edition, signal);
    if (signal.aborted) return;
    edition = tls?.replaced;
    const onWait = (error: unknown) =>
      status.remark(`${(error as Error).message}; until that is mended, the old certificates stay in use`);
    try {
      yield await retry(() => open(signal), { signal, isPassing: () => true, onWait });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

async function firstAbort(one: AbortSignal, other: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _one = addAbortListener(one, () => resolve());
  using _other = addAbortListener(other, () => resolve());
  await promise;
}

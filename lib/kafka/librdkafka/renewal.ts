import { retry } from "../../async/retry.ts";
import type { LiveKeyMaterial } from "../../net/tls.ts";
import type { StatusReporter } from "../status_reporter.ts";
import type { NativeProducer } from "./library.ts";

/** Key material as it was at some moment: aborts when it is outdated; undefined: it stays as it is. */
export type Edition = LiveKeyMaterial["replaced"];

/** How a client with new key material is opened. */
export interface Renewing {
  readonly tls: LiveKeyMaterial | undefined;
  /** A producer's client with the key material of now, which has reached a broker; waits for one that is away. */
  open(signal: AbortSignal): Promise<NativeProducer>;
  readonly status: StatusReporter;
}

/**
 * A client with the new key material, each time that this is replaced; librdkafka reads it only
 * when a client is made. The old client is to go on until then: the brokers may not know the new
 * certificates yet, which is said, and tried again.
 * `edition` is that of the present client, taken before it was made. Ends when `signal` aborts.
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

async function firstAbort(...signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  for (const signal of signals) signal.addEventListener("abort", wake);
  if (!signals.some(({ aborted }) => aborted)) await promise;
  for (const signal of signals) signal.removeEventListener("abort", wake);
}

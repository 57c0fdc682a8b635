import { unlessAborted } from "../async/waits.ts";
import type { Assignment, FindPositions, LogPositions, Positions } from "./kafka.ts";

/**
 * Asks `find` where to read each partition from. Throws what `find` throws. Gives the failure
 * instead where Kafka fails meanwhile, or `signal` aborts.
 */
export async function startPositions(
  { firstStarts, ...rest }: Assignment,
  find: FindPositions,
  signal: AbortSignal,
): Promise<LogPositions | { readonly failure: unknown }> {
  let failed: { readonly failure: unknown } | undefined;
  const ask = async (question: () => Promise<Positions>) => {
    try {
      return await unlessAborted(question(), signal);
    } catch (failure) {
      failed = { failure };
      throw failure;
    }
  };
  try {
    return await find(firstStarts === undefined ? rest : { ...rest, firstStarts: () => ask(firstStarts) });
  } catch (error) {
    if (failed === undefined || failed.failure !== error) throw error;
    return failed;
  }
}

import type { ListenAddress } from "./http_port.ts";

/** Milliseconds that a program may take to say that it is well. */
const ANSWER_LIMIT = 3_000;

/** Addresses to listen at that stand for every address of the machine, and the one to ask there. */
const EVERYWHERE: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** Asks the program that listens at `address` whether it works: null where it does, else why not, for a person. Never throws. */
export async function askHealth({ host, port }: ListenAddress): Promise<string | null> {
  const asked = EVERYWHERE[host] ?? host;
  const url = `http://${asked.includes(":") ? `[${asked}]` : asked}:${port}/healthz`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_LIMIT) });
    await response.body?.cancel();
    return response.ok ? null : `${url} answers with ${response.status}`;
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? message;
    return `${url} does not answer (${reason})`;
  }
}

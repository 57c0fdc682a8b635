import { get } from "node:http";
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
    const status = await statusOf(url);
    return status === 200 ? null : `${url} answers with ${status}`;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `${url} does not answer (${code ?? message})`;
  }
}

/** Not by `fetch`, whose errors do not say the same on both runtimes. */
function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.setTimeout(ANSWER_LIMIT, () => request.destroy(new Error(`nothing within ${ANSWER_LIMIT / 1000} s`)));
    request.on("error", reject);
  });
}

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { SeenRequest } from "./account.ts";
import type { SiteMessage } from "./counting_site_thread.ts";

/** A site that answers each path that is a number, and takes down when it was asked for which. */
export interface CountingSite extends AsyncDisposable {
  readonly port: number;
  /** All requests that have come until now, in the order of their times. */
  requests(): Promise<readonly SeenRequest[]>;
}

/**
 * Opens the site in a thread of its own. A campaign that starts programs and reads tables would answer
 * thousands of requests late, and take down wrong times.
 */
export async function openCountingSite(): Promise<CountingSite> {
  const thread = new Worker(new URL("counting_site_thread.ts", import.meta.url));
  const failed = Promise.withResolvers<never>();
  thread.once("error", failed.reject);
  failed.promise.catch(() => {});
  const next = async () => (await Promise.race([once(thread, "message"), failed.promise]) as [SiteMessage])[0];
  const { port } = await next();
  const all: SeenRequest[] = [];
  const addresses: string[] = [];
  let asking: Promise<unknown> = Promise.resolve();
  const ask = async () => {
    thread.postMessage("hand over");
    const { seen } = await next();
    for (let n = 0; n < seen.length; n += 2) {
      const [page, at] = [seen[n] as number, seen[n + 1] as number];
      addresses[page] ??= `http://127.0.0.1:${port}/${page}`;
      all.push({ address: addresses[page], at });
    }
  };
  return {
    port,
    async requests() {
      // One after another: each answer is that of the oldest question.
      asking = asking.then(ask);
      await asking;
      return all;
    },
    async [Symbol.asyncDispose]() {
      await thread.terminate();
    },
  };
}

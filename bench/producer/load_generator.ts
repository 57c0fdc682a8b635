import { Agent, get } from "node:http";
import { nextDue } from "../../lib/hosts/schedule.ts";
import type { Checked, Load } from "./checker.ts";
import type { LoadedSite } from "./site.ts";

/** Probes under way at the same time, at most: what our producer allows itself. */
const MOST = 1000;
const EVERY_SECOND = { kind: "interval", text: "1s", interval: 1000 } as const;

/**
 * Asks blackbox_exporter for probes at the moments at which our producer would check the same
 * pages. Keeps its connections open.
 */
export class LoadGenerator implements AsyncDisposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MOST });
  readonly #done: Checked[] = [];
  readonly #timer: ReturnType<typeof setInterval>;
  /** The pages of one second, in order, with milliseconds from its beginning. */
  readonly #round: readonly { readonly index: number; readonly offset: number }[];
  readonly #port: number;
  readonly #target: (index: number) => string;
  #begin = Math.ceil(Date.now() / 1000) * 1000;
  #next = 0;
  #count = 0;
  #running = 0;

  constructor(port: number, site: LoadedSite, { scheme, pages }: Load) {
    this.#port = port;
    this.#target = (index) => site.address(scheme, index);
    const second = this.#begin;
    this.#round = Array.from({ length: pages }, (_, index) => {
      return { index, offset: nextDue(EVERY_SECOND, this.#target(index), second) % 1000 };
    }).sort((a, b) => a.offset - b.offset);
    this.#timer = setInterval(() => this.#startDue(), 1);
  }

  /** All checks that have come to an end. */
  checks(): Checked[] {
    return [...this.#done];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#agent.destroy();
    await Promise.resolve();
  }

  #startDue(): void {
    const now = Date.now();
    while (this.#running < MOST) {
      const next = this.#round[this.#next];
      if (next === undefined) {
        this.#begin += 1000;
        this.#next = 0;
        continue;
      }
      const dueAt = this.#begin + next.offset;
      if (dueAt > now) return;
      this.#next++;
      // Due times that are a second late are left out, as our producer leaves them out.
      if (now - dueAt < 1000) this.#probe();
    }
  }

  #probe(): void {
    // A page of its own for every probe: by it, the site's note of the true wait is found.
    const path = `/${this.#count}`;
    const target = encodeURIComponent(this.#target(this.#count++));
    const startedAt = Date.now();
    this.#running++;
    const end = (text: string) => {
      this.#running--;
      const latency = Number(/^probe_duration_seconds (\S+)$/m.exec(text)?.[1]) * 1000;
      const isUp = /^probe_success 1$/m.test(text);
      this.#done.push({ path, startedAt, latency, lateness: null, isUp });
    };
    const url = {
      agent: this.#agent,
      host: "127.0.0.1",
      port: this.#port,
      path: `/probe?module=page&target=${target}`,
    };
    get(url, (response) => {
      let text = "";
      response.setEncoding("latin1").on("data", (chunk: string) => text += chunk).on("end", () => end(text));
    }).on("error", () => this.#running--);
  }
}

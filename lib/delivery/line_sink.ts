import { printableJson } from "../config/printable.ts";
import { encodeMetric, type Metric } from "../metric.ts";
import type { Sink } from "./delivery.ts";

/** Writes metrics as JSON documents, one a line. */
export class LineSink implements Sink {
  readonly #print: (text: string) => Promise<void>;

  /** `print` resolves when the text is written. It rejects if nobody reads any more. */
  constructor(print: (text: string) => Promise<void>) {
    this.#print = print;
  }

  async send(metrics: readonly Metric[]): Promise<number> {
    await this.#print(metrics.map((metric) => `${printableJson(encodeMetric(metric))}\n`).join(""));
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

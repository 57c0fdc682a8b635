import type { Metric } from "../metric.ts";

/** Texts of a metric that may be cut if it is too large for the topic, the least needed first. */
const TEXTS = ["error_detail", "location"] as const;
/** Characters that are left of a text at the first try, and at the second. */
const LENGTHS = [200, 20] as const;
/** Stands behind the rest of a cut text. ASCII, so that any database can store it. */
const MARK = "... (cut)";

/** A metric with a cut text, and the name of that text. */
export interface Shortened {
  readonly metric: Metric;
  readonly cut: typeof TEXTS[number];
}

/** A metric somewhat shorter than the given one; null if all texts are cut already. */
export function shortened(metric: Metric): Shortened | null {
  for (const cut of TEXTS) {
    const text = metric[cut] ?? "";
    const length = LENGTHS.find((length) => text.length > length + MARK.length);
    if (length === undefined) continue;
    // A character of two units stays whole, or goes.
    const kept = text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "");
    return { metric: { ...metric, [cut]: kept + MARK }, cut };
  }
  return null;
}

import type { Metric } from "../../metric.ts";
import { type BatchSlice, scheduledAt } from "../encoded_batch.ts";
import type { EntryOf } from "../entry.ts";
import { METRIC_COLUMN } from "../flush_sql.ts";
import { detailOf, stateOf } from "../host_state.ts";
import type { Tables } from "../tables.ts";
import type { FailedCheck, Observation } from "./rules.ts";
import type { ForEachCheck } from "./tracker.ts";

/** What incidents need of each check. The rest is read of those alone that were not up. */
const NEEDED = ["address", "location", "scheduled_at", "up", "next_at", "tls_expires_at"] as const;

type Needed = Pick<Metric, typeof NEEDED[number]>;

/** The checks in messages that are encoded for a statement, in their order of arrival. */
export function checksIn(slices: readonly BatchSlice[], { columns }: Pick<Tables, "columns">): ForEachCheck {
  const parts = slices.map((slice) => ({ metrics: slice.sorted.metrics, values: valuesIn(slice, columns) }));
  return (visit) => {
    for (const { metrics, values } of parts) {
      const [first] = metrics;
      if (first === undefined) continue;
      // One object for all of them: most checks change nothing, and leave nothing behind.
      const check = new Check(first);
      for (let i = 0; i < metrics.length; i++) {
        check.take(metrics[i] as EntryOf<Metric>, values, i);
        visit(check);
      }
    }
  };
}

/** A column of each needed field. */
type Values = { readonly [F in keyof Needed]: readonly Needed[F][] };

/**
 * Reads the needed columns of a slice, which costs less than to read its documents. Null if that
 * cannot be done: a column is absent, or a text has an escape that JSON lacks.
 */
function valuesIn({ columns: texts }: BatchSlice, columns: Tables["columns"]): Values | null {
  try {
    return Object.fromEntries(NEEDED.map((field) => {
      const text = texts[METRIC_COLUMN + columns.indexOf(field)];
      if (!columns.includes(field) || text === undefined) throw new RangeError(`There is no column ${field}`);
      return [field, JSON.parse(`[${text}]`)];
    })) as unknown as Values;
  } catch {
    return null;
  }
}

/** A metric as the rules of incidents see it. */
class Check implements Observation {
  #entry: EntryOf<Metric>;
  #values: Values | null = null;
  #at = 0;

  constructor(entry: EntryOf<Metric>) {
    this.#entry = entry;
  }

  take(entry: EntryOf<Metric>, values: Values | null, at: number): void {
    this.#entry = entry;
    this.#values = values;
    this.#at = at;
  }

  #value<F extends keyof Needed>(field: F): Needed[F] {
    return this.#values === null ? this.#entry.content[field] : this.#values[field][this.#at] as Needed[F];
  }

  get partition(): number {
    return this.#entry.partition;
  }

  get offset(): number {
    return this.#entry.offset;
  }

  get address(): string {
    return this.#value("address");
  }

  get location(): string | null {
    return this.#value("location");
  }

  get due(): string {
    return this.#value("scheduled_at") ?? scheduledAt(this.#entry.content);
  }

  get verdict(): Observation["verdict"] {
    if (this.#value("up") === true) return "up";
    const { error } = this.#entry.content;
    if (error === "removed" || error === "missed") return error;
    return stateOf(this.#entry.content) === "up" ? "up" : "down";
  }

  get nextAt(): string | null {
    return this.#value("next_at");
  }

  get tlsExpiresAt(): string | null {
    return this.#value("tls_expires_at");
  }

  failure(): FailedCheck {
    const { content } = this.#entry;
    return { error: content.error, errorDetail: detailOf(content), statusCode: content.status_code };
  }
}

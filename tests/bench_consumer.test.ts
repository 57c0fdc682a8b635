import { expect, it } from "vitest";
import { messageSchema } from "../bench/consumer/debezium.ts";
import { copyCommand } from "../bench/consumer/yardsticks.ts";
import { METRIC_FIELDS } from "../lib/metric.ts";

// The rivals must know of every field of a metric, also of one that is new.

it("Kafka Connect is told the type of each field of a metric", () => {
  const { fields } = messageSchema();
  expect(fields.map(({ field }) => field)).toEqual(METRIC_FIELDS);
  expect(fields.filter(({ type }) => type === undefined)).toEqual([]);
});

it("\\copy fills the fields of a metric, whatever other columns the table has", () => {
  expect(copyCommand("m", "rows.txt")).toBe(`\\copy m (${METRIC_FIELDS.join(", ")}) from 'rows.txt'`);
});

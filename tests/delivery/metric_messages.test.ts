import { expect, it } from "vitest";
import { MetricMessages } from "../../lib/delivery/metric_messages.ts";
import type { Evidence, EvidencedMetric } from "../../lib/metric.ts";
import { metricWith } from "../support/metrics.ts";

it("MetricMessages shortens a metric by its evidence first: the body, then the rest, then other texts", () => {
  const evidence: Evidence = { status_line: "HTTP/1.1 500 No", headers: { a: "b" }, body: "text" };
  const metric: EvidencedMetric = { ...metricWith({ error_detail: "x".repeat(500) }), evidence };
  const messages = new MetricMessages();
  const cuts: unknown[] = [];
  for (let shorter = messages.shortened(messages.of(metric)); shorter !== null;) {
    const { evidence, error_detail } = JSON.parse(String(shorter.message.value));
    cuts.push([shorter.cut, evidence, error_detail.length]);
    shorter = messages.shortened(shorter.message);
  }
  expect(cuts).toEqual([
    ["evidence", { ...evidence, body: null }, 500],
    ["evidence", null, 500],
    ["error_detail", null, 209],
    ["error_detail", null, 29],
  ]);
});

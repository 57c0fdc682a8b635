import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { namesIn } from "./support/dashboards.ts";
import { readDocument } from "./support/documents.ts";
import { consumerPage, familiesOnPage, producerPage } from "./support/metrics_pages.ts";

// docs/metrics.md names the metrics of the programs' own registries, and those that the alerts use.

/** The text of the page about one metric. */
interface Entry {
  readonly name: string;
  readonly type: string;
  readonly unit: string;
  readonly labels: readonly string[];
  readonly alerts: readonly string[];
  /** The text below it. */
  readonly text: string;
}

const FACTS = /^### `(\w+)`\n\n- Type: (\w+)\. Unit: ([^.]+)\. Labels: ([^.]+)\.\n- Alerts: ([^.]+)\.\n\n/;
const page = readDocument("docs/metrics.md");
const named = (list: string) => [...list.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name);

/** The text under a heading of the second level. */
function entriesUnder(heading: string): Entry[] {
  const [, section = ""] = page.split(`\n## ${heading}\n\n`);
  const [own = ""] = section.split("\n## ");
  return own.split(/^(?=### )/m).map((entry) => {
    const [facts = "", name = "", type = "", unit = "", labels = "", alerts = ""] = FACTS.exec(entry) ?? [];
    return { name, type, unit, labels: named(labels), alerts: named(alerts), text: entry.slice(facts.length) };
  });
}

const both = entriesUnder("Both programs");
const entries = [
  ...["The producer", "The consumer", "From Prometheus"].flatMap(entriesUnder),
  ...both,
];

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}
const alerts = readFileSync(new URL("../deploy/prometheus/alerts.yml", import.meta.url), "utf8");
const rules = (parse(alerts) as Rules).groups.flatMap(({ rules }) => rules);
const family = (metric: string) => metric.replace(/_(bucket|sum|count)$/, "");

describe("docs/metrics.md", () => {
  it.each(
    [
      ["The producer", producerPage],
      ["The consumer", consumerPage],
    ] as const,
  )("%s: has each metric of its page with type and labels, and no other", async (heading, get) => {
    const facts = ({ name, type, labels }: Omit<Entry, "unit" | "alerts" | "text">) =>
      `${name} ${type} ${[...labels].toSorted().join(",")}`;
    const found = [...entriesUnder(heading), ...both].map(facts).toSorted();
    expect(found).toEqual(familiesOnPage(await get()).map(facts).toSorted());
  });

  it.each(entries)("$name: the unit is what the name ends with", ({ name, unit }) => {
    expect(unit.startsWith("seconds")).toBe(/_seconds$/.test(name));
  });

  it.each(entries)("$name: says what it means, and what to do", ({ text }) => {
    expect(text.trim().split("\n\n").length).toBeGreaterThanOrEqual(2);
  });

  it.each(entries)("$name: names the alerts that ask for it", ({ name, alerts }) => {
    const asking = rules.filter(({ expr }) => namesIn(expr).metrics.map(family).includes(name));
    expect(alerts).toEqual(asking.map(({ alert }) => alert));
  });

  it("leaves out no alert", () => {
    const told = new Set(entries.flatMap(({ alerts }) => alerts));
    expect(rules.map(({ alert }) => alert).filter((alert) => !told.has(alert))).toEqual([]);
  });
});

it("familiesOnPage reads types and labels, a histogram as one", () => {
  const text = '# HELP a_total A.\n# TYPE a_total counter\na_total{x="1",y="2"} 3\n\n' +
    '# HELP b B.\n# TYPE b histogram\nb_bucket{le="1"} 0\nb_sum 0\nb_count 0\n';
  expect(familiesOnPage(text)).toEqual([
    { name: "a_total", type: "counter", labels: ["x", "y"] },
    { name: "b", type: "histogram", labels: [] },
  ]);
});

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Database } from "../lib/postgres/database.ts";
import { openPostgres } from "../lib/postgres/database/postgres.ts";
import { Store } from "../lib/postgres/store.ts";
import { reasonSql } from "../lib/postgres/host_state.ts";
import { type Dashboard, expandSql, namesIn, readDashboard } from "./support/dashboards.ts";
import { metricWith } from "./support/metrics.ts";
import { consumerPage, namesOnPage, producerPage } from "./support/metrics_pages.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "./support/postgres.ts";

// The queries of deploy/grafana and deploy/prometheus name only columns of the table and metrics of
// the programs.

const known = namesOnPage(await producerPage() + await consumerPage());
const unknownIn = (expression: string) => {
  const { metrics, labels } = namesIn(expression);
  return [
    ...metrics.filter((name) => !known.metrics.has(name)),
    ...labels.filter((name) => !known.labels.has(name)),
  ];
};

describe.each(["sites", "programs"])("deploy/grafana/%s.json", (name) => {
  const dashboard: Dashboard = readDashboard(name);

  it("has panels with an id, a title and a place of their own", () => {
    const { panels } = dashboard;
    expect(panels.length).toBeGreaterThan(5);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + cell % w},${y + Math.floor(cell / w)}`)
    );
    expect(cells.filter((cell, index) => cells.indexOf(cell) !== index)).toEqual([]);
    expect(panels.filter(({ gridPos: { x, w } }) => x < 0 || x + w > 24)).toEqual([]);
  });

  it("takes its data source from the variable, everywhere", () => {
    const sources = dashboard.panels.flatMap((panel) => [panel, ...panel.targets]).map(({ datasource }) => datasource);
    expect(new Set(sources.map(({ uid }) => uid))).toEqual(new Set(["${datasource}"]));
    expect(dashboard.templating.list[0]?.name).toBe("datasource");
  });
});

it("the dashboards are two to Grafana", () => {
  expect(readDashboard("sites").uid).not.toBe(readDashboard("programs").uid);
});

describe("deploy/grafana/programs.json", () => {
  const targets = readDashboard("programs").panels.flatMap(({ title, targets }) =>
    targets.map(({ expr = "", legendFormat = "" }) => ({ title, expr, legendFormat }))
  );

  it.each(targets)("asks for metrics and labels that the programs have: $title, $legendFormat", (target) => {
    expect(namesIn(target.expr).metrics).not.toEqual([]);
    expect(unknownIn(target.expr)).toEqual([]);
    const labels = [...target.legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? "");
    expect(labels.filter((label) => !known.labels.has(label))).toEqual([]);
  });

  it("shows every metric of the programs, but those of the sites, which have a dashboard of their own", () => {
    const shown = new Set(targets.flatMap(({ expr }) => namesIn(expr).metrics).map(family));
    const wanted = new Set([...known.metrics].map(family).filter((metric) => !metric.startsWith("host_checker_host_")));
    expect([...wanted].filter((metric) => !shown.has(metric))).toEqual([]);
  });
});

/** The name of a histogram, without the endings of its samples. */
function family(metric: string): string {
  return metric.replace(/_(bucket|sum|count)$/, "");
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}

describe("deploy/prometheus/alerts.yml", () => {
  const text = readFileSync(new URL("../deploy/prometheus/alerts.yml", import.meta.url), "utf8");
  const rules = (parse(text) as Rules).groups.flatMap(({ rules }) => rules);

  it.each(rules)("$alert asks for metrics and labels that the programs have", ({ expr }) => {
    expect(namesIn(expr).metrics).not.toEqual([]);
    expect(unknownIn(expr)).toEqual([]);
  });

  it("has a test for each alert", () => {
    const tests = readFileSync(new URL("support/alerts_test.yml", import.meta.url), "utf8");
    expect(rules.map(({ alert }) => alert).filter((alert) => !tests.includes(`alertname="${alert}"`))).toEqual([]);
  });
});

it.each([
  ['sum by (result) (rate(host_checker_nothing{job=~"$job"}[5m]))', ["host_checker_nothing", "result", "job"]],
  ["a > 0.5 * on (x) b and deriv(c[10m]) > 0", ["a", "b", "c", "x"]],
])("namesIn finds every name in %s", (expression, expected) => {
  const { metrics, labels } = namesIn(expression);
  expect(new Set([...metrics, ...labels])).toEqual(new Set(expected));
});

describe.skipIf(postgresMissing !== null)(`deploy/grafana/sites.json ${postgresMissing ?? ""}`, () => {
  const { panels, templating } = readDashboard("sites");
  const queries = panels.flatMap(({ title, targets }) =>
    targets.map(({ rawSql = "", format }) => ({ title, rawSql, format }))
  );
  let server: TestPostgres;
  let database: Database;
  beforeAll(async () => {
    server = await startPostgres();
    database = openPostgres(server.settings);
    for (const table of [{ schema: null, name: "host_metrics" }, { schema: "monitoring", name: "checks" }]) {
      const store = await Store.open(database, table);
      const source = { topic: "t", topicId: table.name };
      await store.marks.claim(source, new Map([[0, 0]]));
      const entries = metricsOfAnHour().map((content, offset) => {
        return { partition: 0, offset, key: null, value: null, content };
      });
      await store.flush(source, new Map([[0, { start: 0, next: entries.length }]]), entries);
    }
  });
  afterAll(async () => {
    await database?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /**
   * The checks of two addresses. One is down at the end. The other was down, and a check of it was
   * missed.
   */
  function metricsOfAnHour() {
    const down = { status_code: null, is_valid: false, error: "timeout", error_detail: "no answer within 10 s" };
    const missed = { status_code: null, is_valid: false, error: "missed", latency: 0 };
    const courses = { "https://a.example": [{}, {}, down, down], "https://b.example": [{}, down, missed, {}] };
    return Object.entries(courses).flatMap(([address, course]) =>
      course.map((fields, index) =>
        metricWith({
          address,
          scheduled_at: new Date(Date.now() - (course.length - index) * 600_000).toISOString(),
          checked_at: new Date(Date.now() - (course.length - index) * 600_000).toISOString(),
          tls_expires_at: new Date(Date.now() + 10 * 86_400_000).toISOString(),
          ...fields,
        })
      )
    );
  }
  const ask = async (
    text: string,
    table: string,
    address: string,
  ) => [...await server.sql.unsafe(expandSql(text, { table, address }))];
  const variable = templating.list.find(({ name }) => name === "address");

  it.each(queries)("$title: has an answer", async ({ rawSql, format }) => {
    const all = await ask(rawSql, "host_metrics", variable?.allValue ?? "");
    expect(all.length).toBeGreaterThan(0);
    if (format === "time_series") expect(Object.keys(all[0] ?? {})[0]).toBe("time");
    const chosen = await ask(rawSql, "monitoring.checks", "'https://a.example','https://b.example'");
    expect(chosen.length).toBe(all.length);
    expect(await ask(`select count(*)::int as n from (${rawSql}) q`, "host_metrics", "'https://none.example'"))
      .toEqual([{ n: /^select (count|extract)/.test(rawSql) ? 1 : 0 }]);
  });

  it("the variable Address lists every address", async () => {
    const rows = await ask(String(variable?.query), "host_metrics", "");
    expect(rows).toEqual([{ address: "https://a.example" }, { address: "https://b.example" }]);
  });

  it("Up, per address, and Outages say what happened", async () => {
    const answerOf = (title: string) =>
      ask(queries.find((query) => query.title === title)?.rawSql ?? "", "host_metrics", "address");
    const shares = await answerOf("Up, per address");
    expect(shares.map(({ address, up, checks }) => [address, Math.round(Number(up)), Number(checks)])).toEqual([
      ["https://a.example", 50, 4],
      ["https://b.example", 67, 3],
    ]);
    const outages = await answerOf("Outages in the time range");
    expect(
      outages.map(({ address, ended_at, duration, reason }) => [address, ended_at === null, Number(duration), reason]),
    ).toEqual([
      ["https://a.example", true, 600, "timeout: no answer within 10 s"],
      ["https://b.example", false, 1200, "timeout: no answer within 10 s"],
    ]);
    expect(queries.find(({ title }) => title === "Outages in the time range")?.rawSql)
      .toContain(reasonSql({ error: true, error_detail: true, up: true }));
  });
});

import { readFileSync } from "node:fs";

/** The parts of a Grafana dashboard that tests read. */
export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

export interface Panel {
  readonly id: number;
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly Target[];
}

interface Target {
  readonly datasource: { readonly uid: string };
  readonly legendFormat?: string;
  readonly format: string;
  readonly rawSql?: string;
  readonly expr?: string;
}

interface Variable {
  readonly name: string;
  readonly query: string | { readonly query: string };
  readonly allValue?: string;
}

/** Reads deploy/grafana/NAME.json. */
export function readDashboard(name: string): Dashboard {
  return JSON.parse(readFileSync(new URL(`../../deploy/grafana/${name}.json`, import.meta.url), "utf8"));
}

const RANGE = { from: "2026-01-01T00:00:00Z", to: "2126-01-01T00:00:00Z" };

/**
 * The query that Grafana's PostgreSQL data source makes of a panel's SQL. It replaces macros for a
 * range and an interval of 5 minutes, and variables.
 */
export function expandSql(text: string, variables: Readonly<Record<string, string>>): string {
  const expanded = text
    .replaceAll(/\$__timeGroupAlias\((\w+), \$__interval\)/g, 'floor(extract(epoch from $1)/300)*300 AS "time"')
    .replaceAll(/\$__timeFilter\((\w+)\)/g, `$1 BETWEEN '${RANGE.from}' AND '${RANGE.to}'`)
    .replaceAll(/\$\{(\w+):raw\}|\$(?!__)(\w+)/g, (whole, raw, plain) => variables[raw ?? plain] ?? whole);
  const [left] = /\$\w+|\$\{/.exec(expanded) ?? [];
  if (left !== undefined) throw new SyntaxError(`Nothing is known to stand for ${left} in: ${text}`);
  return expanded;
}

/** The query that Grafana's Prometheus data source makes of a panel's expression. */
export function expandPromql(text: string): string {
  return text.replaceAll("$__rate_interval", "1m").replaceAll(/"\$\w+"/g, '".*"');
}

/**
 * The names of metrics and labels in an expression of PromQL. It knows no more of PromQL than our
 * queries use.
 */
export function namesIn(expression: string): { metrics: string[]; labels: string[] } {
  const labels: string[] = [];
  const note = (inner: string) => void labels.push(...[...inner.matchAll(/(\w+)(?=\s*(?:=|!|,|$))/g)].map(String));
  const rest = expression
    .replaceAll(/"[^"]*"/g, "")
    .replaceAll(/\{([^}]*)\}/g, (_, inner) => (note(inner), ""))
    .replaceAll(/\b(?:by|on)\s*\(([^)]*)\)/g, (_, inner) => (note(inner), ""))
    .replaceAll(/\[[^\]]*\]/g, "")
    .replaceAll(/\b\w+\s*(?=\()/g, "");
  const words = rest.match(/[a-zA-Z_]\w*/g) ?? [];
  return {
    metrics: words.filter((word) => word !== "and"),
    labels: labels.map((label) => label.split(",")[0] ?? ""),
  };
}

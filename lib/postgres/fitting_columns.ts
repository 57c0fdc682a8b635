import { isRequired, type Metric, METRIC_FIELDS } from "../metric.ts";
import type { ColumnFacts } from "./catalog.ts";
import { SetupError } from "./database.ts";
import { quoteIdentifier } from "./pg_text.ts";
import { COLUMNS } from "./schema.ts";

/** A column's default as SQL, and the column's type beneath all domains. */
export interface ColumnDefault {
  readonly type: string;
  readonly sql: string;
}

/** What is written for values that columns refuse: for null, and for what is beyond a type's range. */
export interface StandIns {
  /** True if the column refuses null: 0 then stands for "no HTTP answer came". */
  readonly statusCodeRequired: boolean;
  /** True if the column refuses null and has no default: `checked_at` then stands for null. */
  readonly scheduledAtRequired: boolean;
  /** What stands for null in columns that refuse it and have a default. */
  readonly defaults: ReadonlyMap<keyof Metric, ColumnDefault>;
  /**
   * The phases in columns of the type real, which refuses numbers as large or as small as a metric
   * may have.
   */
  readonly reals: ReadonlySet<keyof Metric>;
}

/** What is written if a column refuses a metric's value. */
export function standIns(facts: readonly ColumnFacts[]): StandIns {
  const defaults = new Map<keyof Metric, ColumnDefault>();
  for (const column of facts) {
    const { name: field, refuses_null, default_sql, base } = column;
    if (!isField(field) || COLUMNS[field].always || field === "status_code") continue;
    if (refuses_null && default_sql !== null) defaults.set(field, { type: base, sql: default_sql });
  }
  const refusesNull = (field: keyof Metric) => facts.find(({ name }) => name === field)?.refuses_null ?? false;
  return {
    defaults,
    reals: new Set(
      facts.filter(({ type }) => type === "float4").map(({ name }) => name).filter(isField)
        .filter((field) => !isRequired(field)),
    ),
    statusCodeRequired: refusesNull("status_code"),
    scheduledAtRequired: refusesNull("scheduled_at") && !defaults.has("scheduled_at"),
  };
}

function isField(name: string): name is keyof Metric {
  return Object.hasOwn(COLUMNS, name);
}

/**
 * Fields that are null in most metrics, or in those of healthy hosts. A column that refuses null
 * would turn good metrics away.
 */
const OFTEN_NULL: ReadonlySet<keyof Metric> = new Set([
  "error",
  "error_detail",
  "latency_dns",
  "latency_connect",
  "latency_tls",
  "latency_first_byte",
  "latency_body",
  "tls_expires_at",
  "labels",
]);

/**
 * Chooses the columns to write. Throws `SetupError` that names everything that keeps metrics from
 * being stored in this table.
 */
export function fittingColumns(
  main: string,
  facts: readonly ColumnFacts[],
  hasTrigger: boolean,
): { readonly columns: readonly (keyof Metric)[]; readonly warnings: readonly string[] } {
  const byName = new Map(facts.map((column) => [column.name, column]));
  const columns: (keyof Metric)[] = [];
  const warnings: string[] = [];
  const problems: string[] = [];
  for (const field of METRIC_FIELDS) {
    const column = byName.get(field);
    const obstacle = column === undefined ? "is missing" : obstacleOf(field, column);
    if (obstacle === null) columns.push(field);
    else if (isRequired(field)) problems.push(`column ${field} ${obstacle}`);
    else if (column !== undefined) warnings.push(`Column ${field} of ${main} ${obstacle}: it is left alone`);
  }
  const unwritten = facts.filter((column) => !(columns as string[]).includes(column.name));
  // A trigger may fill it. If it does not, the first row says so.
  for (const column of hasTrigger ? [] : unwritten.filter((column) => column.required && !column.has_default)) {
    problems.push(
      `column ${quoteIdentifier(column.name)} is NOT NULL, has no default, and is not written: ` +
        `alter table ${main} alter column ${quoteIdentifier(column.name)} drop not null`,
    );
  }
  if (problems.length > 0) throw new SetupError(`Metrics cannot be stored in ${main}: ${problems.join("; ")}`);
  return { columns, warnings };
}

/** Why the field cannot be stored in the column; null if it can. */
function obstacleOf(field: keyof Metric, column: ColumnFacts): string | null {
  if (!COLUMNS[field].fits.includes(column.type)) {
    return `has the type ${column.written}, which is not made for it (${COLUMNS[field].type} is)`;
  }
  if (column.generated) return "is generated";
  if (!column.writable) return "may not be written by this role (grant insert)";
  const isRefused = column.required && column.default_sql === null && OFTEN_NULL.has(field);
  return isRefused ? "is NOT NULL, but most metrics have no value for it" : null;
}

import type { Partition, TableName } from "../config/setting_types.ts";
import { METRIC_FIELDS } from "../metric.ts";
import { spansByHand, spansFrom } from "./part_spans.ts";
import { newPartSql } from "./parts.ts";
import { creation, grants } from "./schema.ts";
import { partsByHand } from "./table_creation.ts";
import { viewName, VIEWS, viewSql } from "./views.ts";

/**
 * The output of `--print-schema`: the SQL that creates tables, parts for a year, and views.
 * Comments in it show the grants for a role that may not, and how the next parts are made for it.
 */
export function schemaSql(table: TableName, partition: Partition = "month", now = Date.now()): string {
  const { schema, main, offsets, rejected } = creation(table, partition);
  const parts = partsByHand(table, partition, now);
  const views = VIEWS.map((view) => viewSql(table, view, METRIC_FIELDS));
  const tables = [...schema, ...main, parts.join(";\n"), ...offsets, ...rejected, ...views];
  const statements = tables.filter((text) => text !== "").map((statement) => `${statement};\n`);
  const forRole = [
    ...grants(table, "ROLE"),
    ...VIEWS.map((view) => `grant select on ${viewName(table, view)} to ROLE`),
  ];
  const comments = forRole.map((statement) => `-- ${statement};\n`).join("");
  return `${statements.join("\n")}
-- A role that did not create them needs (its name for ROLE; the views are for people and dashboards):
${comments}${nextParts(table, partition, now)}`;
}

/** How to make the parts that come after those of a year. */
function nextParts(table: TableName, partition: Partition, now: number): string {
  if (partition === "none") return "";
  const last = spansByHand(partition, now).at(-1)?.to ?? now;
  const [next = { from: last, to: last }] = spansFrom(partition, last, 1);
  return `
-- A consumer whose role owns the table makes the next parts itself. For any other role run this
-- each ${partition}, and so on:
-- ${newPartSql(table, partition, next)};
`;
}

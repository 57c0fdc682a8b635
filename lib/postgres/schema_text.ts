import { type Keep, keepText } from "../config/keep.ts";
import type { Partition, TableName } from "../config/setting_types.ts";
import type { RetentionSettings } from "../config/settings.ts";
import { METRIC_FIELDS } from "../metric.ts";
import { evidenceCreation, evidenceGrants } from "./evidence.ts";
import { monthlySql } from "./parts_by_hand.ts";
import { creation, dayGrants, deletionsOf, grants, incidentGrants, maintenanceGrants, needsKeep } from "./schema.ts";
import { partsByHand } from "./table_creation.ts";
import { viewName, VIEWS, viewSql, WITH_COMPANIONS } from "./views.ts";

/** Everything is kept. */
const KEEPS_ALL: RetentionSettings = { rows: "all", rejected: "all", daily: "all", evidence: "all", isNow: false };

/**
 * The output of `--print-schema`: the SQL that creates tables, parts for a year, and views.
 * Comments in it show the grants for a role that may not, and what to run for it as time goes on.
 */
export function schemaSql(
  table: TableName,
  partition: Partition = "month",
  retention: RetentionSettings = KEEPS_ALL,
  now = Date.now(),
): string {
  const deletions = deletionsOf(retention);
  const { schema, main, offsets, rejected, keep, maintenance, incidents } = creation(table, partition);
  const parts = partsByHand(table, partition, now);
  const views = VIEWS.map((view) => viewSql(table, view, METRIC_FIELDS, WITH_COMPANIONS));
  const kept = needsKeep(deletions) ? keep : [];
  const others = [...offsets, ...rejected, ...kept, ...maintenance, ...incidents, ...evidenceCreation(table)];
  const tables = [...schema, ...main, parts.join(";\n"), ...others, ...views];
  const statements = tables.filter((text) => text !== "").map((statement) => `${statement};\n`);
  const forRole = [
    ...grants(table, "ROLE", deletions, partition),
    ...dayGrants(table, "ROLE"),
    ...maintenanceGrants(table, "ROLE"),
    ...incidentGrants(table, "ROLE"),
    ...evidenceGrants(table, "ROLE"),
    ...VIEWS.map((view) => `grant select on ${viewName(table, view)} to ROLE`),
  ];
  return `${statements.join("\n")}
-- A role that did not create them needs (its name for ROLE; the views are for people and dashboards):
${comment(forRole)}${byHand(table, partition, retention.rows)}`;
}

/** What the owner of a table with parts runs for a role that may not. */
function byHand(table: TableName, partition: Partition, keep: Keep): string {
  if (partition === "none") return "";
  const drops = keep === "all" ? "" : `, and drops those that are older than ${keepText(keep)}`;
  return `
-- A consumer whose role owns the table makes the next parts itself${keep === "all" ? "" : ", and drops the old ones"}.
-- For any other role let the owner run this each ${partition}: it makes the parts of a year${drops}.
${comment([monthlySql(table, partition, keep)])}`;
}

const comment = (statements: readonly string[]) =>
  statements.map((statement) => `${statement};`.replaceAll(/^/gm, "-- ") + "\n").join("");

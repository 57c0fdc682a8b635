import type { Partition, TableName } from "../config/setting_types.ts";
import type { Metric } from "../metric.ts";
import { oddTableWarnings, repeatWarning } from "./advice.ts";
import {
  type OddTable,
  readColumns,
  readFacts,
  readOddTables,
  readRepeatIndexes,
  type RepeatKey,
  type TableFacts,
} from "./catalog.ts";
import { DAILY_NEEDS } from "./daily_sql.ts";
import { type Database, SetupError } from "./database.ts";
import { prepareEvidence } from "./evidence.ts";
import { fittingColumns, type StandIns, standIns } from "./fitting_columns.ts";
import { expectKnownLayout } from "./layout_version.ts";
import { lengthOf, type PartLength } from "./part_spans.ts";
import { readParts } from "./parts.ts";
import { quoteIdentifier } from "./pg_text.ts";
import {
  dayGrants,
  type Deletions,
  grants,
  incidentGrants,
  maintenanceGrants,
  NO_DELETIONS,
  type QuotedTables,
  quoteTables,
} from "./schema.ts";
import {
  createMissing,
  creationWarnings,
  currentRole,
  INCIDENT_NEEDS,
  locate,
  missingTables,
  withStatements,
} from "./table_creation.ts";

/** The moment before which nothing is kept, as `toISOString` writes it, and the reason. */
export interface KeptSince {
  readonly from: string;
  readonly why: string;
}

/** The tables that exist and can be written, and the facts that the store needs of them. */
export interface Tables extends QuotedTables, StandIns {
  /** The fields that the table has a fitting column for, in the order of `METRIC_FIELDS`. */
  readonly columns: readonly (keyof Metric)[];
  /** Unique indexes that recognise a metric that was sent twice, as `indexName` writes them. */
  readonly repeatIndexes: ReadonlySet<string>;
  /**
   * The identity by whose index the flush can leave repeats out; null if there is no such index.
   */
  readonly repeatKey: RepeatKey | null;
  /**
   * True if a real check can take the place of a missed one of its due time: the role may change
   * rows, and nothing forbids it.
   */
  readonly replacesMissed: boolean;
  /** The parts by time that the consumer makes; null: none. */
  readonly partLength: PartLength | null;
  /** True if something is not kept for ever, or was not once. */
  readonly hasKeep: boolean;
  /** Older metrics are not taken; null: all are. */
  readonly kept: KeptSince | null;
  /** True if days are rolled up: the table has the columns and the companions for that. */
  readonly hasDays: boolean;
  /** True if incidents are written: somebody wants them, and the table has the columns for that. */
  readonly hasIncidents: boolean;
  /** True if there is a table of the times in which people work at sites. */
  readonly hasMaintenance: boolean;
  /** True if there is a table for what sites answered when checks failed. */
  readonly hasEvidence: boolean;
  /**
   * True if a flush notes the days of its rows: also where days cannot be rolled up, as long as a
   * column is missing. Else a day would never be rolled up again once the column is back.
   */
  readonly notesDays: boolean;
  /** True if the database takes every text. */
  readonly isUnicode: boolean;
  /**
   * One line for each thing that a person should know of: what was created, what is left alone,
   * what breaks the promise.
   */
  readonly warnings: readonly string[];
}

/**
 * Creates what is missing of the table and its companions, and the views of a new table. Then it
 * looks at what is there. Any number of consumers may do so at once. Throws `SetupError` with the
 * statements to run if the role may not, or if the table cannot take metrics.
 */
export async function prepareTables(
  database: Database,
  table: TableName,
  partition: Partition = "month",
  deletions: Deletions = NO_DELETIONS,
  hasIncidents = false,
): Promise<Tables> {
  const role = await currentRole(database);
  const home = await locate(database, table);
  const { main, offsets } = quoteTables(home);
  await expectKnownLayout(database, main, offsets);
  const missing = await missingTables(database, home, deletions, hasIncidents);
  const options = { role, partition, deletions };
  const notMade = missing.length > 0 ? await createMissing(database, home, missing, options) : [];
  const tables = await inspect(database, home, role, deletions, hasIncidents);
  const created = [...await creationWarnings(database, tables, home, missing), ...notMade];
  const evidence = await prepareEvidence(database, home, role);
  const { hasEvidence } = evidence;
  return { ...tables, hasEvidence, warnings: [...created, ...tables.warnings, ...evidence.warnings] };
}

async function inspect(
  database: Database,
  home: TableName,
  role: string,
  deletions: Deletions,
  hasIncidents: boolean,
): Promise<Tables> {
  const tables = quoteTables(home);
  const facts = await readFacts(database, tables);
  if (facts === null) throw new SetupError(`The table ${tables.main} has just been dropped: start again`);
  const indexes = await readRepeatIndexes(database, tables.main);
  const columns = await readColumns(database, tables.main);
  const odd = await readOddTables(database, tables);
  const parted = await readParts(database, tables.main);
  const partLength = parted && lengthOf(parted.parts);
  expectTables(tables, facts, odd);
  const mayWrite = facts.may_offsets && facts.may_rejected && (facts.may_days || !facts.has_days) &&
    (facts.may_incidents || !facts.has_incidents || !hasIncidents) && columns.some((column) => column.writable);
  if (!mayWrite || (indexes.names.size > 0 && !facts.may_read)) {
    const what = `The role ${quoteIdentifier(role)} lacks privileges on ${tables.main} or its companions`;
    const days = facts.has_days ? dayGrants(home, quoteIdentifier(role)) : [];
    const incidents = hasIncidents && facts.has_incidents
      ? [...maintenanceGrants(home, quoteIdentifier(role)), ...incidentGrants(home, quoteIdentifier(role))]
      : [];
    const needed = [...grants(home, quoteIdentifier(role), deletions, partLength ?? "none"), ...days, ...incidents];
    throw new SetupError(withStatements(what, needed));
  }
  const judged = fittingColumns(tables.main, columns, facts.has_trigger);
  const present = new Set(columns.map(({ name }) => name));
  const warnings = [
    ...judged.warnings,
    ...encodingWarning(facts.encoding),
    ...oddTableWarnings(odd, tables),
    ...repeatWarning(tables.main, facts, indexes, present, judged.columns),
  ];
  const unfit = facts.has_days ? DAILY_NEEDS.filter((column) => !judged.columns.includes(column)) : [];
  if (unfit.length > 0) {
    warnings.push(`${tables.days} is left alone, and no day is rolled up: ${tables.main} has no ${unfit.join(", ")}`);
  }
  const untold = hasIncidents ? INCIDENT_NEEDS.filter((column) => !judged.columns.includes(column)) : [];
  if (untold.length > 0) {
    warnings.push(
      `${tables.incidents} is not written, and nobody is told of outages: ${tables.main} has no ${untold.join(", ")}`,
    );
  }
  const isUnicode = facts.encoding === "UTF8";
  return {
    ...tables,
    ...standIns(columns),
    columns: judged.columns,
    isUnicode,
    repeatIndexes: indexes.names,
    repeatKey: indexes.inferred,
    replacesMissed: indexes.inferred !== null && facts.may_replace && judged.columns.includes("error"),
    partLength,
    hasKeep: facts.has_keep,
    kept: null,
    hasDays: facts.has_days && unfit.length === 0,
    hasIncidents: hasIncidents && facts.has_incidents && untold.length === 0,
    hasMaintenance: facts.has_maintenance,
    hasEvidence: false,
    notesDays: facts.has_days && !unfit.includes("scheduled_at"),
    warnings,
  };
}

/**
 * Looks again at what may change without stopping a consumer: the indexes for repeats, and what
 * stands for null. The columns that are written stay the same.
 */
export async function lookAgain(database: Database, tables: Tables): Promise<Tables> {
  const { names, inferred } = await readRepeatIndexes(database, tables.main);
  const columns = await readColumns(database, tables.main);
  return { ...tables, ...standIns(columns), repeatIndexes: names, repeatKey: inferred };
}

/** Tables, tables with parts, views and foreign tables can be written. */
const WRITABLE_KINDS = ["r", "p", "v", "f"];

function expectTables({ main, offsets, rejected }: QuotedTables, facts: TableFacts, odd: readonly OddTable[]): void {
  if (!WRITABLE_KINDS.includes(facts.kind)) throw new SetupError(`${main} is no table: check DB_TABLE`);
  const companions = [[offsets, facts.offsets_kind], [rejected, facts.rejected_kind]] as const;
  const [wrong] = companions.find(([, kind]) => !WRITABLE_KINDS.includes(kind)) ?? [];
  if (wrong !== undefined) {
    throw new SetupError(
      `${wrong} is no table, but ${main} needs one of this name: rename what has it, or check DB_TABLE`,
    );
  }
  const temporary = odd.find(({ what }) => what === "temporary");
  if (temporary !== undefined) {
    throw new SetupError(`${temporary.name} is temporary, and ends with its connection: check DB_TABLE`);
  }
}

/** Encodings that take every metric. SQL_ASCII takes the bytes as they are. */
const ROOMY_ENCODINGS = ["UTF8", "SQL_ASCII"];

function encodingWarning(encoding: string): string[] {
  return ROOMY_ENCODINGS.includes(encoding) ? [] : [
    `The database has the encoding ${encoding}: a metric with a character that ${encoding} lacks goes to the rejected; ` +
    `a database with the encoding UTF8 takes every metric`,
  ];
}

import { idOf } from "../../metric.ts";
import { type ArrayElement, arrayText, ascii } from "../pg_text.ts";
import { tellSql } from "../notifications.ts";
import type { QuotedTables } from "../schema.ts";
import type { Tables } from "../tables.ts";
import type { IncidentChange, IncidentClosing, IncidentOpening } from "./rules.ts";

/** Parameters that `changesSql` takes. */
const OPENING_TYPES = [
  "int",
  "bigint",
  "uuid",
  "text",
  "text",
  "timestamptz",
  "timestamptz",
  "timestamptz",
  "text",
  "text",
  "text",
  "int",
  "bigint",
] as const;
const CLOSING_TYPES = ["int", "bigint", "text", "text", "timestamptz", "bigint"] as const;

/**
 * Parts of the flush statement: they open and close incidents, each only if the message that caused
 * it is stored by this very statement. Parameters from number `first` on are arrays as texts, see
 * `changesParameters`; whom to tell of it comes last, an array as text.
 *
 * What is closed comes first: an address has one open incident of a kind. Its index lets in no
 * second one, whoever else has opened it.
 */
export function changesSql(tables: Pick<QuotedTables, "incidents" | "notifications">, first: number): string {
  const { incidents } = tables;
  const arrays = (types: readonly string[], from: number) =>
    types.map((type, i) => `$${from + i}::${type}[]`).join(", ");
  return `closed as (
  update ${incidents} i set closed_at = r.closed_at, checks = r.checks
  from unnest(${arrays(CLOSING_TYPES, first + OPENING_TYPES.length)})
    as r(partition, at, kind, address, closed_at, checks)
  join moved v on v.partition = r.partition
  where r.at >= v.mark and i.kind = r.kind and i.address = r.address and i.closed_at is null
  returning i.id
), opened as (
  insert into ${incidents} (id, kind, address, opened_at, confirmed_at, closed_at, locations, error, error_detail,
    status_code, checks)
  select r.id, r.kind, r.address, r.opened_at, r.confirmed_at, r.closed_at, r.locations::text[], r.error, r.detail,
    r.status_code, r.checks
  from unnest(${arrays(OPENING_TYPES, first)})
    as r(partition, at, id, kind, address, opened_at, confirmed_at, closed_at, locations, error, detail, status_code, checks)
  join moved v on v.partition = r.partition
  where r.at >= v.mark and (select count(*) from closed) >= 0
  on conflict do nothing
  returning id, closed_at
), ${tellSql(tables, `$${first + OPENING_TYPES.length + CLOSING_TYPES.length}`)}`;
}

/** The parameters of `changesSql`. */
export function changesParameters(
  changes: readonly IncidentChange[],
  { isUnicode }: Pick<Tables, "isUnicode">,
): string[] {
  const { openings, closings } = merged(changes);
  const text = (value: string | null) => value === null || isUnicode ? value : ascii(value);
  const columns = <T>(rows: readonly T[], ...values: readonly ((row: T) => ArrayElement)[]) =>
    values.map((value) => arrayText(rows.map(value)));
  return [
    ...columns(
      openings,
      ({ opening }) => opening.partition,
      ({ opening }) => opening.offset,
      ({ opening }) => incidentId(opening),
      ({ opening }) => opening.kind,
      ({ opening }) => opening.address,
      ({ opening }) => opening.openedAt,
      ({ opening }) => opening.confirmedAt,
      ({ closing }) => closing?.closedAt ?? null,
      ({ opening }) => arrayText(opening.locations),
      ({ opening }) => opening.error,
      ({ opening }) => text(opening.errorDetail),
      ({ opening }) => opening.statusCode,
      ({ opening, closing }) => closing?.checks ?? opening.checks,
    ),
    ...columns(
      closings,
      ({ partition }) => partition,
      ({ offset }) => offset,
      ({ kind }) => kind,
      ({ address }) => address,
      ({ closedAt }) => closedAt,
      ({ checks }) => checks,
    ),
  ];
}

interface Merged {
  /** Each with its end, if that is here too. */
  readonly openings: readonly { readonly opening: IncidentOpening; readonly closing: IncidentClosing | null }[];
  /** Ends of incidents that were opened before. */
  readonly closings: readonly IncidentClosing[];
}

/** A statement does not see the rows that it inserts: an incident that begins and ends is one row. */
function merged(changes: readonly IncidentChange[]): Merged {
  const openings: { opening: IncidentOpening; closing: IncidentClosing | null }[] = [];
  const closings: IncidentClosing[] = [];
  const open = new Map<string, { opening: IncidentOpening; closing: IncidentClosing | null }>();
  for (const change of changes) {
    const name = `${change.kind} ${change.address}`;
    if (change.what === "opening") {
      const both = { opening: change, closing: null };
      openings.push(both);
      open.set(name, both);
    } else {
      const begun = open.get(name);
      if (begun === undefined) closings.push(change);
      else begun.closing = change;
      open.delete(name);
    }
  }
  return { openings, closings };
}

/**
 * The id of an incident: the same, whoever finds it out. Places may check at the same time, so that
 * two incidents are confirmed at one moment: the message tells them apart.
 */
function incidentId({ kind, address, confirmedAt, partition, offset }: IncidentOpening): string {
  return idOf(INCIDENTS, [kind, address, confirmedAt, `${partition} ${offset}`]);
}

/** The namespace of the ids of incidents: a UUID that stands for them and for nothing else. */
const INCIDENTS = Buffer.from("8f0c6a1d2b7e4f39a4d5c1e07b93f6a8", "hex");

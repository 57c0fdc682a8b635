import { reasonOfDetail } from "../postgres/host_state.ts";
import type { IncidentChange } from "../postgres/store.ts";

/** Addresses that one line names; the others are counted. */
const NAMED = 5;

/** A line of the log, and whether it tells of something bad. */
export interface IncidentLine {
  readonly text: string;
  readonly isTrouble: boolean;
}

type OpeningChange = Extract<IncidentChange, { what: "opening" }>;

/** The changes in words: a line for what is down, for what is up again, and for certificates. */
export function incidentLines(changes: readonly IncidentChange[]): IncidentLine[] {
  const of = (what: IncidentChange["what"], kind: IncidentChange["kind"]) =>
    changes.filter((change) => change.what === what && change.kind === kind);
  const openings = (kind: IncidentChange["kind"]) => of("opening", kind) as OpeningChange[];
  return [
    line("Down", openings("down").map(describeOpening), true),
    line("Up again", of("closing", "down").map(({ address }) => address), false),
    line("Certificate expires", openings("certificate").map(describeCertificate), true),
    line("Certificate is good again", of("closing", "certificate").map(({ address }) => address), false),
  ].flatMap((told) => told ?? []);
}

/** Addresses that nobody checks any more, and such as are checked again, in words. */
export function silenceLines(opened: readonly string[], closed: readonly string[]): IncidentLine[] {
  return [line("No check came of", opened, true), line("Checked again", closed, false)].flatMap((told) => told ?? []);
}

/** Places from which nothing is known, and such as are known again, in words. */
export function placeLines(
  unknown: readonly (string | null)[],
  known: readonly (string | null)[],
): IncidentLine[] {
  const from = (places: readonly (string | null)[]) => places.map((place) => place ?? "the place without a location");
  return [
    line("All canaries are down, and nothing else is taken for down, as seen from", from(unknown), true),
    line("A canary is up again, as seen from", from(known), false),
  ].flatMap((told) => told ?? []);
}

function line(what: string, items: readonly string[], isTrouble: boolean): IncidentLine | null {
  if (items.length === 0) return null;
  const others = items.length - NAMED;
  const more = others > 0 ? ` and ${others} more` : "";
  return { text: `${what}: ${items.slice(0, NAMED).join(", ")}${more}`, isTrouble };
}

function describeOpening({ address, openedAt, locations, error, errorDetail, statusCode }: OpeningChange): string {
  const reason = reasonOfDetail({ error, error_detail: errorDetail, status_code: statusCode });
  const from = locations.length === 0 ? "" : `, from ${locations.join(" and ")}`;
  return `${address} since ${openedAt}${from} (${reason})`;
}

function describeCertificate({ address, errorDetail }: OpeningChange): string {
  return `${address} (${errorDetail})`;
}

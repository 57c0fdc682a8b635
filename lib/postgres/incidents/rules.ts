import type { IncidentSettings } from "../../config/settings.ts";
import { CHECK_GRACE } from "../host_state.ts";

// When an address is down, and when it is up again: a pure function of its checks in their order.

/** Kinds of incidents that the checks themselves open and close. */
export type CheckedKind = "down" | "certificate";

/** What is known of a check that was not up. */
export interface FailedCheck {
  readonly error: string | null;
  readonly errorDetail: string | null;
  readonly statusCode: number | null;
}

export type Verdict = "up" | "down" | "missed" | "removed";

/** What a check says about its address. Times are milliseconds since 1970, or `UNTOLD`. */
export interface Observation {
  readonly partition: number;
  readonly offset: number;
  readonly address: string;
  readonly location: string | null;
  /** When the check was due. */
  readonly due: number;
  readonly verdict: Verdict;
  readonly nextAt: number;
  readonly tlsExpiresAt: number;
  failure(): FailedCheck;
}

/** Stands for a time that is not told. A number, so that states change without making objects. */
export const UNTOLD = NaN;

/** Tells of the network of a place, whose checks fail without it whatever their hosts do. */
export interface Witness {
  /**
   * Whether this check, and those in a row before it since a due time, tell of their host. They tell
   * nothing if the network may be to blame. "wait": that is not known before the next check.
   */
  judge(check: Observation, since: number): "counts" | "wait" | "nothing";
}

/** An outage as one place sees it. */
interface PlaceOutage {
  /** The due time of its first check that was not up. */
  readonly since: number;
  readonly first: FailedCheck;
  /** Checks that were not up since then. */
  readonly failed: number;
}

/** Checks in a row that contradict what the place said so far. */
interface Contradiction {
  readonly since: number;
  readonly first: FailedCheck | null;
  readonly length: number;
}

/** The certificate that a place saw last. */
interface SeenCertificate {
  readonly expiresAt: number;
  /** From this moment on it has too few days left. */
  readonly shortFrom: number;
  readonly isShort: boolean;
}

/** What one place knows of an address. */
export interface Place {
  readonly location: string | null;
  /** The due time of its newest check. Older ones are history. */
  readonly newest: number;
  readonly nextAt: number;
  /** True if the address left the hosts file there. */
  readonly isGone: boolean;
  /** Null: the address is up, as seen from there. */
  readonly outage: PlaceOutage | null;
  readonly contradiction: Contradiction | null;
  readonly certificate: SeenCertificate | null;
}

/** An incident that lasts. */
export interface OpenIncident {
  readonly openedAt: number;
  /** Checks that were not up, of all places. */
  readonly checks: number;
}

/** What is known of an address. */
export interface AddressState {
  readonly places: readonly Place[];
  readonly down: OpenIncident | null;
  readonly certificate: OpenIncident | null;
}

/** Nothing is known of an address yet. */
export const UNKNOWN_ADDRESS: AddressState = { places: [], down: null, certificate: null };

/** The message that caused a change. */
interface Cause {
  readonly partition: number;
  readonly offset: number;
  readonly kind: CheckedKind;
  readonly address: string;
}

/** An incident begins. Times are ISO 8601 UTC with milliseconds. */
export interface IncidentOpening extends Cause, FailedCheck {
  readonly what: "opening";
  /** The due time of the first check of the earliest streak that belongs to it. */
  readonly openedAt: string;
  /** The due time of the check that made it an incident. */
  readonly confirmedAt: string;
  readonly locations: readonly string[];
  readonly checks: number;
}

/** An incident ends. */
export interface IncidentClosing extends Cause {
  readonly what: "closing";
  /** The due time of the first check of the run that ended it. */
  readonly closedAt: string;
  readonly checks: number;
}

export type IncidentChange = IncidentOpening | IncidentClosing;

/** Milliseconds after a place's next due time for which it still votes. */
const GRACE = CHECK_GRACE * 1000;
const DAY = 86_400_000;

/**
 * The state of an address after one more check. Adds the changes that follow from it to `changes`.
 * A check that is older than the newest of its place is history, and changes nothing. A missed one
 * says nothing, nor does one in maintenance that is not up. Nothing begins in maintenance. Neither
 * does a check say anything of which the witness says so.
 */
export function observe(
  rules: IncidentSettings,
  state: AddressState,
  check: Observation,
  changes: IncidentChange[],
  inMaintenance = false,
  witness: Witness | null = null,
): AddressState {
  if (check.verdict === "missed" || (inMaintenance && check.verdict === "down")) return state;
  const before = state.places.find(({ location }) => location === check.location);
  if (before !== undefined && isLate(check, before)) return state;
  if (check.verdict === "down" && witness?.judge(check, check.due) === "nothing") return state;
  const place = placeAfter(rules, before, check, witness);
  const places = before === undefined
    ? [...state.places, place]
    : state.places.map((other) => other === before ? place : other);
  const seen: Seen = { rules, places, before, place, check, inMaintenance, changes };
  return {
    places,
    down: incidentAfter(seen, state.down),
    certificate: certificateAfter(seen, state.certificate),
  };
}

/**
 * True if one more check of this place that is up, newer, and has no certificate that is nearer to
 * its end, changes nothing but the place's times.
 */
export function isSteady({ down, certificate }: AddressState, place: Place): boolean {
  if (down !== null || certificate !== null) return false;
  return place.outage === null && place.contradiction === null && !place.isGone;
}

/** A check, what its place knew before and knows now, and what all places know. */
interface Seen {
  readonly rules: IncidentSettings;
  readonly places: readonly Place[];
  readonly before: Place | undefined;
  readonly place: Place;
  readonly check: Observation;
  readonly inMaintenance: boolean;
  readonly changes: IncidentChange[];
}

/** A host may be removed at the very time at which it was checked. */
function isLate({ verdict, due }: Observation, { newest }: Place): boolean {
  return verdict === "removed" ? due < newest : due <= newest;
}

function placeAfter(
  rules: IncidentSettings,
  before: Place | undefined,
  check: Observation,
  witness: Witness | null,
): Place {
  const { location, due, nextAt, verdict } = check;
  const gone = { location, newest: due, nextAt, isGone: true, outage: null, contradiction: null, certificate: null };
  if (verdict === "removed") return gone;
  const known = before ?? gone;
  const streak = verdict === "up" ? afterUp(rules, known, due) : afterDown(rules, known, check, witness);
  const certificate = certificateSeen(rules, known.certificate, check);
  return { location, newest: due, nextAt, isGone: false, ...streak, certificate };
}

type Streak = Pick<Place, "outage" | "contradiction">;

const UP: Streak = { outage: null, contradiction: null };

function afterUp({ upAfter }: IncidentSettings, { outage, contradiction }: Streak, due: number): Streak {
  if (outage === null) return UP;
  const run = { since: contradiction?.since ?? due, first: null, length: (contradiction?.length ?? 0) + 1 };
  return run.length >= upAfter ? UP : { outage, contradiction: run };
}

function afterDown(
  { downAfter }: IncidentSettings,
  { outage, contradiction }: Streak,
  check: Observation,
  witness: Witness | null,
): Streak {
  if (outage !== null) return { outage: { ...outage, failed: outage.failed + 1 }, contradiction: null };
  const judge = (since: number) => witness?.judge(check, since) ?? "counts";
  const streak = contradiction === null || judge(contradiction.since) === "nothing" ? null : contradiction;
  const since = streak?.since ?? check.due;
  const first = streak?.first ?? check.failure();
  const length = (streak?.length ?? 0) + 1;
  return length >= downAfter && judge(since) === "counts"
    ? { outage: { since, first, failed: length }, contradiction: null }
    : { outage, contradiction: { since, first, length } };
}

/** A check that saw no certificate tells nothing of it. */
function certificateSeen(
  { certificateDays }: IncidentSettings,
  before: SeenCertificate | null,
  { tlsExpiresAt, due }: Observation,
): SeenCertificate | null {
  if (Number.isNaN(tlsExpiresAt)) return before;
  const known = before?.expiresAt === tlsExpiresAt ? before : null;
  const shortFrom = known?.shortFrom ?? tlsExpiresAt - certificateDays * DAY;
  const isShort = due > shortFrom;
  return known?.isShort === isShort ? known : { expiresAt: tlsExpiresAt, shortFrom, isShort };
}

function incidentAfter(seen: Seen, incident: OpenIncident | null): OpenIncident | null {
  const { before, place, check, changes } = seen;
  const { verdict, due } = check;
  // Nearly every check is this one.
  if (incident === null && place.outage === null) return null;
  const isDown = verdict === "down";
  const agreeing = agreeingPlaces(seen);
  if (incident === null) return isDown && agreeing.length > 0 ? open(seen, agreeing) : null;
  if (isDown) return { ...incident, checks: incident.checks + 1 };
  if (agreeing.length > 0) return incident;
  // The first of the run that ended it is an earlier check where several must be up.
  const isEnd = verdict === "up" && before?.outage != null && place.outage === null;
  const closedAt = isEnd ? before.contradiction?.since ?? due : due;
  changes.push({ what: "closing", ...causeOf(check, "down"), closedAt: textOf(closedAt), checks: incident.checks });
  return null;
}

/** The places that say the address is down, if they are enough of those that vote; else none. */
function agreeingPlaces({ rules, places, place, check }: Seen): readonly Place[] {
  const voting = places.filter((other) => other === place ? !other.isGone : isVoting(other, check.due));
  const agreeing = voting.filter(({ outage }) => outage !== null);
  const needed = rules.places === "majority"
    ? Math.floor(voting.length / 2) + 1
    : Math.min(rules.places, voting.length);
  return agreeing.length >= needed ? agreeing : [];
}

/** A place whose newest check is too old may be cut off. One of an older producer has a day. */
function isVoting({ isGone, nextAt, newest }: Place, now: number): boolean {
  return !isGone && now <= (Number.isNaN(nextAt) ? newest + DAY : nextAt + GRACE);
}

function open({ places, check, changes }: Seen, agreeing: readonly Place[]): OpenIncident {
  const outages = agreeing.flatMap(({ outage }) => outage ?? []);
  const first = outages.reduce((earliest, outage) => outage.since < earliest.since ? outage : earliest);
  const failed = ({ outage, contradiction }: Place) => outage?.failed ?? contradiction?.length ?? 0;
  const checks = places.reduce((sum, place) => sum + failed(place), 0);
  changes.push({
    what: "opening",
    ...causeOf(check, "down"),
    openedAt: textOf(first.since),
    confirmedAt: textOf(check.due),
    locations: locationsOf(agreeing),
    ...first.first,
    checks,
  });
  return { openedAt: first.since, checks };
}

function certificateAfter(seen: Seen, incident: OpenIncident | null): OpenIncident | null {
  const { places, place, check, inMaintenance, changes } = seen;
  const isShort = place.certificate?.isShort === true;
  if (incident === null) {
    // Told only by a check that has seen it.
    if (!isShort || Number.isNaN(check.tlsExpiresAt) || inMaintenance) return null;
    changes.push({
      what: "opening",
      ...causeOf(check, "certificate"),
      openedAt: textOf(check.due),
      confirmedAt: textOf(check.due),
      locations: locationsOf([place]),
      error: null,
      errorDetail: `the certificate expires at ${textOf(check.tlsExpiresAt)}`,
      statusCode: null,
      checks: 1,
    });
    return { openedAt: check.due, checks: 1 };
  }
  const isOver = !isShort && (check.verdict === "removed" || !Number.isNaN(check.tlsExpiresAt)) &&
    !places.some((other) => other !== place && other.certificate?.isShort === true && isVoting(other, check.due));
  if (!isOver) return isShort ? { ...incident, checks: incident.checks + 1 } : incident;
  const closedAt = textOf(check.due);
  changes.push({ what: "closing", ...causeOf(check, "certificate"), closedAt, checks: incident.checks });
  return null;
}

function textOf(time: number): string {
  return new Date(time).toISOString();
}

function causeOf({ partition, offset, address }: Observation, kind: CheckedKind): Cause {
  return { partition, offset, kind, address };
}

function locationsOf(places: readonly Place[]): string[] {
  return places.flatMap(({ location }) => location ?? []).toSorted();
}

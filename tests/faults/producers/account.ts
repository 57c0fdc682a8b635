import type { Frequency } from "../../../lib/hosts/schedule.ts";
import { nextDue } from "../../../lib/hosts/schedule.ts";

/** A host, and the times in which all producers had it in their files. Milliseconds since 1970. */
export interface AccountedHost {
  readonly address: string;
  readonly frequency: Frequency;
  readonly spans: readonly Span[];
}

/** From `from` on, up to `to` (excluded). */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** A row of the table. */
export interface Row {
  readonly address: string;
  readonly due: number;
  readonly error: string | null;
  readonly detail: string | null;
  readonly producer: string;
  /** Milliseconds from the due time to the check. */
  readonly late: number;
  /** Milliseconds that the check took. */
  readonly took: number;
}

/** A request that the site has seen. */
export interface SeenRequest {
  readonly address: string;
  readonly at: number;
}

/** The time of one fault: from its strike until the next one strikes. */
export interface Stretch extends Span {
  readonly fault: string;
  /** When it struck, and whom: names of producers. */
  readonly strikes: readonly number[];
  readonly struck: ReadonlySet<string>;
  /** Due times for which a site may be asked twice: a check was killed, or a member could not know better. */
  readonly repeats: readonly Span[];
  /** Clocks were apart: the time of a request does not tell its due time. */
  readonly isSkewed: boolean;
}

/** What came of the due times of a stretch. */
export interface StretchAccount {
  readonly due: number;
  readonly rows: number;
  /** Due times without a row, and with more than one. */
  readonly missing: readonly string[];
  readonly twice: readonly string[];
  /** Rows of no due time. */
  readonly stray: readonly string[];
  /** Requests beyond one a due time, and those of them that no fault excuses. */
  readonly beyond: readonly string[];
  readonly needless: readonly string[];
  /** Due times that were told as missed, by the reason. */
  readonly missed: ReadonlyMap<string, number>;
  /** Milliseconds of the longest time without a check that should have been; 0 where there is none. */
  readonly hole: number;
  /** Milliseconds that each check was late. */
  readonly late: readonly number[];
  /** Missed due times of hosts that stayed with a producer that was not struck. */
  readonly unmoved: readonly string[];
}

/** No fault of the group: a busy machine makes checks slow. */
const STILL_RAN = "the check before it still ran";

/** Compares due times, rows and requests of a stretch. */
export function accountFor(
  stretch: Stretch,
  hosts: readonly AccountedHost[],
  rows: readonly Row[],
  requests: readonly SeenRequest[],
): StretchAccount {
  const rowsOf = Map.groupBy(rows, ({ address }) => address);
  const requestsOf = Map.groupBy(requests, ({ address }) => address);
  const accounts = hosts.map((host) =>
    accountForHost(stretch, host, rowsOf.get(host.address) ?? [], requestsOf.get(host.address) ?? [])
  );
  const all = (key: "missing" | "twice" | "stray" | "beyond" | "needless" | "unmoved") =>
    accounts.flatMap((one) => one[key]);
  const missed = new Map<string, number>();
  for (const one of accounts) for (const [why, count] of one.missed) missed.set(why, (missed.get(why) ?? 0) + count);
  return {
    due: accounts.reduce((sum, { due }) => sum + due, 0),
    rows: accounts.reduce((sum, { rows }) => sum + rows, 0),
    missing: all("missing"),
    twice: all("twice"),
    stray: all("stray"),
    beyond: all("beyond"),
    needless: all("needless"),
    missed,
    hole: Math.max(0, ...accounts.map(({ hole }) => hole)),
    late: accounts.flatMap(({ late }) => late),
    unmoved: all("unmoved"),
  };
}

function accountForHost(
  stretch: Stretch,
  { address, frequency, spans }: AccountedHost,
  rows: readonly Row[],
  requests: readonly SeenRequest[],
): StretchAccount {
  const grid = spans.flatMap((span) => [...dueTimes(frequency, address, overlap(span, stretch))]);
  const byDue = Map.groupBy(rows, ({ due }) => due);
  const label = (due: number) => `${address} ${new Date(due).toISOString()}`;
  const own = grid.flatMap((due) => byDue.get(due) ?? []);
  const lost = own.filter(({ error }) => error === "missed");
  const made = own.filter(({ error }) => error !== "missed");
  const earlier = rows.filter(({ due, error }) => due < stretch.from && error !== "missed");
  const last = earlier.reduce<Row | null>((one, other) => one === null || other.due > one.due ? other : one, null);
  // Who told that it was missed had it, too.
  const makers = new Set([...own, ...last === null ? [] : [last]].map(({ producer }) => producer));
  const onGrid = new Set(grid);
  const isStray = ({ due, error }: Row) =>
    error !== "removed" && !onGrid.has(due) && isWithin(due, stretch) && spans.some((span) => isWithin(due, span));
  const missed = new Map<string, number>();
  for (const { detail } of lost) missed.set(detail ?? "", (missed.get(detail ?? "") ?? 0) + 1);
  const beyond = requestsBeyond(stretch, grid, requests, rows);
  // Of two producers that ask, the table names one.
  const isUnmoved = makers.size === 1 && !stretch.struck.has([...makers][0] ?? "") && beyond.length === 0;
  const isExcused = ({ due }: Beyond, n: number) =>
    due === null
      ? stretch.isSkewed
      // Twice is enough.
      : stretch.repeats.some((span) => isWithin(due, span)) && beyond.findIndex((one) => one.due === due) === n;
  const asked = ({ due, at }: Beyond) =>
    due === null ? `${address}, clocks apart` : `${label(due)} after ${at - due} ms (${describeChecks(rows, at)})`;
  return {
    due: grid.length,
    rows: own.length,
    missing: grid.filter((due) => !byDue.has(due)).map(label),
    twice: grid.filter((due) => (byDue.get(due)?.length ?? 0) > 1).map(label),
    stray: rows.filter(isStray).map(({ due }) => label(due)),
    beyond: beyond.map(asked),
    needless: beyond.filter((one, n) => !isExcused(one, n)).map(asked),
    missed,
    hole: longestHole(grid, new Set(lost.map(({ due }) => due)), stretch.strikes),
    late: made.map(({ late }) => late),
    unmoved: isUnmoved
      ? lost.filter(({ detail }) => detail !== STILL_RAN).map(({ due, detail }) => `${label(due)} (${detail})`)
      : [],
  };
}

/**
 * Of due times that were missed one after another: from the strike before the first of them, if no
 * check came in between, else from the first one, up to the last one.
 */
function longestHole(grid: readonly number[], lost: ReadonlySet<number>, strikes: readonly number[]): number {
  let [longest, began, before] = [0, Infinity, -Infinity];
  for (const due of grid) {
    if (!lost.has(due)) [began, before] = [Infinity, due];
    else {
      const since = before;
      began = Math.min(began, strikes.find((at) => at > since && at <= due) ?? due);
      longest = Math.max(longest, due - began);
    }
  }
  return longest;
}

/** A request beyond one a due time: the newest one before it; null where clocks are apart. */
interface Beyond {
  readonly due: number | null;
  readonly at: number;
}

/**
 * Milliseconds that the clocks of a check and of the site may differ: a check begins at a whole one,
 * and its time is measured by another clock.
 */
const CLOCK_ERROR = 5;
/** Milliseconds that a check takes at most: `CHECK_TIMEOUT` of the producers. */
export const LONGEST_CHECK = 4000;

/**
 * A request came while the check ran that made it, or it is one too many. Two of them are none: the
 * first one of a due time without a check in the table, as of a check that was broken off; and one
 * that a busy site has read after its check had given up.
 */
function requestsBeyond(
  { isSkewed }: Stretch,
  grid: readonly number[],
  requests: readonly SeenRequest[],
  rows: readonly Row[],
): readonly Beyond[] {
  const [first = Infinity, last = -Infinity] = [grid[0], grid.at(-1)];
  const step = grid.length > 1 ? (grid[1] as number) - first : 0;
  const isIn = ({ at }: SeenRequest) => at >= first && at < last + step;
  const made = rows.filter(({ error }) => error !== "missed" && error !== "removed");
  if (isSkewed) {
    const due = new Set(grid);
    const more = requests.filter(isIn).slice(made.filter((row) => due.has(row.due)).length);
    return more.map(({ at }) => ({ due: null, at }));
  }
  const { left, unasked } = matchRequests(requests, made, {
    from: first - LONGEST_CHECK,
    to: last + step + LONGEST_CHECK,
  });
  const isOpen = new Set(grid).difference(new Set(made.map(({ due }) => due)));
  return left.filter(isIn).flatMap(({ at }) => {
    const due = grid.findLast((due) => due <= at) as number;
    if (isOpen.delete(due)) return [];
    const late = unasked.findIndex((row) => isDuring(at, row, LONGEST_CHECK));
    if (late < 0) return [{ due, at }];
    unasked.splice(late, 1);
    return [];
  });
}

/** Gives each check of a time the request that came while it ran. Returns the requests and checks that are left. */
function matchRequests(requests: readonly SeenRequest[], made: readonly Row[], time: Span) {
  const ended = (row: Row) => began(row) + row.took;
  const unasked = made.filter((row) => ended(row) >= time.from && began(row) < time.to).toSorted((a, b) =>
    ended(a) - ended(b)
  );
  const left: SeenRequest[] = [];
  for (const request of requests.filter(({ at }) => isWithin(at, time)).toSorted((a, b) => a.at - b.at)) {
    const found = unasked.findIndex((row) => isDuring(request.at, row, CLOCK_ERROR));
    if (found < 0) left.push(request);
    else unasked.splice(found, 1);
  }
  return { left, unasked };
}

function began({ due, late }: Row): number {
  return due + late;
}

function isDuring(at: number, row: Row, tolerance: number): boolean {
  return at >= began(row) - CLOCK_ERROR && at <= began(row) + row.took + tolerance;
}

/** The checks around a request: whose, of which due time, and when, all in milliseconds from the request on. */
function describeChecks(rows: readonly Row[], at: number): string {
  const near = rows.filter((row) => Math.abs(began(row) - at) < LONGEST_CHECK);
  return near.map((row) =>
    `${row.producer} ${row.error ?? "ok"} due ${row.due - at} began ${began(row) - at} took ${row.took.toFixed(0)}`
  ).join("; ");
}

function* dueTimes(frequency: Frequency, address: string, { from, to }: Span): Generator<number, void> {
  for (let due = nextDue(frequency, address, from - 1); due < to; due = nextDue(frequency, address, due)) yield due;
}

function overlap(one: Span, other: Span): Span {
  return { from: Math.max(one.from, other.from), to: Math.min(one.to, other.to) };
}

function isWithin(at: number, { from, to }: Span): boolean {
  return from <= at && at < to;
}

/** The value that 99 of 100 are below; 0 where there is none. */
export function percentile99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * 0.99) - 1] ?? 0;
}

import { cutoffOf, type Keep, keepText, parseKeep } from "../config/keep.ts";
import type { Database } from "./database.ts";
import type { QuotedTables } from "./schema.ts";

// How long rows are kept, as the database remembers it for all consumers and over restarts.

/**
 * What goes once it is old: rows of the metrics' table, rejected messages, and days that are rolled
 * up.
 */
export const KEPT_KINDS = ["rows", "rejected", "daily"] as const;
export type KeptKind = (typeof KEPT_KINDS)[number];

/** Milliseconds until a time that was shortened counts: it may be a mistake. */
const GRACE = 86_400_000;

export interface KeepState {
  /** The time that counts. */
  readonly keep: Keep;
  /** A shorter time, which does not count yet; null: none. */
  readonly shorter: Keep | null;
  /** When it will count, in milliseconds since 1970. */
  readonly shorterAt: number;
  /** Everything before this moment has gone, or is about to; `-Infinity`: nothing has. */
  readonly goneBefore: number;
}

/** Nothing is remembered: everything was kept so far. */
export const NOTHING_KNOWN: KeepState = { keep: "all", shorter: null, shorterAt: 0, goneBefore: -Infinity };

/**
 * The state after a look at the setting. A longer time counts at once. A shorter one counts after a
 * day, unless nothing would go or somebody is in a hurry.
 */
export function nextState(
  state: KeepState,
  wanted: Keep,
  { now, isNow, isHarmless }: { readonly now: number; readonly isNow: boolean; readonly isHarmless: boolean },
): KeepState {
  const isSame = state.shorter !== null && keepText(state.shorter) === keepText(wanted);
  const counts = !isShorter(wanted, state.keep, now) || isNow || isHarmless || (isSame && now >= state.shorterAt);
  if (counts) return { ...state, keep: wanted, shorter: null, shorterAt: 0 };
  return isSame ? state : { ...state, shorter: wanted, shorterAt: now + GRACE };
}

/** True if less is kept now. */
export function isShorter(wanted: Keep, keep: Keep, now: number): boolean {
  return cutoffOf(wanted, now) > cutoffOf(keep, now);
}

/** The moment before which nothing is kept, nor taken: what has gone does not come back. */
export function keptFrom({ keep, goneBefore }: KeepState, now: number): number {
  return Math.max(cutoffOf(keep, now), goneBefore);
}

/** The state of each kind, and the server's clock. */
export interface Remembered {
  readonly now: number;
  readonly states: Readonly<Record<KeptKind, KeepState>>;
}

interface StateRow {
  readonly what: KeptKind;
  readonly now: string;
  readonly keep: string | null;
  readonly shorter: string | null;
  readonly shorter_at: string | null;
  readonly gone_before: string | null;
}

const milliseconds = (time: string) => `(extract(epoch from ${time}) * 1000)::float8::text`;

/** Reads what the database remembers. */
export async function readKeepStates(database: Database, { keep }: QuotedTables): Promise<Remembered> {
  const rows = await database.query<StateRow>(
    `select w.what, ${milliseconds("now()")} as now, k.keep, k.shorter, ${milliseconds("k.shorter_at")} as shorter_at,
       ${milliseconds("k.gone_before")} as gone_before
     from (values ${
      KEPT_KINDS.map((kind) => `('${kind}')`).join(", ")
    }) w(what) left join ${keep} k on k.what = w.what`,
  );
  const stateOf = (kind: KeptKind) => {
    const row = rows.find(({ what }) => what === kind);
    return row === undefined || row.keep === null ? NOTHING_KNOWN : {
      keep: readKeep(row.keep),
      shorter: row.shorter === null ? null : readKeep(row.shorter),
      shorterAt: Number(row.shorter_at),
      goneBefore: row.gone_before === null ? -Infinity : Number(row.gone_before),
    };
  };
  const states = { rows: stateOf("rows"), rejected: stateOf("rejected"), daily: stateOf("daily") };
  return { now: Number(rows[0]?.now), states };
}

/** Where somebody has written what is no time, everything counts as kept: nothing goes by mistake. */
function readKeep(text: string): Keep {
  try {
    return parseKeep(text);
  } catch {
    return "all";
  }
}

/** Changes the state, unless somebody else has changed it since it was read: false then. */
export async function writeKeepState(
  database: Database,
  { keep }: QuotedTables,
  kind: KeptKind,
  before: KeepState,
  after: KeepState,
): Promise<boolean> {
  const texts = ({ keep, shorter }: KeepState) => [keepText(keep), shorter === null ? null : keepText(shorter)];
  const shorterAt = after.shorter === null ? null : new Date(after.shorterAt).toISOString();
  const written = await database.query(
    `insert into ${keep} as k (what, keep, shorter, shorter_at)
     values ($1::text, $2::text, $3::text, $4::text::timestamptz)
     on conflict (what) do update set keep = excluded.keep, shorter = excluded.shorter,
       shorter_at = excluded.shorter_at, next_sweep = null
     where k.keep = $5::text and k.shorter is not distinct from $6::text
     returning what`,
    [kind, ...texts(after), shorterAt, ...texts(before)],
  );
  return written.length > 0;
}

/** Remembers that everything before a moment has gone, or is about to. */
export function goneSql({ keep }: QuotedTables, kind: KeptKind, before: number): string {
  const moment = `'${new Date(before).toISOString()}'::timestamptz`;
  return `update ${keep} set gone_before = greatest(gone_before, ${moment}) where what = '${kind}'`;
}

/**
 * Takes the next pass through all rows upon itself. False if it is not due, or another consumer has
 * it. Whoever dies in a pass leaves it to another one after an hour.
 */
export async function claimSweep(database: Database, { keep }: QuotedTables, kind: KeptKind): Promise<boolean> {
  const claimed = await database.query(
    `update ${keep} set next_sweep = now() + interval '1 hour'
     where what = $1::text and coalesce(next_sweep <= now(), true) returning what`,
    [kind],
  );
  return claimed.length > 0;
}

/** The pass is over: the next one is due in a day. */
export async function endSweep(database: Database, { keep }: QuotedTables, kind: KeptKind): Promise<void> {
  await database.query(`update ${keep} set next_sweep = now() + interval '1 day' where what = $1::text`, [kind]);
}

import { delay } from "../../async/waits.ts";
import { classifyError, type Database, explain } from "../database.ts";
import { CHECK_GRACE, upSql } from "../host_state.ts";
import { arrayText, millisecondsSql } from "../pg_text.ts";
import type { Tables } from "../tables.ts";
import { type CanaryCheck, networkBetween } from "./canary_rules.ts";
import type { Observation, Witness } from "./rules.ts";

/** Checks of a canary that are kept in mind, of all its places. */
const MOST_CHECKS = 256;
/** Milliseconds for which the table is not read again: other consumers may store the canaries. */
const FRESH = 2_000;
/** Milliseconds between two looks for places of which nothing is known. */
const LOOK_INTERVAL = 10_000;
/** Milliseconds. A check that is stored later comes out of a backlog, and so may its canaries. */
const LATE = 120_000;
/** Milliseconds from the first check of a streak on for which it waits for the canaries. */
const LONGEST_WAIT = 300_000;
/** Milliseconds after the start until a canary must have been checked. */
const LONGEST_ABSENCE = 300_000;
const GRACE = CHECK_GRACE * 1000;
const DAY = 86_400_000;

/** Who hears of places whose canaries are all down. A place is a `location`. */
export interface CanaryEvents {
  /** Nothing is known from these places any more, and again from those. */
  changed(unknown: readonly (string | null)[], known: readonly (string | null)[]): void;
  /** No check of these canaries was stored. */
  absent(addresses: readonly string[]): void;
  /** It could not be looked. */
  failed(why: string): void;
}

/**
 * Addresses that are up as long as a place has a network. What they say of it comes from the
 * messages that are stored here, and from the rows that other consumers have stored.
 */
export class Canaries implements Witness {
  readonly #database: Database;
  readonly #tables: () => Tables;
  readonly #addresses: ReadonlySet<string>;
  readonly #now: () => number;
  readonly #startedAt: number;
  /** Location → address → its checks, in the order of their due times. */
  readonly #places = new Map<string | null, Map<string, CanaryCheck[]>>();
  #readAt = -Infinity;
  /** The places of which nothing was known at the last look. */
  #unknown: ReadonlySet<string | null> = new Set();
  #isAbsenceTold = false;

  constructor(
    database: Database,
    tables: () => Tables,
    addresses: readonly string[],
    now: () => number = () => Date.now(),
  ) {
    this.#database = database;
    this.#tables = tables;
    this.#addresses = new Set(addresses);
    this.#now = now;
    this.#startedAt = now();
  }

  has(address: string): boolean {
    return this.#addresses.has(address);
  }

  /** A check is about to be stored. One that is known already, or no canary's, changes nothing. */
  note(check: Observation): void {
    if (!this.has(check.address)) return;
    const { address, location, due, verdict, nextAt } = check;
    if (verdict === "missed") return;
    this.#keep(address, location, due, verdict, Number.isNaN(nextAt) ? null : nextAt);
  }

  /** Reads the newest checks of the canaries, unless it did so a moment ago. */
  async refresh(): Promise<void> {
    if (Math.abs(this.#now() - this.#readAt) < FRESH) return;
    const tables = this.#tables();
    if (tables.repeatKey !== null) {
      const rows = await this.#database.query<Row>(checksSql(tables), [arrayText([...this.#addresses])]);
      for (const { address, location, due, verdict, next } of rows) {
        this.#keep(address, location, Number(due), verdict, next === null ? null : Number(next));
      }
    }
    this.#readAt = this.#now();
  }

  judge({ address, location, due, nextAt }: Observation, since: number): ReturnType<Witness["judge"]> {
    const canaries = this.#places.get(location);
    if (canaries === undefined || this.has(address)) return "counts";
    const isLate = this.#now() - due > LATE;
    const network = networkBetween(canaries.values(), since, due, isLate);
    if (network === "broken") return "nothing";
    const comesInTime = nextAt <= since + LONGEST_WAIT;
    return network === "unclear" && (isLate || comesInTime) ? "wait" : "counts";
  }

  /** The places of which nothing is known now: all canaries with a voice are down there. */
  unknownPlaces(): (string | null)[] {
    const now = this.#now();
    return [...this.#places].filter(([, canaries]) => networkBetween(canaries.values(), now, now, false) === "broken")
      .map(([location]) => location);
  }

  /** Looks again and again from which places nothing is known, until `signal` aborts. Never rejects. */
  async run(events: CanaryEvents, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look(events);
      } catch (error) {
        // While the server is away, the storing says so.
        if (!signal.aborted && classifyError(error) !== "wait") events.failed(explain(error));
      }
      await delay(LOOK_INTERVAL, signal);
    }
  }

  /** Tells what has changed since the last look. */
  async look({ changed, absent }: Pick<CanaryEvents, "changed" | "absent">): Promise<void> {
    await this.refresh();
    const [before, now] = [this.#unknown, new Set(this.unknownPlaces())];
    this.#unknown = now;
    const [begun, ended] = [now.difference(before), before.difference(now)];
    if (begun.size > 0 || ended.size > 0) changed([...begun], [...ended]);
    if (this.#isAbsenceTold || this.#now() - this.#startedAt <= LONGEST_ABSENCE) return;
    this.#isAbsenceTold = true;
    const addresses = this.#absent();
    if (addresses.length > 0) absent(addresses);
  }

  #absent(): string[] {
    const places = [...this.#places.values()];
    return [...this.#addresses].filter((address) => !places.some((canaries) => canaries.has(address)));
  }

  #keep(
    address: string,
    location: string | null,
    due: number,
    verdict: CanaryCheck["verdict"],
    next: number | null,
  ): void {
    const canaries = this.#places.get(location) ?? new Map<string, CanaryCheck[]>();
    const checks = canaries.get(address) ?? [];
    this.#places.set(location, canaries.set(address, checks));
    const before = checks.findLastIndex((check) => check.due <= due);
    if (checks[before]?.due === due) {
      // A host may leave at the very time at which it was checked.
      if (verdict !== "removed") return;
      checks.splice(before, 1);
    }
    checks.splice(checks.findLastIndex((check) => check.due < due) + 1, 0, {
      due,
      verdict,
      votesUntil: next === null ? due + DAY : next + GRACE,
    });
    if (checks.length > MOST_CHECKS) checks.shift();
  }
}

/** Times in milliseconds since 1970, as texts. */
interface Row {
  readonly address: string;
  readonly location: string | null;
  readonly due: string;
  readonly verdict: CanaryCheck["verdict"];
  readonly next: string | null;
}

/** The newest checks of the addresses $1, each by the index. */
function checksSql({ main, columns, repeatKey }: Tables): string {
  const due = "coalesce(m.scheduled_at, m.checked_at)";
  const milliseconds = (time: string) => `round(${millisecondsSql(time)})::int8::text`;
  return `select a.address, r.location, ${milliseconds("r.due")} as due,
  case when r.error is not distinct from 'removed' then 'removed' when r.up then 'up' else 'down' end as verdict,
  ${milliseconds("r.next_at")} as next
from unnest($1::text[]) a(address) cross join lateral (
  select m.location::text as location, ${due}::timestamptz as due, m.error,
    ${upSql({ error: true, up: columns.includes("up") })} as up,
    ${columns.includes("next_at") ? "m.next_at" : "null::timestamptz as next_at"}
  from ${main} m where m.address = a.address and m.error is distinct from 'missed'
  order by m.${repeatKey} desc limit ${MOST_CHECKS}
) r where isfinite(r.due)`;
}

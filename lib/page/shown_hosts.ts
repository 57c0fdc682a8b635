import {
  addUp,
  type CheckRow,
  dayOf,
  DAYS_SHOWN,
  type DayTally,
  type EvidenceRow,
  type HostNow,
  type HostReader,
  LONG_SPAN,
  type PhaseTally,
  SHORT_SPAN,
  type SpanTally,
  type Tally,
} from "../postgres/host_reader.ts";
import type { PastIncident } from "../postgres/past_incidents.ts";
import { Cached, type Lifetime } from "./cached.ts";
import { matchesGlob } from "../config/glob.ts";

/**
 * The states of a host, the most urgent first. `unchecked` is a host without a due time whose last
 * check is older than a day. `maintenance` is one that is not up while somebody works at it.
 */
export const HOST_STATES = ["down", "stale", "unchecked", "maintenance", "up"] as const;
export type HostState = typeof HOST_STATES[number];

/** A host as the page shows it. */
export interface ShownHost extends Omit<HostNow, "state"> {
  readonly state: HostState;
}

/** All hosts at a moment: the most urgent first, then by address. */
export interface Snapshot {
  readonly at: Date;
  readonly hosts: readonly ShownHost[];
  readonly byAddress: ReadonlyMap<string, ShownHost>;
  readonly counts: Readonly<Record<HostState, number>>;
  /** Places from which nothing is known: all their canaries are down. */
  readonly unknownPlaces: readonly (string | null)[];
}

/** The past of a host. */
export interface History {
  /** The last days, today last; null: there is no row. */
  readonly days: readonly (DayTally | null)[];
  /** The spans of the last 24 hours; null: there is no row. */
  readonly spans: readonly (SpanTally | null)[];
  readonly day: Tally;
  readonly month: Tally;
  readonly quarter: Tally;
}

/** What the page of a host shows beside its state. */
export interface HostDetails {
  readonly history: History;
  readonly day: readonly PhaseTally[];
  readonly month: readonly PhaseTally[];
  readonly incidents: readonly PastIncident[];
  readonly checks: readonly CheckRow[];
  readonly evidence: readonly EvidenceRow[];
}

const DAY = 86_400_000;
const MONTH_DAYS = 30;
/** Milliseconds. Whoever reloads a page sees new checks; many readers cost no more than one. */
const NOW = { fresh: 5_000, usable: 30_000 } as const;
const DETAILS = { fresh: 10_000, usable: 60_000 } as const;
const PAST = { fresh: 60_000, usable: 600_000 } as const;

/** Rows of the last checks, days of incidents, and hosts of which the feed tells at most. */
const LAST_CHECKS = 30;
const LAST_EVIDENCE = 5;
const FEED_DAYS = 7;
const FEED_HOSTS = 50;

/** The hosts that the page may show, and their past. Every answer is kept for a while. */
export class Hosts {
  readonly #reader: HostReader;
  readonly #globs: readonly string[] | null;
  readonly #now: Cached<null, Snapshot>;
  readonly #pasts: Cached<string, ReadonlyMap<string, History>>;
  readonly #details: Cached<string, HostDetails>;
  readonly #incidents: Cached<null, readonly PastIncident[]>;

  /**
   * `globs`: the addresses that may be shown; null: all of them. No answer is given that is older than
   * `oldest` milliseconds.
   */
  constructor(reader: HostReader, globs: readonly string[] | null, oldest = Infinity) {
    this.#reader = reader;
    this.#globs = globs;
    const within = ({ fresh, usable }: Lifetime) => {
      return { fresh: Math.min(fresh, oldest), usable: Math.min(usable, oldest) };
    };
    this.#now = new Cached(() => this.#look(), within(NOW), 1);
    this.#pasts = new Cached((key) => this.#readPasts(JSON.parse(key) as string[]), within(PAST), 100);
    this.#details = new Cached((address) => this.#readDetails(address), within(DETAILS), 100);
    this.#incidents = new Cached(() => this.#readIncidents(), within(PAST), 1);
  }

  /** All hosts as they are now. */
  now(): Promise<Snapshot> {
    return this.#now.get(null);
  }

  /** The past of some hosts, by their addresses. */
  pasts(addresses: readonly string[]): Promise<ReadonlyMap<string, History>> {
    return this.#pasts.get(JSON.stringify(addresses));
  }

  details(address: string): Promise<HostDetails> {
    return this.#details.get(address);
  }

  /** The incidents of the last days, the newest first. */
  incidents(): Promise<readonly PastIncident[]> {
    return this.#incidents.get(null);
  }

  async #look(): Promise<Snapshot> {
    const at = new Date();
    const shown = (await this.#reader.now()).filter(({ address }) => this.#isShown(address));
    const hosts = shown.map((host): ShownHost => ({ ...host, state: stateAt(host, at) }));
    const order = new Map(HOST_STATES.map((state, i) => [state, i]));
    hosts.sort((a, b) => (order.get(a.state) ?? 0) - (order.get(b.state) ?? 0));
    const counts = { down: 0, stale: 0, unchecked: 0, maintenance: 0, up: 0 };
    for (const { state } of hosts) counts[state]++;
    const { unknownPlaces } = this.#reader;
    return { at, hosts, byAddress: new Map(hosts.map((host) => [host.address, host])), counts, unknownPlaces };
  }

  #isShown(address: string): boolean {
    return this.#globs === null || this.#globs.some((glob) => matchesGlob(glob, address));
  }

  async #readPasts(addresses: readonly string[]): Promise<ReadonlyMap<string, History>> {
    if (addresses.length === 0) return new Map();
    const { days, spans } = await this.#reader.history(addresses);
    const [daysOf, spansOf] = [days, spans].map((list) => Map.groupBy<string, Tally>(list, addressOf)) as [
      Map<string, DayTally[]>,
      Map<string, SpanTally[]>,
    ];
    const now = new Date();
    return new Map(addresses.map((address) => {
      return [address, historyOf(daysOf.get(address) ?? [], spansOf.get(address) ?? [], now)];
    }));
  }

  async #readDetails(address: string): Promise<HostDetails> {
    const pasts = await this.#readPasts([address]);
    return {
      history: pasts.get(address) ?? historyOf([], [], new Date()),
      day: await this.#reader.phases(address, SHORT_SPAN, DAY / 1000),
      month: await this.#reader.phases(address, LONG_SPAN, MONTH_DAYS * DAY / 1000),
      incidents: await this.#reader.incidents([address], DAYS_SHOWN),
      checks: await this.#reader.checks(address, LAST_CHECKS),
      evidence: await this.#reader.evidence(address, LAST_EVIDENCE),
    };
  }

  async #readIncidents(): Promise<readonly PastIncident[]> {
    const { hosts } = await this.now();
    const down = hosts.filter(({ state }) => state === "down").map(({ address }) => address);
    const troubled = await this.#reader.troubled(FEED_DAYS, FEED_HOSTS);
    const addresses = [...new Set([...down, ...troubled.filter((address) => this.#isShown(address))])];
    return await this.#reader.incidents(addresses.slice(0, FEED_HOSTS), FEED_DAYS);
  }
}

const addressOf = (tally: Tally) => (tally as DayTally).address;

function stateAt({ state, next_at, checked_at }: HostNow, now: Date): HostState {
  const isOld = next_at === null && now.getTime() - checked_at.getTime() > DAY;
  return isOld && state !== "maintenance" ? "unchecked" : state;
}

/** The past of one host, out of its days and spans in any order. */
export function historyOf(days: readonly DayTally[], spans: readonly SpanTally[], now: Date): History {
  const byDay = new Map(days.map((tally) => [tally.day, tally]));
  const shown = Array.from({ length: DAYS_SHOWN }, (_, i) => {
    return byDay.get(dayOf(now.getTime() - (DAYS_SHOWN - 1 - i) * DAY)) ?? null;
  });
  const span = SHORT_SPAN * 1000;
  const last = Math.floor(now.getTime() / span) * span;
  const bySpan = new Map(spans.map((tally) => [tally.from.getTime(), tally]));
  // The one under way, and those of 24 hours.
  const line = Array.from({ length: DAY / span + 1 }, (_, i) => bySpan.get(last - (DAY / span - i) * span) ?? null);
  const known = shown.filter((tally) => tally !== null);
  return {
    days: shown,
    spans: line,
    day: addUp(line.filter((tally) => tally !== null)),
    month: addUp(shown.slice(-MONTH_DAYS).filter((tally) => tally !== null)),
    quarter: addUp(known),
  };
}

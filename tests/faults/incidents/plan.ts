import { createHash } from "node:crypto";
import type { Metric } from "../../../lib/metric.ts";
import { Random } from "../../support/random.ts";

/** What a plan follows from. It is the same for the same options. */
export interface PlanOptions {
  readonly seed: number;
  readonly hosts: number;
  /** Milliseconds since 1970: the due time of the first tick. */
  readonly base: number;
}

/** A check that a place makes, as planned. Times are milliseconds since 1970. */
export interface PlannedCheck {
  readonly address: string;
  readonly location: string | null;
  readonly due: number;
  /** When the place checks next; null: no more. */
  readonly nextAt: number | null;
  readonly verdict: "up" | "down" | "missed" | "removed";
  /** What was wrong with the site; null: nothing. */
  readonly failure: Failure | null;
  /** When the certificate expires; null: none was seen. */
  readonly expires: number | null;
}

interface Failure {
  readonly error: "connect" | "timeout" | null;
  readonly detail: string | null;
  readonly status: number | null;
}

/** Milliseconds of the plan between two ticks. At a tick one place at most checks a host. */
export const TICK = 250;
/** Ticks from one check of a place to its next. */
const PERIODS = [4, 8];
const PLACES = ["Oslo", "Rome", "Lima"];
const DAY = 86_400_000;
/** Milliseconds until certificates expire: those that are about to, and the others. */
const SOON = 10 * DAY;
const LATER = 90 * DAY;
/** Seconds for which a place says nothing, so that it has no voice any more. */
const DUMB = [72, 90] as const;

/** What a place tells in a round. What is spooled comes later, all at once, with a `release`. */
type Word = "up" | "down" | "missed" | "removed" | "nothing" | "spooled up" | "spooled down";

/** What each place tells of a host in one period, and of its certificate. */
interface Round {
  readonly words: readonly Word[];
  /** The places whose spools are emptied. */
  readonly release?: boolean;
}

/** Ticks after which a new story begins: whoever begins late need not go through all before. */
const CHAPTER = 2400;

/** The checks of each tick, from tick `from` on, without an end. */
export function* ticksOf({ seed, hosts, base }: PlanOptions, from = 0): Generator<readonly PlannedCheck[]> {
  for (let chapter = Math.floor(from / CHAPTER);; chapter++) {
    const all = Array.from({ length: hosts }, (_, n) => new PlannedHost(n, seed * 1000 + n, chapter, base));
    for (let tick = chapter * CHAPTER; tick < (chapter + 1) * CHAPTER; tick++) {
      const checks = all.flatMap((host) => host.checksAt(tick));
      if (tick >= from) yield checks;
    }
  }
}

/** A host of a plan in one chapter. Its ticks are asked for one after the other. */
class PlannedHost {
  readonly #address: string;
  readonly #random: Random;
  readonly #base: number;
  readonly #period: number;
  readonly #places: readonly (string | null)[];
  /** The ticks by which the round of this host is behind. */
  readonly #offset: number;
  readonly #rounds: Generator<Round>;
  readonly #certificates: Generator<readonly boolean[]> | null;
  readonly #spools = new Map<string | null, PlannedCheck[]>();
  #round: Round = { words: [] };
  #isShort: readonly boolean[] | null = null;

  constructor(number: number, seed: number, chapter: number, base: number) {
    this.#address = `https://plan${number}.example`;
    this.#base = base;
    const traits = new Random(seed);
    this.#period = traits.pick(PERIODS);
    const count = traits.pick([1, 2, 2, 2, 3, 3, 3]);
    this.#places = count === 1 ? [null] : PLACES.slice(0, count);
    this.#offset = traits.between(0, this.#period - 1);
    const hasCertificate = traits.next() < 0.4;
    const random = this.#random = new Random(seed * 1000 + chapter);
    this.#rounds = story(random, count, this.#period * TICK / 1000);
    this.#certificates = hasCertificate ? certificates(random, count) : null;
  }

  checksAt(tick: number): PlannedCheck[] {
    if (tick % this.#period === 0) {
      this.#round = this.#rounds.next().value as Round;
      this.#isShort = this.#certificates?.next().value as readonly boolean[] | undefined ?? null;
    }
    const place = (tick + this.#offset) % this.#period;
    const word = this.#round.words[place];
    if (word === undefined) return [];
    const location = this.#places[place] as string | null;
    const spool = this.#spools.get(location) ?? [];
    this.#spools.set(location, spool);
    const live: PlannedCheck[] = [];
    if (word.startsWith("spooled ")) spool.push(this.#check(tick, place, word === "spooled up" ? "up" : "down"));
    else if (word !== "nothing") live.push(this.#check(tick, place, word as PlannedCheck["verdict"]));
    return this.#round.release === true ? [...live, ...spool.splice(0)] : live;
  }

  #check(tick: number, place: number, verdict: PlannedCheck["verdict"]): PlannedCheck {
    const due = this.#base + tick * TICK;
    const failure = verdict === "down" ? failureAt(this.#random, tick) : null;
    const sees = verdict === "up" || failure?.status != null;
    const expires = this.#isShort === null || !sees ? null : this.#base + (this.#isShort[place] ? SOON : LATER);
    const nextAt = verdict === "removed" ? null : due + this.#period * TICK;
    return { address: this.#address, location: this.#places[place] ?? null, due, nextAt, verdict, failure, expires };
  }
}

function failureAt(random: Random, tick: number): Failure {
  return random.pick<Failure>([
    { error: "connect", detail: `refused at tick ${tick}`, status: null },
    { error: "timeout", detail: null, status: null },
    { error: null, detail: null, status: 503 },
    // The page is not as it should be.
    { error: null, detail: null, status: 200 },
  ]);
}

/**
 * What becomes of a host: one episode after the other, with calm times in between. `period` is the
 * number of seconds from one check of a place to its next.
 */
function* story(random: Random, places: number, period: number): Generator<Round> {
  const all = (word: Word): Word[] => Array.from({ length: places }, () => word);
  const calm = (rounds: number): Round[] => Array.from({ length: rounds }, () => ({ words: all("up") }));
  /** All places but one tell this, and that one tells that. */
  const apart = (one: number, word: Word, others: Word): Round => ({
    words: all(others).map((other, place) => place === one ? word : other),
  });

  /** The site goes down in the middle of a round, and comes up in the middle of another one. */
  function outage(): Round[] {
    const [first, last] = [random.between(0, places - 1), random.between(0, places - 1)];
    const rounds = random.pick([1, 2, 3, 3, 4, random.between(5, 40)]);
    return Array.from({ length: rounds }, (_, n) => ({
      words: all("down").map((down, place) =>
        (n === 0 && place < first) || (n === rounds - 1 && place > last) ? "up" : down
      ),
    }));
  }

  /** Checks as they come, more or less in streaks. */
  function flapping(): Round[] {
    const now: Word[] = all("up");
    return Array.from({ length: random.between(4, 15) }, () => {
      for (let place = 0; place < places; place++) {
        if (random.next() < 0.4) now[place] = random.pick(["up", "down", "down", "missed"]);
      }
      return { words: [...now] };
    });
  }

  /** One place finds the site down, and the others do not. In the midst of it, it may be right. */
  function lie(): Round[] {
    const one = random.between(0, places - 1);
    const alone = () => Array.from({ length: random.between(2, 20) }, () => apart(one, "down", "up"));
    const right = outage().map(({ words }) => ({ words: words.map((word, n) => n === one ? "down" : word) }));
    return [...alone(), ...random.next() < 0.4 ? [...right, ...alone()] : []];
  }

  /**
   * One place is cut off, perhaps with a spool, and perhaps while it finds the site down. Then
   * another place does so: what follows depends on whether the first one still has a voice.
   */
  function cutOff(): Round[] {
    const one = random.between(0, places - 1);
    const hasSpool = random.next() < 0.5;
    const seconds = random.next() < 0.7 ? random.between(...DUMB) : random.between(5, 30);
    const silent = (rounds: number, others: () => Word) =>
      Array.from({ length: rounds }, (): Round => ({
        words: all("nothing").map((nothing, place) =>
          place !== one ? others() : !hasSpool ? nothing : random.next() < 0.3 ? "spooled down" : "spooled up"
        ),
      }));
    const isLiar = random.next() < 0.5;
    const next = (one + 1) % places;
    const alone = silent(random.between(3, 12), () => "up").map(({ words }) => ({
      words: words.map((word, place) => place === next && place !== one ? "down" : word),
    }));
    return [
      ...isLiar ? Array.from({ length: random.between(3, 6) }, () => apart(one, "down", "up")) : [],
      ...silent(Math.ceil(seconds / period), () => "up"),
      ...random.next() < 0.7 ? alone : silent(random.between(1, 10), () => "down"),
      // Once its spool comes, what the place says follows from newer checks alone.
      ...calm(4),
      { words: all("up"), release: true },
    ];
  }

  /** Nobody checks for a while. An outage may lie before, behind or around it. */
  function hole(): Round[] {
    const missed = Array.from({ length: random.between(1, 10) }, () => ({ words: all("missed") }));
    return [...random.next() < 0.6 ? outage() : [], ...missed, ...random.next() < 0.6 ? outage() : []];
  }

  /** The host leaves the hosts file, at one place or at all, and comes back. */
  function removal(): Round[] {
    const one = random.next() < 0.4 ? random.between(0, places - 1) : null;
    const leaves = (word: Word): Round => one === null ? { words: all(word) } : apart(one, word, "up");
    const gone = Array.from({ length: random.between(2, 20) }, () => leaves("nothing"));
    return [...random.next() < 0.6 ? outage().slice(0, -1) : [], leaves("removed"), ...gone];
  }

  yield* calm(random.between(1, 10));
  for (;;) {
    yield* random.pick([outage, outage, outage, flapping, lie, lie, cutOff, cutOff, hole, removal])();
    yield* calm(random.between(3, 15));
  }
}

/** By round and place: whether the certificate is about to expire. */
function* certificates(random: Random, places: number): Generator<readonly boolean[]> {
  for (;;) {
    for (let rounds = random.between(20, 100); rounds > 0; rounds--) yield Array.from({ length: places }, () => false);
    // Places may see the old one or the new one earlier than the others, or alone.
    const spans = Array.from({ length: places }, () => {
      const from = random.between(0, 4);
      return { from, to: from + random.between(0, 25) };
    });
    for (let round = 0; round < 30; round++) yield spans.map(({ from, to }) => round >= from && round < to);
  }
}

/** The metric that a producer sends of a check. */
export function plannedMetric({ address, location, due, nextAt, verdict, failure, expires }: PlannedCheck): Metric {
  const time = (at: number | null) => at === null ? null : new Date(at).toISOString();
  const isMade = verdict === "up" || verdict === "down";
  return {
    address,
    location,
    status_code: verdict === "up" ? 200 : failure?.status ?? null,
    // It is no number of the campaign's other metrics.
    latency: isMade ? 0.25 : 0,
    is_valid: verdict === "up",
    scheduled_at: time(due),
    checked_at: new Date(due).toISOString(),
    error: isMade ? failure?.error ?? null : verdict,
    error_detail: failure?.detail ?? null,
    latency_dns: null,
    latency_connect: null,
    latency_tls: null,
    latency_first_byte: null,
    latency_body: null,
    tls_expires_at: time(expires),
    check_id: checkId({ address, location, due }),
    up: isMade ? verdict === "up" : null,
    remote_address: null,
    producer: location,
    next_at: time(nextAt),
    labels: null,
  };
}

/** The id of a check: the same when it is sent again. */
export function checkId({ address, location, due }: Pick<PlannedCheck, "address" | "location" | "due">): string {
  const hash = createHash("md5").update(`${address} ${location} ${due}`).digest("hex");
  return hash.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

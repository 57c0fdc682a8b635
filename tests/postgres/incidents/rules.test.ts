import { describe, expect, it } from "vitest";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import {
  type AddressState,
  type IncidentChange,
  type Observation,
  observe,
  UNKNOWN_ADDRESS,
  UNTOLD,
} from "../../../lib/postgres/incidents/rules.ts";
import { Random } from "../../support/random.ts";

const RULES: IncidentSettings = { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 };
const START = Date.UTC(2026, 0, 31, 12);
const timeOf = (minute: number) => START + minute * 60_000;
const at = (minute: number) => new Date(timeOf(minute)).toISOString();

interface Word {
  readonly verdict: Observation["verdict"];
  readonly minute: number;
  readonly place?: string | null;
  /** Minutes until the place is due next; null: it does not say. */
  readonly every?: number | null;
  /** Days that the certificate has left at the start; null: none was seen. */
  readonly days?: number | null;
}

function check({ verdict, minute, place = null, every = 1, days = null }: Word, offset = 0): Observation {
  return {
    partition: 0,
    offset,
    address: "https://a.example",
    location: place,
    due: timeOf(minute),
    verdict,
    nextAt: every === null ? UNTOLD : timeOf(minute + every),
    tlsExpiresAt: days === null ? UNTOLD : timeOf(days * 1440),
    failure: () => ({ error: "connect", errorDetail: `at ${minute}`, statusCode: null }),
  };
}

function run(words: readonly Word[], rules: Partial<IncidentSettings> = {}): IncidentChange[] {
  const changes: IncidentChange[] = [];
  let state: AddressState = UNKNOWN_ADDRESS;
  words.forEach((word, i) => state = observe({ ...RULES, ...rules }, state, check(word, i), changes));
  return changes;
}

/** As `run`, with maintenance from one minute to before another. */
function runMaintained(words: readonly Word[], from: number, to: number): IncidentChange[] {
  const changes: IncidentChange[] = [];
  let state: AddressState = UNKNOWN_ADDRESS;
  for (const [i, word] of words.entries()) {
    state = observe(RULES, state, check(word, i), changes, from <= word.minute && word.minute < to);
  }
  return changes;
}

/** Changes in few words: `down 1-2` was opened at minute 1 and confirmed at minute 2, `up 3` closed it. */
function told(changes: readonly IncidentChange[]): string[] {
  const minute = (time: string) => (Date.parse(time) - START) / 60_000;
  return changes.map((change) => {
    const kind = change.kind === "down" ? "" : `${change.kind} `;
    return change.what === "opening"
      ? `${kind}down ${minute(change.openedAt)}-${minute(change.confirmedAt)}`
      : `${kind}up ${minute(change.closedAt)}`;
  });
}

/** One letter a minute: u up, d down, m missed, r removed, and a dot where there was no check. */
function words(letters: string, place: string | null = null): Word[] {
  const verdicts = { u: "up", d: "down", m: "missed", r: "removed" } as const;
  return [...letters].flatMap((letter, minute) => {
    const verdict = verdicts[letter as keyof typeof verdicts];
    return verdict === undefined ? [] : [{ verdict, minute, place }];
  });
}

const together = (...places: Word[][]) => places.flat().toSorted((a, b) => a.minute - b.minute);

describe("an address with one place", () => {
  it.each([
    ["uddduu", {}, ["down 1-2", "up 4"]],
    ["ududud", {}, []],
    ["udmddu", {}, ["down 1-3", "up 5"]],
    ["dd", {}, ["down 0-1"]],
    ["uduu", { downAfter: 1 }, ["down 1-1", "up 2"]],
    ["udddduduu", { downAfter: 3, upAfter: 2 }, ["down 1-3", "up 7"]],
    ["ddudduu", { upAfter: 2 }, ["down 0-1", "up 5"]],
    ["ddr", {}, ["down 0-1", "up 2"]],
    ["ddrdd", {}, ["down 0-1", "up 2", "down 3-4"]],
    ["ddmmm", {}, ["down 0-1"]],
  ])("whose checks are %s, with %o, tells %j", (letters, rules, expected) => {
    expect(told(run(words(letters), rules))).toEqual(expected);
  });

  it("tells the place, the reason and the status of its first check that failed, and how many did", () => {
    const [opening, closing] = run(together(words("udddu", "Oslo")));
    const cause = { kind: "down", address: "https://a.example", partition: 0 };
    expect(opening).toEqual({
      ...cause,
      what: "opening",
      offset: 2,
      openedAt: at(1),
      confirmedAt: at(2),
      locations: ["Oslo"],
      error: "connect",
      errorDetail: "at 1",
      statusCode: null,
      checks: 2,
    });
    expect(closing).toEqual({ ...cause, what: "closing", offset: 4, closedAt: at(4), checks: 3 });
  });

  it("takes no notice of checks that come late, or a second time", () => {
    const late = [{ verdict: "down", minute: 0 }, { verdict: "down", minute: 5 }, {
      verdict: "down",
      minute: 5,
    }] as const;
    expect(told(run([...words("uuuuu."), ...late]))).toEqual([]);
    expect(told(run([...words("dd"), { verdict: "up", minute: 1 }]))).toEqual(["down 0-1"]);
  });
});

describe("an address with several places", () => {
  const lying = words("dddddddd", "liar");

  it.each(
    [
      [1, ["down 0-1"]],
      [2, []],
      ["majority", []],
    ] as const,
  )("is down by one place that lies where places is %s: %j", (places, expected) => {
    expect(told(run(together(lying, words("uuuuuuuu", "a"), words("uuuuuuuu", "b")), { places }))).toEqual(expected);
  });

  it("is down when enough agree, since the earliest of their streaks, and up when they are too few", () => {
    const all = together(words("uddddduu", "a"), words("uuuddduu", "b"), words("uuuuuuuu", "c"));
    expect(told(run(all, { places: "majority" }))).toEqual(["down 1-4", "up 6"]);
    expect(run(all, { places: 2 })[0]).toMatchObject({ locations: ["a", "b"], checks: 6 });
  });

  it("asks all that report where fewer report than must agree", () => {
    const silentSince3 = together(words("uudddddd", "a"), words("uuu", "b"));
    expect(told(run(silentSince3, { places: 2 }))).toEqual(["down 2-5"]);
  });

  it("goes on being down where those that said so fall silent, until one that reports is up", () => {
    const all = together(words("dd", "a"), words("....u", "b"));
    expect(told(run(all))).toEqual(["down 0-1", "up 4"]);
  });

  it("lasts while one of its places is removed and another is down", () => {
    const all = together(words("ddr", "a"), words("dddddu", "b"));
    expect(told(run(all))).toEqual(["down 0-1", "up 5"]);
  });

  it("counts a place that does not tell when it is due next for a day", () => {
    const old: Word[] = [0, 1].map((minute) => ({ verdict: "up", minute, place: "old", every: null }));
    const down: Word[] = [1000, 1001, 1002, 1450].map((minute) => ({ verdict: "down", minute, place: "a" }));
    expect(told(run([...old, ...down], { places: 2 }))).toEqual(["down 1000-1450"]);
  });
});

describe("in maintenance", () => {
  it.each(
    [
      ["uddddduu", [], 1, 6],
      ["uddddddduu", ["down 5-6", "up 8"], 1, 5],
      ["udmmmmmduu", ["down 1-7", "up 8"], 2, 7],
      ["udddddduuu", ["down 1-2", "up 7"], 3, 6],
      ["uddduduu", ["down 1-2", "up 4"], 3, 8],
    ] as const,
  )("%s becomes %j, from minute %i to %i", (letters, expected, from, to) => {
    expect(told(runMaintained(words(letters), from, to))).toEqual(expected);
  });

  it("a certificate is told after it, and may get better in it", () => {
    const seen = (minute: number, days: number) => ({ verdict: "up" as const, minute, days });
    expect(told(runMaintained([seen(0, 30), seen(1, 20), seen(2, 20), seen(3, 20)], 1, 3))).toEqual([
      "certificate down 3-3",
    ]);
    expect(told(runMaintained([seen(0, 20), seen(1, 90)], 1, 2))).toEqual(["certificate down 0-0", "certificate up 1"]);
  });
});

describe("a certificate", () => {
  it("is an incident while it has too few days left, and until another one is seen", () => {
    const seen = [22, 20, 20, null, 90].map((days, minute): Word => ({ verdict: "up", minute, days }));
    expect(told(run(seen))).toEqual(["certificate down 1-1", "certificate up 4"]);
    expect(run(seen)[0]).toMatchObject({ errorDetail: `the certificate expires at ${at(20 * 1440)}`, error: null });
  });

  it("is one incident where one of two places still sees the old one", () => {
    const seen = [["a", 20], ["b", 90], ["a", 20], ["b", 90], ["a", 90], ["b", 90]] as const;
    const checks = seen.map(([place, days], minute): Word => ({ verdict: "up", minute, place, days, every: 2 }));
    expect(told(run(checks))).toEqual(["certificate down 0-0", "certificate up 4"]);
  });

  it("ends as an incident with its host", () => {
    expect(told(run([{ verdict: "up", minute: 0, days: 3 }, ...words(".r")]))).toEqual([
      "certificate down 0-0",
      "certificate up 1",
    ]);
  });
});

/**
 * The rules once more, slow and plain: after each check everything is found out from the list of
 * all checks. Certificates are left out.
 */
class Model {
  readonly #rules: IncidentSettings;
  readonly #checks: Word[] = [];
  #openSince: number | null = null;
  readonly told: string[] = [];

  constructor(rules: IncidentSettings) {
    this.#rules = rules;
  }

  take(word: Word): void {
    if (word.verdict === "missed") return;
    const newest = this.#of(word.place).at(-1);
    if (
      newest !== undefined &&
      (word.minute < newest.minute || word.minute === newest.minute && word.verdict !== "removed")
    ) {
      return;
    }
    this.#checks.push(word);
    const agreed = this.#agreed(word);
    if (this.#openSince === null) {
      if (word.verdict !== "down" || agreed.length === 0 || this.#outage(word.place) === null) return;
      this.#openSince = Math.min(...agreed);
      this.told.push(`down ${this.#openSince}-${word.minute}`);
    } else if (word.verdict !== "down" && agreed.length === 0) {
      this.#openSince = null;
      this.told.push(`up ${this.#endOf(word)}`);
    }
  }

  #of(place: Word["place"]): Word[] {
    return this.#checks.filter((word) => word.place === place);
  }

  /** When the outage that a place sees began; null: it sees none. */
  #outage(place: Word["place"]): number | null {
    let since: number | null = null;
    const all = this.#of(place);
    const lastRemoved = all.findLastIndex(({ verdict }) => verdict === "removed");
    const checks = all.slice(lastRemoved + 1);
    const { downAfter, upAfter } = this.#rules;
    checks.forEach((_, i) => {
      const downs = checks.slice(Math.max(0, i - downAfter + 1), i + 1);
      const ups = checks.slice(Math.max(0, i - upAfter + 1), i + 1);
      const isDown = downs.length === downAfter && downs.every(({ verdict }) => verdict === "down");
      const isUp = ups.length === upAfter && ups.every(({ verdict }) => verdict === "up");
      if (since === null && isDown) since = downs[0]?.minute ?? null;
      if (isUp) since = null;
    });
    return since;
  }

  /** When the outages began of the places that agree, if they are enough. */
  #agreed(word: Word): number[] {
    const places = [...new Set(this.#checks.map(({ place }) => place))];
    const voting = places.filter((place) => {
      const newest = this.#of(place).at(-1) as Word;
      if (newest.verdict === "removed") return false;
      return place === word.place || word.minute <= newest.minute + (newest.every ?? 1) + 70 / 60;
    });
    const since = voting.flatMap((place) => this.#outage(place) ?? []);
    const { places: wanted } = this.#rules;
    const needed = wanted === "majority" ? voting.length / 2 + 0.5 : Math.min(wanted, voting.length);
    return since.length >= needed ? since : [];
  }

  /** The first check of the run that has just ended the outage of its place, else this check. */
  #endOf(word: Word): number {
    if (word.verdict !== "up" || this.#outage(word.place) !== null) return word.minute;
    const run = this.#of(word.place).slice(-this.#rules.upAfter);
    this.#checks.pop();
    const wasDown = this.#outage(word.place) !== null;
    this.#checks.push(word);
    return wasDown ? run[0]?.minute ?? word.minute : word.minute;
  }
}

it("says the same as a plain model, whatever the checks and the rules", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = new Random(seed);
  let incidents = 0;
  for (let round = 0; round < 300; round++) {
    const rules: IncidentSettings = {
      downAfter: random.between(1, 3),
      upAfter: random.between(1, 3),
      places: random.pick([1, 2, 3, "majority"]),
      certificateDays: 0,
    };
    const places = ["a", "b", "c", null].slice(0, random.between(1, 4));
    const isBad = random.next();
    const sequence: Word[] = [];
    for (let minute = 0; minute < 40; minute++) {
      for (const place of places) {
        if (random.next() < 0.15) continue;
        const verdict = random.next() < 0.05
          ? random.pick(["missed", "removed"] as const)
          : random.next() < isBad
          ? "down"
          : "up";
        sequence.push({
          verdict,
          minute: random.next() < 0.05 ? minute - random.between(0, 3) : minute,
          place,
          every: random.between(1, 3),
        });
      }
    }
    const model = new Model(rules);
    for (const word of sequence) model.take(word);
    incidents += model.told.length;
    expect(told(run(sequence, rules)), `seed ${seed}, round ${round}`).toEqual(model.told);
  }
  expect(incidents).toBeGreaterThan(200);
});

import { describe, expect, it } from "vitest";
import { type CanaryCheck, networkBetween } from "../../../lib/postgres/incidents/canary_rules.ts";
import {
  type AddressState,
  type IncidentChange,
  type Observation,
  observe,
  UNKNOWN_ADDRESS,
  UNTOLD,
  type Witness,
} from "../../../lib/postgres/incidents/rules.ts";
import { at, INCIDENT_RULES, minuteOf } from "../../support/incidents.ts";

const timeOf = (minute: number) => Date.parse(at(minute));

/** One letter a minute, from minute 0 on: u up, d down, r removed, and a dot where there was no check. */
function canary(letters: string): CanaryCheck[] {
  const words = { u: "up", d: "down", r: "removed" } as const;
  return [...letters].flatMap((letter, minute) => {
    const verdict = words[letter as keyof typeof words];
    return verdict === undefined ? [] : [{ due: timeOf(minute), verdict, votesUntil: timeOf(minute + 2) }];
  });
}

describe("the network of a place, between two minutes", () => {
  it.each(
    [
      ["works where a canary was up before, in between and after", ["uuuuu"], 1, 3, "works"],
      ["works where one of two canaries was", ["uuuuu", "ddddd"], 1, 3, "works"],
      ["is unclear where no canary was checked since", ["uu"], 1, 2, "unclear"],
      ["is unclear where the check since came too soon to tell", ["uu"], 0.9, 1.5, "unclear"],
      ["is broken where the last check before was down", ["dduu"], 1.5, 2.5, "broken"],
      ["is broken where one in between was down", ["uuduu"], 1.5, 3.5, "broken"],
      ["is broken where the first one after was down", ["uuud"], 1, 2.5, "broken"],
      ["is as it is, whatever came later", ["uuuud"], 1, 2.5, "works"],
      ["is broken where all canaries say so", ["uud", "ud."], 1.5, 2.5, "broken"],
      ["is unclear where one canary has not spoken yet", ["uud", "uu."], 1.5, 2.5, "unclear"],
      ["is untold where the canaries are not checked any more", ["uu"], 5, 6, "untold"],
      ["is untold where they were down when they were checked last, long ago", ["ud"], 5, 6, "untold"],
      ["is untold where the canary left the hosts file", ["udr"], 2.5, 2.5, "untold"],
      ["is untold before a canary was checked", ["....ud"], 1, 3, "untold"],
      ["works where a canary was checked only since", [".u"], 0, 1.5, "works"],
      ["is untold where there is no canary", [], 1, 2, "untold"],
    ] as const,
  )("%s", (_, canaries, from, to, expected) => {
    expect(networkBetween(canaries.map(canary), timeOf(from), timeOf(to), false)).toBe(expected);
  });

  it("is unclear, of a check that comes late, where what canaries said then may still come", () => {
    expect(networkBetween([canary("uu")], timeOf(5), timeOf(6), true)).toBe("unclear");
    expect(networkBetween([canary("udr")], timeOf(5), timeOf(6), true)).toBe("untold");
  });
});

describe("an address with canaries", () => {
  /** Judges as the canaries do, but waits for nothing. */
  const witness = (letters: string, wait: "wait" | "counts" = "wait"): Witness => ({
    judge({ due }, since) {
      const network = networkBetween([canary(letters)], since, due, false);
      return network === "broken" ? "nothing" : network === "unclear" ? wait : "counts";
    },
  });

  /** One letter each minute, ten seconds after the canary's. What the canary says later is not known yet. */
  function run(letters: string, canaries: string, rules = {}): string[] {
    const changes: IncidentChange[] = [];
    let state: AddressState = UNKNOWN_ADDRESS;
    for (const [minute, letter] of [...letters].entries()) {
      if (letter === ".") continue;
      const check: Observation = {
        partition: 0,
        offset: minute,
        address: "https://a.example",
        location: null,
        due: timeOf(minute + 1 / 6),
        verdict: letter === "u" ? "up" : "down",
        nextAt: timeOf(minute + 7 / 6),
        tlsExpiresAt: UNTOLD,
        failure: () => ({ error: null, errorDetail: null, statusCode: null }),
      };
      const known = witness(canaries.slice(0, minute + 1));
      state = observe({ ...INCIDENT_RULES, ...rules }, state, check, changes, false, known);
    }
    const minute = (time: string) => Math.floor(minuteOf(new Date(time)));
    return changes.map((change) =>
      change.what === "opening"
        ? `down ${minute(change.openedAt)}-${minute(change.confirmedAt)} (${change.checks})`
        : `up ${minute(change.closedAt)} (${change.checks})`
    );
  }

  it.each([
    ["is down where the canary is up", "uddddu", "uuuuuu", {}, ["down 1-2 (2)", "up 5 (4)"]],
    ["is unknown while the canary is down", "uddddu", "uudddu", {}, []],
    ["is unknown where it failed before the canary did", "uuddddu", "uuudddu", {}, []],
    ["is judged anew once the canary is up again", "udddddd", "udduuuu", {}, ["down 3-4 (2)"]],
    ["takes no check from before into a streak after", "udd..d", "uudduu", {}, []],
    ["stays down that was so before, and no check counts", "uddddddu", "uuuudddu", {}, ["down 1-2 (2)", "up 7 (3)"]],
    ["is up again that was so before, whatever the canary says", "udduddd", "uuudddd", {}, [
      "down 1-2 (2)",
      "up 3 (2)",
    ]],
    ["waits for the canary that was not checked since", "uddd", "uu.u", { downAfter: 1 }, ["down 1-3 (3)"]],
    ["needs each streak to be whole", "ududdd", "uuuuuu", { downAfter: 3 }, ["down 3-5 (3)"]],
  ])("%s", (_, letters, canaries, rules, expected) => {
    expect(run(letters, canaries, rules)).toEqual(expected);
  });
});

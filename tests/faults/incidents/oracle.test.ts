import { expect, it } from "vitest";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import {
  type AddressState,
  type IncidentChange,
  observe,
  UNKNOWN_ADDRESS,
  UNTOLD,
} from "../../../lib/postgres/incidents/rules.ts";
import { type DueIncident, dueIncidents } from "./oracle.ts";
import { type PlannedCheck, ticksOf } from "./plan.ts";

const RULES: IncidentSettings = { downAfter: 2, upAfter: 1, places: 2, certificateDays: 21 };
const address = "https://a.example";
const DAY = 86_400_000;
const LOCATIONS: Readonly<Record<string, string>> = { o: "Oslo", r: "Rome", l: "Lima" };

/** Checks from a text such as `o+ r-3`: Oslo finds it up at second 0, Rome down at second 3. */
function checksOf(text: string): PlannedCheck[] {
  return text.split(" ").map((word, n) => {
    const [place = "", sign] = word;
    const second = word.length > 2 ? Number(word.slice(2)) : n;
    const verdict = sign === "+" ? "up" as const : sign === "-" ? "down" as const : "removed" as const;
    return {
      ...{ address, location: LOCATIONS[place] ?? null, due: second * 1000, nextAt: (second + 2) * 1000, verdict },
      failure: verdict === "down" ? { error: "connect" as const, detail: `at ${second}`, status: null } : null,
      expires: null,
    };
  });
}

/** Each incident as seconds: since when, confirmed when, until when, with the number of checks. */
function told(text: string, rules: Partial<IncidentSettings> = {}): string[] {
  return dueIncidents(checksOf(text), { ...RULES, ...rules }).map(
    ({ openedAt, confirmedAt, closedAt, locations, checks }) => {
      const [opened, confirmed] = [openedAt / 1000, confirmedAt / 1000];
      return `${opened} ${confirmed} ${closedAt === null ? "" : closedAt / 1000} ${locations} (${checks})`;
    },
  );
}

it("an outage is confirmed by the place that makes enough of them agree, and ends with the first up check", () => {
  expect(told("o+ r+ o- r- o- r- o- r+ o+")).toEqual(["2 5 7 Oslo,Rome (5)"]);
  expect(told("o+ r+ o- r- o- r-")).toEqual(["2 5  Oslo,Rome (4)"]);
});

it("neither a short outage nor a lying place is an incident", () => {
  expect(told("o+ r+ o- r- o+ r+ o- r- o+ r+")).toEqual([]);
  expect(told("o+ r- o+ r- o+ r- o+ r- o+ r-")).toEqual([]);
  expect(told("o+ r- l+ o+ r- l+ o+ r- l+", { places: "majority" })).toEqual([]);
});

it("a place that says nothing any more has no voice after 70 seconds", () => {
  expect(told("o+0 r-1 r-3 r-72")).toEqual([]);
  expect(told("o+0 r-1 r-3 r-73")).toEqual(["1 73  Rome (3)"]);
});

it("what comes late is history", () => {
  expect(told("o+0 r+1 o+10 r+11 o-2 o-4 r-3 r-5 o+12 r+13")).toEqual([]);
});

it("an outage ends where the host is removed at all places that say so", () => {
  expect(told("o- r- o- r- o# r#")).toEqual(["0 3 5 Oslo,Rome (4)"]);
});

it("where several checks must be up, the first of them is the end", () => {
  expect(told("o- r- o- r- o+ o- o+ o+", { upAfter: 2 })).toEqual(["0 3 6 Oslo,Rome (5)"]);
});

it("a certificate that is about to expire is an incident until all places see another one", () => {
  const expires = (days: number) => (check: PlannedCheck) => ({ ...check, expires: days * DAY });
  const [o, r] = checksOf("o+ r+") as [PlannedCheck, PlannedCheck];
  const next = (check: PlannedCheck, n: number) => ({ ...check, due: check.due + n * 2000, nextAt: 100_000 });
  const checks = [
    ...[o, r].map(expires(30)),
    ...[next(o, 1), next(r, 1)].map(expires(20)),
    ...[next(o, 2)].map(expires(90)),
    ...[next(r, 3)].map(expires(90)),
  ];
  expect(dueIncidents(checks, RULES)).toMatchObject([
    { kind: "certificate", openedAt: 2000, confirmedAt: 2000, closedAt: 7000, locations: ["Oslo"] },
  ]);
});

it("of thousands of checks the same follows as by the rules of the consumer", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  let count = 0;
  for (const places of [1, 2, "majority"] as const) {
    const rules = { ...RULES, places, downAfter: 1 + seed % 3, upAfter: 1 + seed % 2 };
    const checks: PlannedCheck[] = [];
    for (const some of ticksOf({ seed, hosts: 20, base: Date.UTC(2026, 0) })) {
      checks.push(...some);
      if (checks.length > 10_000) break;
    }
    const due = [...Map.groupBy(checks, (check) => check.address).values()].flatMap((own) => dueIncidents(own, rules));
    expect(due.toSorted(inOrder), `seed ${seed}`).toEqual(observed(checks, rules).toSorted(inOrder));
    count += due.length;
  }
  expect(count).toBeGreaterThan(100);
});

function inOrder(a: DueIncident, b: DueIncident): number {
  return a.confirmedAt - b.confirmedAt || `${a.address} ${a.kind}`.localeCompare(`${b.address} ${b.kind}`);
}

/** The incidents by the rules that the consumer has. */
function observed(checks: readonly PlannedCheck[], rules: IncidentSettings): DueIncident[] {
  const changes: IncidentChange[] = [];
  const states = new Map<string, AddressState>();
  for (const { address, location, due, nextAt, verdict, failure, expires } of checks) {
    const observation = {
      ...{ partition: 0, offset: 0, address, location, due, verdict },
      ...{ nextAt: nextAt ?? UNTOLD, tlsExpiresAt: expires ?? UNTOLD },
      failure: () => ({
        error: failure?.error ?? null,
        errorDetail: failure?.status === 200 ? "the page does not match" : failure?.detail ?? null,
        statusCode: failure?.status ?? null,
      }),
    };
    states.set(address, observe(rules, states.get(address) ?? UNKNOWN_ADDRESS, observation, changes));
  }
  const open = new Map<string, DueIncident>();
  const incidents: DueIncident[] = [];
  for (const change of changes) {
    const name = `${change.address} ${change.kind}`;
    const checksOfKind = change.kind === "down" ? change.checks : null;
    if (change.what === "opening") {
      const { kind, address, openedAt, confirmedAt, locations, error, errorDetail, statusCode } = change;
      open.set(name, {
        ...{ kind, address, openedAt: Date.parse(openedAt), confirmedAt: Date.parse(confirmedAt), closedAt: null },
        ...{ locations, error: error as DueIncident["error"], detail: errorDetail, status: statusCode },
        checks: checksOfKind,
      });
    } else {
      const begun = open.get(name) as DueIncident;
      incidents.push({ ...begun, closedAt: Date.parse(change.closedAt), checks: checksOfKind });
      open.delete(name);
    }
  }
  return [...incidents, ...open.values()];
}

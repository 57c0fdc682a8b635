import { expect, it } from "vitest";
import { accountForIncidents, eventsToTell, type FoundIncident, type Incidents, problemsOf } from "./account.ts";
import type { DueIncident } from "./oracle.ts";

const incident: DueIncident = {
  ...{ kind: "down", address: "https://a.example", openedAt: 1000, confirmedAt: 2000, closedAt: 5000 },
  ...{ locations: ["Oslo"], error: "connect", detail: "refused", status: null, checks: 3 },
};
const certificate: DueIncident = { ...incident, kind: "certificate", confirmedAt: 3000, closedAt: null, checks: null };
const rows: FoundIncident[] = [{ ...incident, id: "1" }, { ...certificate, id: "2", checks: 7 }];
const told = ["1 closed", "2 opened"].map((event, key) => ({ event, key: `key ${key}`, isAccepted: true }));
const good: Incidents = { due: [incident, certificate], found: rows, told, toTell: new Set(eventsToTell(rows)) };

/** What is wrong with incidents that were good before the change. */
function problems(change: Partial<Incidents>): string[] {
  return problemsOf(accountForIncidents({ ...good, ...change })).map((text) => text.replace(/:\n.*/s, ""));
}

it("finds nothing where each incident is there once, and was told", () => {
  expect(problems({})).toEqual([]);
  expect(accountForIncidents(good)).toMatchObject({ due: 2, found: 2, toTell: 2 });
  expect(accountForIncidents(good, 2500)).toMatchObject({ due: 1, found: 1, toTell: 1 });
  expect(accountForIncidents(good, 0, 2000)).toMatchObject({ due: 0, found: 0, toTell: 0 });
});

it("finds an incident that is missing, is there twice, or should not be", () => {
  expect(problems({ found: rows.slice(1) })).toEqual(["1 incidents are missing"]);
  expect(problems({ found: [...rows, { ...incident, id: "3" }] })).toEqual(["1 incidents are there twice"]);
  expect(problems({ due: [incident] })).toEqual(["1 incidents are wrong"]);
});

it("finds each value that is not as it must be", () => {
  const others: Partial<FoundIncident>[] = [
    ...[{ openedAt: 1001 }, { closedAt: null }, { closedAt: 5001 }, { locations: [] }],
    ...[{ error: "timeout" as const }, { detail: null }, { status: 503 }, { checks: 4 }],
  ];
  for (const other of others) {
    const found = rows.map((row) => row.id === "1" ? { ...row, ...other } : row);
    expect(problems({ found }), JSON.stringify(other)).toEqual(["1 incidents are wrong"]);
  }
});

it("finds an event that nobody has accepted, and one with two keys", () => {
  const refused = told.map((each) => each.event === "1 closed" ? { ...each, isAccepted: false } : each);
  expect(problems({ told: refused })).toEqual(["1 notifications were told to nobody"]);
  expect(problems({ told: [...told, { event: "2 opened", key: "another", isAccepted: false }] })).toEqual([
    "1 notifications were told under two keys",
  ]);
  expect(problems({ told: [...told, ...told] })).toEqual([]);
});

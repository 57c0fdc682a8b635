import { expect, it } from "vitest";
import { incidentLines, placeLines, silenceLines } from "../../lib/monitoring/incident_report.ts";
import type { IncidentChange } from "../../lib/postgres/store.ts";

const cause = (n: number) => ({ partition: 0, offset: n, address: `https://${n}.example` });
const since = "2026-01-31T12:00:00.000Z";

function opening(n: number, fields: Partial<Extract<IncidentChange, { what: "opening" }>> = {}): IncidentChange {
  const failure = { error: "dns", errorDetail: "no such name", statusCode: null };
  const times = { openedAt: since, confirmedAt: since, locations: [], checks: 2 };
  return { what: "opening", kind: "down", ...cause(n), ...failure, ...times, ...fields };
}

it("incidentLines tell since when a site is down, from where, and why, and which are up again", () => {
  const status = { error: null, errorDetail: null, statusCode: 503, locations: ["Oslo", "Rome"] };
  const closing = { what: "closing", kind: "down", ...cause(3), closedAt: since, checks: 2 } as const;
  expect(incidentLines([opening(1), opening(2, status), closing])).toEqual([
    {
      text: `Down: https://1.example since ${since} (dns: no such name), https://2.example since ${since}, ` +
        "from Oslo and Rome (status 503)",
      isTrouble: true,
    },
    { text: "Up again: https://3.example", isTrouble: false },
  ]);
});

it("incidentLines name five of many, and count the others", () => {
  const [line] = incidentLines(Array.from({ length: 12 }, (_, n) => opening(n)));
  expect(line?.text.match(/https:/g)).toHaveLength(5);
  expect(line?.text).toMatch(/ and 7 more$/);
});

it("incidentLines tell of certificates in lines of their own", () => {
  const expires = { kind: "certificate", error: null, errorDetail: "the certificate expires at T" } as const;
  const closing = { what: "closing", kind: "certificate", ...cause(1), closedAt: since, checks: 2 } as const;
  expect(incidentLines([opening(1, expires), closing]).map(({ text }) => text)).toEqual([
    "Certificate expires: https://1.example (the certificate expires at T)",
    "Certificate is good again: https://1.example",
  ]);
});

it("silenceLines tell which addresses nobody checks, and which are checked again", () => {
  expect(silenceLines(["a"], ["b"]).map(({ text }) => text)).toEqual(["No check came of: a", "Checked again: b"]);
  expect(silenceLines([], [])).toEqual([]);
});

it("placeLines name the places of which nothing is known, and those that are known again", () => {
  expect(placeLines(["Oslo", null], ["Rome"])).toEqual([
    {
      text: "All canaries are down, and nothing else is taken for down, as seen from: " +
        "Oslo, the place without a location",
      isTrouble: true,
    },
    { text: "A canary is up again, as seen from: Rome", isTrouble: false },
  ]);
  expect(placeLines([], [])).toEqual([]);
});

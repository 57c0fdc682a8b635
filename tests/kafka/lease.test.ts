import { expect, it } from "vitest";
import { type ClockReading, Lease } from "../../lib/kafka/lease.ts";

const at = (seconds: number, wall = seconds): ClockReading => ({ wall: wall * 1000, steady: seconds * 1000 });
/** Looks at the lease every half second, as a member does. */
const look = (lease: Lease, from: number, to: number) =>
  Array.from({ length: (to - from) * 2 + 1 }, (_, n) => from + n / 2).filter((time) => lease.allows(at(time)));

it("a member may act as long as the group has heard from it within the session", () => {
  const lease = new Lease(7000);
  expect(lease.allows(at(0))).toBe(false);
  lease.renew(at(0));
  expect(look(lease, 0, 10).at(-1)).toBe(6.5);
  lease.renew(at(9.5));
  expect(lease.allows(at(10))).toBe(true);
});

it("a member that is told that it is out may not act, whatever it knew before", () => {
  const lease = new Lease(7000);
  lease.renew(at(0));
  lease.cutOff();
  lease.end();
  expect(lease.allows(at(0.1))).toBe(false);
});

it("a member that no broker answers goes on, until the group says something", () => {
  const lease = new Lease(7000);
  lease.renew(at(0));
  lease.cutOff();
  expect(look(lease, 0, 60).at(-1)).toBe(60);
  lease.reach(at(60));
  expect(lease.allows(at(60.5))).toBe(true);
  expect(lease.isCutOff).toBe(true);
  lease.end();
  expect(lease.isCutOff).toBe(false);
  expect(lease.allows(at(61))).toBe(false);
});

it("a member that is reached by a broker, and not by its group, goes on for one more session", () => {
  const lease = new Lease(7000);
  lease.cutOff();
  lease.reach(at(60));
  expect(look(lease, 60, 64).at(-1)).toBe(64);
  lease.reach(at(64));
  expect(look(lease, 64, 70).at(-1)).toBe(66.5);
  lease.cutOff();
  expect(lease.allows(at(70.5))).toBe(true);
});

it.each([
  ["frozen for 3 s", at(4)],
  ["asleep for an hour, in which one clock stands still", at(1.5, 3600)],
])("a member that was %s may not act before the group has answered", (_, woken) => {
  const lease = new Lease(7000);
  lease.renew(at(0));
  lease.allows(at(1));
  lease.cutOff();
  expect(lease.allows(woken)).toBe(false);
  lease.renew(woken);
  expect(lease.allows(woken)).toBe(true);
});

it("an answer to what was sent before a freeze is worth what is left of the session", () => {
  const lease = new Lease(7000);
  lease.allows(at(0));
  expect(lease.allows(at(10))).toBe(false);
  lease.renew(at(0));
  expect(lease.allows(at(10.1))).toBe(false);
});

it("a wall clock that is set back does not lengthen a session", () => {
  const lease = new Lease(7000);
  lease.renew(at(0, 100));
  expect(Array.from({ length: 15 }, (_, n) => lease.allows(at(n / 2, n / 2))).lastIndexOf(true)).toBe(13);
});

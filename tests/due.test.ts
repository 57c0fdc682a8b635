import { expect, it, vi } from "vitest";
import { type Due, dueHosts, everyHostOnce, firstDue } from "../lib/due.ts";
import { parseHosts } from "../lib/hosts.ts";

const NOON = Date.parse("2026-03-01T12:00:00Z");

function hostsOf(...lines: string[]) {
  const { hosts, problems } = parseHosts(lines.join("\n"), "hosts.txt", "UTC");
  expect(problems).toEqual([]);
  return hosts;
}

it("firstDue lets hosts that wait more than 30 s be checked soon, at 50 a second, and others at their own time", () => {
  const patient = Array.from({ length: 100 }, (_, index) => `patient${index}.example 30d`);
  const firsts = firstDue(hostsOf(...patient, "quick.example 30s", 'cron.example "0 0 1 1 *"'), NOON);
  expect(firsts.slice(0, 100).map(({ at }) => at - NOON)).toEqual(
    Array.from({ length: 100 }, (_, index) => index * 20),
  );
  expect(firsts[100]?.at).toBeGreaterThan(NOON);
  expect(firsts[100]?.at).toBeLessThanOrEqual(NOON + 30_000);
  expect(firsts[101]?.at).toBe(Date.parse("2027-01-01T00:00:00Z"));
});

it("dueHosts gives hosts in the order of their due times, at these times", async () => {
  const hosts = hostsOf("a.example 1s", "b.example 1s", "c.example 1s");
  const controller = new AbortController();
  const seen: { address: string; due: number; late: number }[] = [];
  for await (const due of dueHosts(hosts, controller.signal)) {
    seen.push({
      address: due.host.address,
      due: due.scheduledAt.getTime(),
      late: Date.now() - due.scheduledAt.getTime(),
    });
    due.release();
    if (seen.length === 9) controller.abort();
  }
  expect(seen.map(({ due }) => due)).toEqual(seen.map(({ due }) => due).sort((a, b) => a - b));
  expect(seen.every(({ late }) => late >= 0)).toBe(true);
  for (const { address } of seen.slice(0, 3)) {
    const times = seen.filter((each) => each.address === address).map(({ due }) => due);
    expect(times).toEqual([0, 1, 2].map((tick) => (times[0] ?? NaN) + tick * 1000));
  }
});

it("dueHosts gives a host again only after its release", async () => {
  const hosts = hostsOf("slow.example 1s", "quick.example 1s");
  const controller = new AbortController();
  const held: Due[] = [];
  let quick = 0;
  for await (const due of dueHosts(hosts, controller.signal)) {
    if (due.host.address === "slow.example") held.push(due);
    else {
      quick++;
      due.release();
    }
    if (quick === 3) controller.abort();
  }
  expect(held.length).toBe(1);
});

it("dueHosts ends when its signal aborts, though the next host is due in a month", async () => {
  const controller = new AbortController();
  const due = dueHosts(hostsOf('a.example "0 0 1 1 *"'), controller.signal);
  const next = due.next();
  controller.abort();
  expect(await next).toEqual({ done: true, value: undefined });
});

it("dueHosts makes up for no time that has passed: after a long check comes the next due time of the grid", async () => {
  const controller = new AbortController();
  const due = dueHosts(hostsOf("a.example 1s"), controller.signal);
  const first = (await due.next()).value as Due;
  vi.useFakeTimers({ now: first.scheduledAt.getTime() + 3_600_500, toFake: ["Date"] });
  first.release();
  vi.setSystemTime(first.scheduledAt.getTime() + 3_601_000);
  const second = (await due.next()).value as Due;
  vi.useRealTimers();
  controller.abort();
  expect(second.scheduledAt.getTime() - first.scheduledAt.getTime()).toBe(3_601_000);
});

it("everyHostOnce gives every host once", async () => {
  const hosts = hostsOf("a.example 1d", "b.example 1d");
  const given = await Array.fromAsync(everyHostOnce(hosts, new AbortController().signal));
  expect(given.map(({ host }) => host.address)).toEqual(["a.example", "b.example"]);
});

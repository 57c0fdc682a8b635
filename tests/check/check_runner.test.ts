import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, expect, it, vi } from "vitest";
import { CheckRunner } from "../../lib/check/check_runner.ts";
import { LocalChecker } from "../../lib/check/threads/serve.ts";
import { openMatcher } from "../../lib/check/matching.ts";
import { runtimeAuthorities } from "../../lib/check/paths.ts";
import { TrustStore } from "../../lib/check/trust.ts";
import type { Metric } from "../../lib/metric.ts";
import { systemResolver } from "../../lib/net/resolver.ts";
import { COMMANDS } from "../support/runtimes.ts";
import { hostsOf } from "../support/simulation.ts";
import { answer, openSite, refusedPort } from "../support/site.ts";
import type { TakingOver } from "../support/taking_over_runner.ts";

const matcher = openMatcher();
afterAll(() => matcher[Symbol.asyncDispose]());
const SOURCE = { location: "here", producer: "me" };
/** Each use has a checker of its own: a test that ends leaves no check behind in another's. */
const options = () => ({
  ...SOURCE,
  concurrency: 10,
  isOnce: false,
  checker: new LocalChecker({
    ...SOURCE,
    ...{ timeout: 10, userAgent: "checks-test", resolver: systemResolver(), isBlocked: null, matcher },
    trust: new TrustStore(runtimeAuthorities(null)),
  }),
});
afterEach(() => void vi.unstubAllGlobals());

/**
 * Sets the wall clock by so many milliseconds, and the clock runs on. An administrator or a
 * sleeping machine does the same.
 */
function setClock(by: number): void {
  const Before = Date;
  vi.stubGlobal(
    "Date",
    class extends Before {
      constructor(...args: [] | [number]) {
        super(args[0] ?? Before.now() + by);
      }
      static override now = () => Before.now() + by;
    },
  );
}

/** So many pages of the site at `port`. */
const pages = (port: number, count: number) =>
  Array.from({ length: count }, (_, index) => `http://127.0.0.1:${port}/${index} 1d`);

const never = new AbortController().signal;

it("Checks gives a metric for every host, and ends, where each is to be checked once", async () => {
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const lines = pages(site.port, 50);
  const hosts = hostsOf(...lines, `http://127.0.0.1:${await refusedPort()}/ 1d`);
  const metrics = await Array.fromAsync(new CheckRunner(hosts, { ...options(), isOnce: true }, never, never));
  expect(new Set(metrics.map(({ address }) => address))).toEqual(new Set(hosts.map(({ address }) => address)));
  expect(metrics.filter(({ status_code }) => status_code === 200).length).toBe(50);
  expect(metrics.length).toBe(51);
  expect(new Set(metrics.map(({ next_at }) => next_at))).toEqual(new Set([null]));
  expect(site.requests.length).toBe(50);
});

it("Checks has no more than `concurrency` connections open at a time", async () => {
  let most = 0;
  await using site = await openSite((socket) => {
    most = Math.max(most, site.open);
    setTimeout(() => socket.end(answer("200 OK")), 5);
  });
  const lines = pages(site.port, 50);
  const checks = new CheckRunner(hostsOf(...lines), { ...options(), isOnce: true, concurrency: 7 }, never, never);
  expect((await Array.fromAsync(checks)).length).toBe(50);
  // The site may see the end of a connection a little later than the client.
  expect(most).toBeLessThanOrEqual(2 * 7);
});

it("Checks begins a few of those that are due, and the others when the sockets of these were served", async () => {
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const hosts = hostsOf(...pages(site.port, 200));
  const checks = new CheckRunner(hosts, { ...options(), isOnce: true, concurrency: 200 }, never, never);
  const metrics = checks[Symbol.asyncIterator]();
  const first = metrics.next();
  expect(checks.running).toBe(8);
  await first;
  expect((await Array.fromAsync(metrics)).length).toBe(199);
});

it("Checks begins none of those held back once it is stopped", async () => {
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const stop = new AbortController();
  const hosts = hostsOf(...pages(site.port, 200));
  const checks = new CheckRunner(hosts, { ...options(), isOnce: true, concurrency: 200 }, stop.signal, never);
  const metrics = checks[Symbol.asyncIterator]();
  const first = metrics.next();
  stop.abort();
  await first;
  expect(1 + (await Array.fromAsync(metrics)).length).toBe(8);
});

it("Checks tells of the due times that pass while a check still runs, and begins no second one", async () => {
  const stop = new AbortController();
  const held: (() => void)[] = [];
  await using site = await openSite((socket) => void held.push(() => socket.end(answer("200 OK"))));
  const checks = new CheckRunner(hostsOf(`http://127.0.0.1:${site.port}/ 1s`), options(), stop.signal, never);
  const metrics: Metric[] = [];
  for await (const metric of checks) {
    metrics.push(metric);
    if (metrics.length === 2) {
      expect(held.length).toBe(1);
      stop.abort();
      held[0]?.();
    }
  }
  // The third due time passes too, before the test stops the checks.
  const late = metrics[3];
  expect(late?.next_at).toBe(new Date(Date.parse(late?.scheduled_at ?? "") + 1000).toISOString());
  expect(metrics.map(({ error, location }) => ({ error, location }))).toEqual([
    ...Array(3).fill({ error: "missed", location: "here" }),
    { error: null, location: "here" },
  ]);
  const times = metrics.map(({ scheduled_at }) => Date.parse(scheduled_at ?? ""));
  expect(times.map((time) => time - (times[3] ?? NaN))).toEqual([1000, 2000, 3000, 0]);
});

it("Checks goes on checking in time though nobody reads its metrics", async () => {
  const stop = new AbortController();
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const checks = new CheckRunner(hostsOf(`http://127.0.0.1:${site.port}/ 1s`), options(), stop.signal, never);
  const metrics = checks[Symbol.asyncIterator]();
  expect((await metrics.next()).value?.status_code).toBe(200);
  await expect.poll(() => site.requests.length, { timeout: 10_000 }).toBe(3);
  stop.abort();
  const rest = await Array.fromAsync(metrics);
  expect(rest.map(({ error }) => error)).toEqual([null, null]);
});

it("Checks gives up all that run when it is told to, and ends", async () => {
  const [stop, giveUp] = [new AbortController(), new AbortController()];
  // No request is answered. The last of them gives all checks up.
  await using site = await openSite(() => site.requests.length === 5 && giveUp.abort());
  const checks = new CheckRunner(hostsOf(...pages(site.port, 5)), options(), stop.signal, giveUp.signal);
  giveUp.signal.addEventListener("abort", () => stop.abort());
  expect(await Array.fromAsync(checks)).toEqual([]);
  expect(site.requests.length).toBe(5);
});

it("Checks asks no host where it was told to give up before", async () => {
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const once = { ...options(), isOnce: true };
  const checks = new CheckRunner(hostsOf(...pages(site.port, 5)), once, never, AbortSignal.abort());
  expect(await Array.fromAsync(checks)).toEqual([]);
  expect(site.requests.length).toBe(0);
});

it("Checks.replace begins with new hosts at once, also where there were none", async () => {
  const stop = new AbortController();
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const checks = new CheckRunner([], options(), stop.signal, never);
  expect(checks.firstDue).toBe(null);
  const metrics = checks[Symbol.asyncIterator]();
  const next = metrics.next();
  expect(await checks.replace(hostsOf(`http://127.0.0.1:${site.port}/ 1d`))).toMatchObject({
    added: 1,
    removed: 0,
    changed: 0,
  });
  expect((await next).value?.status_code).toBe(200);
  stop.abort();
  expect((await metrics.next()).done).toBe(true);
});

it("Checks.replace tells of each host that is gone, once, also while its last check runs", async () => {
  const [stop, giveUp] = [new AbortController(), new AbortController()];
  let answerNow = () => {};
  await using site = await openSite((socket) => void (answerNow = () => socket.end(answer("200 OK"))));
  const hosts = hostsOf(`http://127.0.0.1:${site.port}/ 1d`, "http://127.0.0.1:9/idle 1d");
  const checks = new CheckRunner(hosts.slice(0, 1), options(), stop.signal, giveUp.signal);
  const metrics = checks[Symbol.asyncIterator]();
  const next = metrics.next();
  await expect.poll(() => site.requests.length, { timeout: 10_000 }).toBe(1);
  expect(await checks.replace([])).toMatchObject({ added: 0, removed: 1, changed: 0 });
  const removed = (await next).value as Metric;
  expect(removed).toMatchObject({
    address: hosts[0]?.address,
    error: "removed",
    up: null,
    next_at: null,
    producer: "me",
  });
  expect(await checks.replace([])).toMatchObject({ removed: 0 });
  answerNow();
  const last = (await metrics.next()).value as Metric;
  expect(last).toMatchObject({ status_code: 200, up: true });
  // In the table the last row of the host is that of its removal.
  expect(Date.parse(last.scheduled_at ?? "")).toBeLessThan(Date.parse(removed.scheduled_at ?? ""));
  stop.abort();
  expect((await metrics.next()).done).toBe(true);
});

it("Checks tells of all hosts that are gone, also where it is stopped meanwhile", async () => {
  const stop = new AbortController();
  const gone = Array.from({ length: 20_000 }, (_, n) => ({ address: `https://h${n}.example` }));
  const checks = new CheckRunner([], options(), stop.signal, never);
  const metrics = Array.fromAsync(checks);
  const telling = checks.tellRemoved(gone);
  stop.abort();
  await telling;
  expect((await metrics).map(({ address, error }) => [address, error])).toEqual(
    gone.map(({ address }) => [address, "removed"]),
  );
});

it.each(COMMANDS.filter(({ missing }) => missing === null))(
  "under $runtime, checks go on while Checks.replace takes over many hosts",
  async ({ command: [program, ...flags] }) => {
    const args = [...flags, "tests/support/taking_over_runner.ts", "50000"];
    const { stdout } = await promisify(execFile)(program, args, {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
    });
    const { added, begun } = JSON.parse(stdout) as TakingOver;
    expect(added).toBe(50_000);
    expect(begun).toBeGreaterThan(0);
  },
);

it("Checks tells of what was missed while the machine slept, up to 100 a host and then in one, and has no burst follow", async () => {
  const stop = new AbortController();
  await using site = await openSite((socket) => socket.end(answer("200 OK")));
  const lines = Array.from({ length: 20 }, (_, index) => `http://127.0.0.1:${site.port}/${index} 2s`);
  const checks = new CheckRunner(hostsOf(...lines), options(), stop.signal, never);
  const missed: Metric[] = [];
  let isSet = false;
  const [before, after] = [new Map<string, number>(), new Map<string, number>()];
  for await (const metric of checks) {
    const { address, error, scheduled_at } = metric;
    if (error === "missed") {
      missed.push(metric);
      continue;
    }
    (before.size < 20 ? before : after).set(address, Date.parse(scheduled_at ?? ""));
    if (before.size === 20 && !isSet) {
      isSet = true;
      setClock(3_600_000);
    }
    if (after.size === 20) stop.abort();
  }
  expect(missed.length).toBe(20 * 101);
  const ofOne = missed.filter(({ address }) => address.endsWith("/7"));
  const [first = NaN, ...times] = ofOne.map(({ scheduled_at }) => Date.parse(scheduled_at ?? ""));
  expect(times).toEqual(times.map((_, index) => first + (index + 1) * 2000));
  expect(ofOne[100]?.error_detail).toMatch(/^1[67]\d\d more checks until .+: the program did not run then/);
  // After the sleep each host has its turn at its usual time. The 20 turns fill 2 seconds, and none
  // come together.
  for (const [address, at] of after) expect((at - (before.get(address) ?? NaN)) % 2000).toBe(0);
});

it("Checks goes on in its step when the wall clock is set back, and measures no negative time", async () => {
  const stop = new AbortController();
  await using site = await openSite((socket) => {
    if (site.requests.length === 3) setClock(-3_600_000);
    socket.end(answer("200 OK"));
  });
  const checks = new CheckRunner(hostsOf(`http://127.0.0.1:${site.port}/ 1s`), options(), stop.signal, never);
  const metrics: Metric[] = [];
  for await (const metric of checks) {
    metrics.push(metric);
    if (metrics.length === 6) stop.abort();
  }
  expect(metrics.map(({ error }) => error)).toEqual(Array(6).fill(null));
  expect(metrics.every(({ latency }) => latency >= 0 && latency < 5)).toBe(true);
  const times = metrics.map(({ scheduled_at }) => Date.parse(scheduled_at ?? ""));
  const [one, two, three, ...after] = times.map((time) => (time - (times[0] ?? NaN)) / 1000);
  expect([one, two, three]).toEqual([0, 1, 2]);
  // The clock may be set just before a due time. Then the next due time is the first that does not
  // come too soon.
  expect([-3597, -3596]).toContain(after[0]);
  expect(after).toEqual([0, 1, 2].map((step) => (after[0] ?? NaN) + step));
});

import { describe, expect, it, vi } from "vitest";
import { alternate, connect, dial, resolve, sample } from "../../lib/check/connect.ts";
import { Failure } from "../../lib/check/failure.ts";
import { runtimeAuthorities } from "../../lib/check/paths.ts";
import { TrustStore } from "../../lib/check/trust.ts";
import { Timings } from "../../lib/check/timings.ts";
import { systemResolver } from "../../lib/net/resolver.ts";
import { openSite, refusedPort } from "../support/site.ts";

const never = new AbortController().signal;
const resolver = systemResolver();
const v4 = (address: string) => ({ address, family: 4 });
const v6 = (address: string) => ({ address, family: 6 });

it("resolve finds the addresses of a name", async () => {
  expect(await resolve("localhost", resolver, never)).toContainEqual(v4("127.0.0.1"));
});

it.each(["a..b"])("resolve says of %s that there is no such name", async (name) => {
  expect(await resolve(name, resolver, never)).toEqual(new Failure("dns", `${name}: no such name`));
});

describe("alternate", () => {
  it.each([
    ["one family", [v4("1"), v4("2")], "1 2"],
    ["both, IPv6 first", [v6("a"), v6("b"), v4("1")], "a 1 b"],
    ["both, IPv4 first", [v4("1"), v6("a"), v6("b"), v6("c")], "1 a b c"],
    ["nothing", [], ""],
  ])("alternate takes the families in turn: %s", (_name, addresses, expected) => {
    expect(alternate(addresses).map(({ address }) => address).join(" ")).toBe(expected);
  });
});

describe("sample", () => {
  const many = [
    ...Array.from({ length: 1000 }, (_, n) => v6(`${n}`)),
    ...Array.from({ length: 3000 }, (_, n) => v4(`${n}`)),
  ];

  it("sample takes 16 of many addresses, of both families, and others at another time", () => {
    const some = sample(many, () => 0.5);
    expect(some).toEqual([...many.slice(500, 508), ...many.slice(2500, 2508)]);
    expect(sample(many, () => 0.999)).toEqual([
      ...many.slice(999, 1000),
      ...many.slice(0, 7),
      ...many.slice(3997),
      ...many.slice(1000, 1005),
    ]);
    expect(sample(many.slice(0, 16), () => 0.5)).toEqual(many.slice(0, 16));
  });
});

it("dial goes on to the next address where one refuses", async () => {
  await using site = await openSite(() => {});
  const socket = await dial([v4("127.0.0.2"), v4("127.0.0.1")], site.port, never);
  if (socket instanceof Failure) throw new Error(socket.detail);
  expect(socket.remoteAddress).toBe("127.0.0.1");
  socket.destroy();
});

it.each([
  ["the last reason that is the host's own", [v4("127.0.0.1"), v4("127.0.0.2")], "127.0.0.1"],
  ["the brackets of an IPv6 address", [v6("::1")], "[::1]"],
])("dial names the address that refused: %s", async (_name, addresses, expected) => {
  const port = await refusedPort();
  expect(await dial(addresses, port, never)).toEqual(new Failure("connect", `${expected}:${port}: connection refused`));
});

it("dial opens no more connections than it needs, and none after it was given up", async () => {
  await using site = await openSite(() => {});
  const socket = await dial([v4("127.0.0.1"), v4("127.0.0.1")], site.port, never);
  if (socket instanceof Failure) throw new Error(socket.detail);
  const given = AbortSignal.abort(new Error("given up"));
  await expect(dial([v4("127.0.0.1")], site.port, given)).rejects.toThrow("given up");
  socket.destroy();
  await vi.waitFor(() => expect(site.open).toBe(0));
  expect(site.accepted).toBeLessThanOrEqual(2);
});

it("connect charges each phase with its own time", async () => {
  await using site = await openSite(() => {});
  const timings = new Timings();
  const { outcome, expiresAt } = await connect(
    new URL(`http://localhost:${site.port}/`),
    { resolver, isBlocked: null },
    new TrustStore(runtimeAuthorities(null)).usual,
    timings,
    never,
  );
  if (outcome instanceof Failure) throw new Error(outcome.detail);
  outcome.destroy();
  expect(expiresAt).toBeNull();
  expect(timings.phase).toBe("connect");
  expect(timings.laps().phases).toEqual({
    dns: expect.any(Number),
    connect: expect.any(Number),
    tls: null,
    first_byte: null,
    body: null,
  });
});

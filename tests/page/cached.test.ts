import { expect, it } from "vitest";
import { Cached } from "../../lib/page/cached.ts";

const FOREVER = { fresh: Infinity, usable: Infinity };
const STALE = { fresh: -1, usable: Infinity };
const GONE = { fresh: -1, usable: -1 };

it("Cached makes a value once, however many ask for it at the same time", async () => {
  let made = 0;
  const cached = new Cached(async (key: string) => await Promise.resolve(`${key}${++made}`), FOREVER, 10);
  expect(await Promise.all([cached.get("a"), cached.get("a"), cached.get("b")])).toEqual(["a1", "a1", "b2"]);
  expect(await cached.get("a")).toBe("a1");
});

it("Cached gives a value that is not fresh, while the next one is made", async () => {
  let made = 0;
  const cached = new Cached(() => Promise.resolve(++made), STALE, 10);
  expect(await cached.get("a")).toBe(1);
  expect(await cached.get("a")).toBe(1);
  await expect.poll(() => cached.get("a")).toBeGreaterThan(1);
});

it("Cached waits for the next one where the value is too old, and says why there is none", async () => {
  let made = 0;
  const cached = new Cached(() => ++made < 3 ? Promise.resolve(made) : Promise.reject(new Error("away")), GONE, 10);
  expect([await cached.get("a"), await cached.get("a")]).toEqual([1, 2]);
  await expect(cached.get("a")).rejects.toThrow("away");
});

it("Cached does not try again at once what has just failed", async () => {
  let made = 0;
  const cached = new Cached(() => Promise.reject(new Error(`try ${++made}`)), FOREVER, 10);
  await expect(cached.get("a")).rejects.toThrow("try 1");
  await expect(cached.get("a")).rejects.toThrow("try 1");
  await expect(cached.get("b")).rejects.toThrow("try 2");
});

it("Cached forgets what was asked for longest ago", async () => {
  let made = 0;
  const cached = new Cached(() => Promise.resolve(++made), FOREVER, 2);
  for (const key of ["a", "b", "a", "c"]) await cached.get(key);
  expect([await cached.get("a"), await cached.get("b")]).toEqual([1, 4]);
});

import { expect, it } from "vitest";
import { PlaceKeys } from "../../../lib/postgres/incidents/place_keys.ts";
import { Random } from "../../support/random.ts";

/** Asks for the number of a pair, as a document holds it. */
function numberOf(keys: PlaceKeys, address: string, location: string | null): number {
  const texts = [JSON.stringify(address), JSON.stringify(location)].map((text) => Buffer.from(text));
  const [first, second] = texts as [Buffer, Buffer];
  const places = Int32Array.of(0, first.length, first.length + 1, first.length + 1 + second.length);
  return keys.numberOf(Buffer.concat([first, Buffer.from(","), second]), places, 0, 2);
}

it("each pair keeps its number, in whatever order pairs come", () => {
  const seed = Date.now() % 2 ** 31;
  const random = new Random(seed);
  const keys = new PlaceKeys();
  const known = new Map<string, number>();
  // More than there is room for at first. Some differ in their last byte alone, or in the place.
  const pairs = Array.from({ length: 3_000 }, (_, i): [string, string | null] => {
    return [`https://${i % 1_500}${"x".repeat(i % 7)}.example`, [null, "Rome", "Oslo"][i % 3] as string | null];
  });
  let at = 0;
  for (let n = 0; n < 30_000; n++) {
    // Mostly one behind the other, as checks come.
    at = random.next() < 0.2 ? random.between(0, pairs.length - 1) : (at + 1) % pairs.length;
    const [address, location] = pairs[at] as [string, string | null];
    const number = numberOf(keys, address, location);
    const name = JSON.stringify([address, location]);
    expect(number, `seed ${seed}, pair ${n}`).toBe(known.get(name) ?? known.size);
    known.set(name, number);
    expect([keys.addresses[number], keys.locations[number]]).toEqual([address, location]);
  }
  expect(known.size).toBeGreaterThan(1_024);
});

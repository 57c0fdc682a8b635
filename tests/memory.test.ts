import { readFileSync } from "node:fs";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KEPT_BYTES } from "../lib/kafka.ts";
import { canRunKafka, skipped } from "./support/kafka.ts";
import { ownPostgresMissing } from "./support/postgres.ts";
import { type Codec, CODECS, rawBatch, type RawRecord } from "./support/raw_batches.ts";
import { possibleVariants, type Variant } from "./support/variants.ts";
import { openWay, type Way } from "./support/way.ts";

// Messages that are small on the wire and huge when they are unpacked, on their way from a real broker to a real database.

const MEGABYTE = 1_000_000;
/** What a consumer may take, all in all. */
const LIMIT = 400 * MEGABYTE;
/** A snappy batch takes a twentieth of what it unpacks to; all others far less. */
const LARGEST = 40 * 1024 * 1024;
const canRun = process.platform === "linux" && canRunKafka() &&
  (ownPostgresMissing === null || skipped(ownPostgresMissing));

const letters = (count: number) => ({ byte: 120, count });
const bytes = (text: string) => new TextEncoder().encode(text);

/** The most memory that a process has had, in bytes. */
function peakOf(pid: number): number {
  const [, kilobytes = "NaN"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/** Batches with good metrics, told apart by their latency, among what is too large. */
async function largeBatches(codec: Codec): Promise<{ batches: Buffer[]; good: number; rejected: RegExp[] }> {
  let good = 0;
  const metric = (ballast = 0): RawRecord => {
    const text = JSON.stringify({ address: "https://a.example", status_code: 200, latency: good++, is_valid: true });
    return { key: bytes("a"), value: bytes(text), ballast };
  };
  const several = (count: number, make: () => RawRecord) => Array.from({ length: count }, make);
  const tooLong = (size: number) => [metric(), { key: bytes("b"), value: letters(size) }, metric()];
  const batch = (...records: RawRecord[][]) => rawBatch(records.flat(), { codec });
  const batches = [
    await batch([metric()]),
    await batch(tooLong(600 * MEGABYTE)),
    await batch(...Array.from({ length: 10 }, () => tooLong(60 * MEGABYTE))),
    ...await Promise.all(several(4, metric).map((record) => batch([record], tooLong(60 * MEGABYTE)))),
    await batch(several(5_000, () => metric(200_000))),
    await batch([{ key: letters(60 * MEGABYTE), value: bytes("no metric") }], several(1, () => metric(60 * MEGABYTE))),
    await batch([metric()]),
  ];
  const reason = (size: number) => new RegExp(`^the document has ${size} bytes, more than ${KEPT_BYTES}$`);
  return {
    batches,
    good,
    rejected: [
      reason(600 * MEGABYTE),
      ...Array.from({ length: 14 }, () => reason(60 * MEGABYTE)),
      /^the document is not JSON.*; its key has 60000000 bytes$/s,
    ],
  };
}

describe.runIf(canRun)("a consumer that is sent bombs", () => {
  let way: Way;
  beforeAll(async () => void (way = await openWay(LARGEST)), 120_000);
  afterAll(() => way?.[Symbol.asyncDispose](), 60_000);

  describe.each(CODECS.filter((codec) => codec !== "none"))("packed with %s", (codec) => {
    let sent: Awaited<ReturnType<typeof largeBatches>>;
    beforeAll(async () => void (sent = await largeBatches(codec)), 600_000);

    it.each(possibleVariants())(
      "stores what is good, rejects the rest and stays small on $name",
      async (variant: Variant) => {
        const name = way.newName();
        await way.createTopic(name);
        await way.writeRaw(name, sent.batches);
        await using consumer = way.consume(variant, name);
        const { sql } = way.postgres;
        const stored = () =>
          sql`select count(*)::int as rows, count(distinct latency)::int as different, max(latency) as last
            from ${sql(name)}`.then(([row]) => row, () => null);
        await expect.poll(stored, { timeout: 240_000, interval: 200 })
          .toEqual({ rows: sent.good, different: sent.good, last: sent.good - 1 });
        const rejected = await sql<{ reason: string; key: number | null; value: number | null }[]>`
          select reason, length(key) as key, length(value) as value from ${sql(`${name}_rejected`)} order by "offset"`;
        expect(rejected.map(({ reason }) => reason)).toEqual(
          sent.rejected.map((reason) => expect.stringMatching(reason)),
        );
        expect(rejected.map(({ key, value }) => Math.max(key ?? 0, value ?? 0))).toEqual(
          rejected.map(() => KEPT_BYTES),
        );
        const peak = peakOf(consumer.pid);
        console.log(`${variant.name}, ${codec}: ${Math.round(peak / MEGABYTE)} MB`);
        expect(peak).toBeLessThan(LIMIT);
        consumer.kill("SIGTERM");
        expect(await consumer.ended).toMatchObject({ code: 0 });
      },
      300_000,
    );
  });
});

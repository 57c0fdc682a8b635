import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KEPT_BYTES } from "../../lib/kafka/kafka.ts";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import { type Codec, overwrite, rawBatch, type RawRecord, seal } from "../support/raw_batches.ts";
import { turnsOf } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { openServices, type Services } from "../support/services.ts";

// Messages that are small on their way and huge when they are unpacked. They go from a real broker
// to a real database.

const MEGABYTE = 1_000_000;
/**
 * The most memory that a consumer may take in all. Measured: 178 to 307 MB. The runtime, its heap
 * and the code take 115 to 170 of them before the first message.
 */
const LIMIT = 400 * MEGABYTE;
/** A snappy batch has a twentieth of its unpacked size. All other codecs pack far better. */
const LARGEST = 40 * 1024 * 1024;
const canRun = process.platform === "linux" && canRunKafka() &&
  (ownPostgresMissing === null || skipped(ownPostgresMissing));

/** How the messages are packed. */
interface Packing {
  readonly codec: Codec;
  readonly windowLog?: number;
}

const PACKINGS: Readonly<Record<Codec | "zstd at level 22", Packing>> = {
  none: { codec: "none" },
  gzip: { codec: "gzip" },
  zstd: { codec: "zstd" },
  // What that level asks a reader for. The level itself takes a gigabyte to pack.
  "zstd at level 22": { codec: "zstd", windowLog: 27 },
  lz4: { codec: "lz4" },
  snappy: { codec: "snappy" },
};

const WAYS: Readonly<Record<keyof typeof PACKINGS, readonly Variant["name"][]>> = {
  none: [],
  gzip: ["Node with librdkafka", "Deno with javascript"],
  zstd: ["Node with librdkafka", "Deno with javascript"],
  "zstd at level 22": ["Node with librdkafka", "Node with javascript", "Deno with javascript"],
  lz4: ["Node with javascript", "Deno with javascript"],
  snappy: ["Node with javascript", "Deno with javascript"],
};

const letters = (count: number) => ({ byte: 120, count });
const bytes = (text: string) => new TextEncoder().encode(text);

/** The most memory that a process has had, in bytes. */
function peakOf(pid: number): number {
  const [, kilobytes = "NaN"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/** Turns the first batch, of three messages, into one of a single message. */
function shrink(batch: Buffer): void {
  batch.writeInt32BE(0, 23);
  batch.writeInt32BE(1, 57);
  seal(batch);
}

/**
 * Batches with good metrics among messages that are too large. The latency tells one metric from
 * another.
 */
async function largeBatches(packing: Packing): Promise<{ batches: Buffer[]; good: number; rejected: RegExp[] }> {
  let good = 0;
  const metric = (ballast = 0): RawRecord => {
    const text = JSON.stringify({ address: "https://a.example", status_code: 200, latency: good++, is_valid: true });
    return { key: bytes("a"), value: bytes(text), ballast };
  };
  const several = (count: number, make: () => RawRecord) => Array.from({ length: count }, make);
  const tooLong = (size: number) => [metric(), { key: bytes("b"), value: letters(size) }, metric()];
  const batch = (...records: RawRecord[][]) => rawBatch(records.flat(), packing);
  const batches = [
    // `shrink` takes away two of the three messages. So the consumer looks a second time at the
    // messages behind that hole.
    await batch([metric(), ...several(2, () => ({ key: null, value: bytes("gone") }))]),
    await batch(tooLong(600 * MEGABYTE)),
    await batch(...Array.from({ length: 4 }, () => tooLong(60 * MEGABYTE))),
    ...await Promise.all(several(2, metric).map((record) => batch([record], tooLong(60 * MEGABYTE)))),
    await batch(several(1_000, () => metric(200_000))),
    await batch([{ key: letters(60 * MEGABYTE), value: bytes("no metric") }], several(1, () => metric(60 * MEGABYTE))),
    await batch([metric()]),
  ];
  const reason = (size: number) => new RegExp(`^the document has ${size} bytes, more than ${KEPT_BYTES}$`);
  return {
    batches,
    good,
    rejected: [
      reason(600 * MEGABYTE),
      ...Array.from({ length: 6 }, () => reason(60 * MEGABYTE)),
      /^the document is not JSON.*; its key has 60000000 bytes$/s,
    ],
  };
}

describe.runIf(canRun)("a consumer that is sent bombs", () => {
  let services: Services;
  beforeAll(async () => void (services = await openServices(LARGEST)), 120_000);
  afterAll(() => services?.[Symbol.asyncDispose](), 60_000);

  const sent = new Map<string, ReturnType<typeof largeBatches>>();
  const batchesOf = (packing: keyof typeof PACKINGS) => {
    const made = sent.get(packing) ?? largeBatches(PACKINGS[packing]);
    sent.set(packing, made);
    return made;
  };

  // Unpacking is the same with both clients, but not on both runtimes. The fault campaign has all
  // combinations.
  it.each(
    Object.entries(WAYS).flatMap(([packing, names]) =>
      turnsOf(packing, possibleVariants().filter(({ name }) => names.includes(name)))
        .map((variant) => ({ ...variant, variant, packing: packing as keyof typeof PACKINGS }))
    ),
  )(
    "packed with $packing stores what is good, rejects the rest and stays small on $name",
    async ({ variant, packing }) => {
      const { batches, good, rejected: reasons } = await batchesOf(packing);
      const name = services.newName();
      await services.createTopic(name);
      await services.writeRaw(name, batches);
      await overwrite(join(services.broker.data, `${name}-0`, "00000000000000000000.log"), new Map([[0, shrink]]));
      await using consumer = services.consume(variant, name);
      const { sql } = services.postgres;
      const stored = () =>
        sql`select count(*)::int as rows, count(distinct latency)::int as different, max(latency) as last
            from ${sql(name)}`.then(([row]) => row, () => null);
      await expect.poll(stored, { timeout: 240_000, interval: 200 })
        .toEqual({ rows: good, different: good, last: good - 1 });
      const rejected = await sql<{ reason: string; key: number | null; value: number | null }[]>`
          select reason, length(key) as key, length(value) as value from ${sql(`${name}_rejected`)} order by "offset"`;
      expect(rejected.map(({ reason }) => reason)).toEqual(
        reasons.map((reason) => expect.stringMatching(reason)),
      );
      expect(rejected.map(({ key, value }) => Math.max(key ?? 0, value ?? 0))).toEqual(
        rejected.map(() => KEPT_BYTES),
      );
      const peak = peakOf(consumer.pid);
      console.log(`${variant.name}, ${packing}: ${Math.round(peak / MEGABYTE)} MB`);
      expect(peak).toBeLessThan(LIMIT);
      consumer.kill("SIGTERM");
      expect(await consumer.ended).toMatchObject({ code: 0 });
    },
    300_000,
  );
});

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import { overwrite, rawBatch, type RawRecord, seal } from "../support/raw_batches.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { openServices, type Services } from "../support/services.ts";

// Batches that no broker would take, as a broken disk or an old broker leaves them. The tests
// overwrite the files of a real broker while it serves them.

const canRun = canRunKafka() && (ownPostgresMissing === null || skipped(ownPostgresMissing));

const record = (latency: number): RawRecord => ({
  key: Buffer.from("a"),
  value: Buffer.from(JSON.stringify({ address: "https://a.example", status_code: 200, latency, is_valid: true })),
});

const CHANGES: ReadonlyMap<number, (batch: Buffer) => void> = new Map([
  [1, (batch: Buffer) => {
    const at = batch.length - 5;
    batch[at] = (batch[at] as number) ^ 1;
  }],
  [5, (batch: Buffer) => {
    batch.writeInt16BE(5, 21);
    seal(batch);
  }],
  // The batch claims to be gzip, and is not.
  [8, (batch: Buffer) => {
    batch.writeInt16BE(1, 21);
    seal(batch);
  }],
  // The batch claims more messages than it has.
  [10, (batch: Buffer) => {
    batch.writeInt32BE(9, 57);
    seal(batch);
  }],
]);

const REASONS = [
  [3, "offsets 1 to 3 cannot be read: its checksum is wrong"],
  [6, "offsets 5 to 6 cannot be read: it is compressed in a way that is not known here (number 5)"],
  [8, expect.stringMatching(/^offsets 8 to 8 cannot be read: /)],
];

let services: Services;
beforeAll(async () => {
  if (canRun) services = await openServices();
}, 120_000);
afterAll(() => services?.[Symbol.asyncDispose](), 60_000);

describe.runIf(canRun).each(possibleVariants())("a consumer on $name", (variant: Variant) => {
  it("records what it cannot read, once, and stores what lies before and behind", async () => {
    const name = services.newName();
    await services.createTopic(name);
    const batches = [[0], [1, 2, 3], [4], [5, 6], [7], [8], [9], [10], [11]];
    await services.writeRaw(name, await Promise.all(batches.map((latencies) => rawBatch(latencies.map(record)))));
    await overwrite(join(services.broker.data, `${name}-0`, "00000000000000000000.log"), CHANGES);
    await using consumer = services.consume(variant, name);
    const { sql } = services.postgres;
    const latencies = async () => {
      const rows = await sql<{ latency: number }[]>`select latency from ${sql(name)} order by 1`.catch(() => []);
      return rows.map(({ latency }) => latency);
    };
    await expect.poll(latencies, { timeout: 60_000, interval: 100 }).toEqual([0, 4, 7, 9, 10, 11]);
    const rejected = await sql<{ offset: number; reason: string }[]>`
      select "offset"::int as offset, reason from ${sql(`${name}_rejected`)} order by 1`;
    expect(rejected.map(({ offset, reason }) => [offset, reason])).toEqual(REASONS);
    await consumer.says("offsets 1 to 3 cannot be read");
    consumer.kill("SIGTERM");
    expect(await consumer.ended).toMatchObject({ code: 0 });
  }, 120_000);
});

import { describe, expect, it } from "vitest";
import { encodeMetric, METRIC_FIELDS } from "../../lib/metric.ts";
import { BatchEncoder, joinSlices } from "../../lib/postgres/encoded_batch.ts";
import { ReceivedEntry } from "../../lib/postgres/entry.ts";
import type { Tables } from "../../lib/postgres/tables.ts";
import type { EncodingOrder, Encodings } from "../support/encoding_runner.ts";
import { metricWith } from "../support/metrics.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";

describe.each(COMMANDS)("messages that are encoded for the statement under $runtime", ({ missing, command }) => {
  it.skipIf(missing !== null)("give the same whether they are copied or read", async () => {
    const order: EncodingOrder = { seed: Math.trunc(Math.random() * 2 ** 31), slices: 20 };
    const [found] = await runScript<Encodings>(command, "encoding_runner.ts", order);
    expect(found, `seed ${order.seed}`).toMatchObject({ difference: null });
    const { copied = 0, messages = 0 } = found ?? {};
    expect(copied, `seed ${order.seed}`).toBeGreaterThan(messages / 5);
    expect(copied, `seed ${order.seed}`).toBeLessThan(messages);
  }, 120_000);
});

const TABLES = {
  columns: METRIC_FIELDS,
  statusCodeRequired: false,
  scheduledAtRequired: true,
  reals: new Set(),
  partLength: null,
  kept: null,
  isUnicode: true,
} as unknown as Tables;

/** Counts the messages that are read. */
class WatchedEntry extends ReceivedEntry {
  reads = 0;
  override get content() {
    this.reads++;
    return super.content;
  }
}

const received = (offset: number, text: string) =>
  new WatchedEntry({ partition: 0, offset, key: null, value: new TextEncoder().encode(text), timestamp: 0 });

it("messages of our own producer are stored without reading them, in any language", () => {
  const metrics = [
    metricWith({ up: true }),
    metricWith({ up: false, status_code: null, error: "dns", error_detail: "gibt es nicht: ü日😀", latency_dns: null }),
    metricWith({ up: true, remote_address: "2001:db8::1", location: "", tls_expires_at: "2027-12-31T23:59:59.999Z" }),
  ];
  const entries = metrics.map((metric, offset) => received(offset, encodeMetric(metric)));
  const { columns, days } = new BatchEncoder().encodeSlice(entries, TABLES);
  expect(entries.map(({ reads }) => reads)).toEqual([0, 0, 0]);
  expect(columns.slice(5)).toEqual([
    "0,0,0",
    "0,1,2",
    ...METRIC_FIELDS.map((field) => JSON.stringify(metrics.map((metric) => metric[field])).slice(1, -1)),
  ]);
  expect([...days]).toEqual(["2026-01-31"]);
});

it("copied and read messages keep their order", () => {
  const plain = (offset: number) => received(offset, encodeMetric(metricWith({ address: `${offset}`, up: true })));
  const odd = (offset: number) => received(offset, encodeMetric(metricWith({ address: `"${offset}`, up: true })));
  const entries = [odd(0), plain(1), odd(2), odd(3), plain(4), plain(5), odd(6)];
  const encoder = new BatchEncoder();
  const slices = [entries.slice(0, 3), entries.slice(3)].map((some) => encoder.encodeSlice(some, TABLES));
  const [offsets, addresses] = joinSlices(slices).slice(6, 8);
  expect(entries.map(({ reads }) => reads > 0)).toEqual([true, false, true, true, false, false, true]);
  expect(offsets).toBe("{0,1,2,3,4,5,6}");
  expect(addresses).toBe(String.raw`{"\"0","1","\"2","\"3","4","5","\"6"}`);
});

it("a message that is turned away after it was copied leaves nothing of it", () => {
  const old = received(0, encodeMetric(metricWith({ up: true, scheduled_at: "2020-01-01T00:00:00.000Z" })));
  const kept = { from: "2026-01-01T00:00:00.000Z", why: "because" };
  const { columns, days, sorted } = new BatchEncoder().encodeSlice(
    [old, received(1, encodeMetric(metricWith({ up: true })))],
    { ...TABLES, kept },
  );
  expect(sorted.rejections.map(({ content }) => content.reason)).toEqual([expect.stringContaining("is too old")]);
  expect(sorted.metrics.map(({ offset }) => offset)).toEqual([1]);
  expect(columns[6]).toBe("1");
  expect([...days]).toEqual(["2026-01-31"]);
});

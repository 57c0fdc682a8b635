import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import { type StoredBatch, transfer, type TransferOptions } from "../../lib/ingest/transfer.ts";
import { classifyError, type Database, explain, type Parameter } from "../../lib/postgres/database.ts";
import { openEmbedded } from "../../lib/postgres/database/embedded.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import { intercepting } from "../support/databases.ts";
import { newEmbedded } from "../support/embedded.ts";
import { type Distort, MemoryTopic } from "../support/memory_topic.ts";

const QUICK = { size: 100, interval: 0.01 };
const NEVER = { size: 1_000_000, interval: 3600 };

const folder = mkdtempSync(join(tmpdir(), "test-transfer-"));
let database: Database;
beforeAll(async () => {
  database = await openEmbedded(await newEmbedded(folder));
});
afterAll(async () => {
  await database?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const metric = (address: string) => JSON.stringify({ address, status_code: 200, latency: 1, is_valid: true });

/** A new table, a topic, and the reports of a transfer between them. */
async function scene(through: (database: Database) => Database = (same) => same) {
  const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
  const tables = quoteTables(table);
  const store = await Store.open(through(database), table);
  const topic = new MemoryTopic(randomUUID());
  const told = { waiting: 0, recovered: 0, stored: 0, lost: [] as string[], reopened: [] as string[] };
  const stop = new AbortController();
  const giveUp = new AbortController();
  const events = {
    waiting: () => void told.waiting++,
    recovered: () => void told.recovered++,
    began: () => {},
    stored: ({ messages }: StoredBatch) => void (told.stored += messages),
    replayed: () => {},
    lost: (what: string) => void told.lost.push(what),
    reopened: (why: string) => void told.reopened.push(why),
  };
  const column = async (sql: string) => (await database.query<{ value: unknown }>(sql)).map(({ value }) => value);
  return {
    tables,
    store,
    topic,
    told,
    stop,
    giveUp,
    rows: () => column(`select address as value from ${tables.main} order by length(address), address`),
    rejected: () =>
      database.query(`select "offset"::int as offset, reason from ${tables.rejected} order by "offset", rejected_at`),
    /** Ranges by partition. */
    marks: () => column(`select next_offset::int as value from ${tables.offsets} order by partition`),
    setMark: (mark: number) => store.marks.claim({ topic: "metrics", topicId: topic.topicId }, new Map([[0, mark]])),
    start: (options: Partial<TransferOptions> = {}, from = topic) =>
      transfer(from, store, { limits: QUICK, stop: stop.signal, giveUp: giveUp.signal, events, ...options }),
  };
}

type Scene = Awaited<ReturnType<typeof scene>>;

/** Transfers until the mark of partition 0 stands at `mark`. */
async function transferTo(mark: number, { start, stop, marks }: Scene): Promise<void> {
  const work = start();
  await expect.poll(marks, { timeout: 20_000 }).toEqual([mark]);
  stop.abort();
  await work;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const only =
  (reading: number, change: (messages: Parameters<Distort>[0]) => Parameters<Distort>[0]): Distort => (messages, at) =>
    at === reading ? change(messages) : messages;
const went = (at: number, instead: number) => `partition 0 went on at offset ${at} instead of ${instead}`;

/** Messages 3 to 6 as a client gives them when it cannot read them. */
const unread: Distort = (messages) =>
  messages.flatMap((message) => {
    if (message.offset < 3 || message.offset > 6) return [message];
    return message.offset < 6 ? [] : [{ ...message, value: null, unreadable: { first: 3, why: "it is damaged" } }];
  });

it.each([
  { what: "all of them", mark: 0, rows: ["0", "1", "2", "7", "8"], first: 3 },
  { what: "those from the mark on", mark: 5, rows: ["7", "8"], first: 5 },
])(
  "transfer records $what where messages cannot be read, once, and goes on behind them",
  async ({ mark, rows, first }) => {
    const here = await scene();
    await here.setMark(mark);
    for (const n of range(0, 9)) here.topic.write(metric(String(n)));
    here.topic.distort = unread;
    await transferTo(9, here);
    expect(await here.rows()).toEqual(rows);
    const reason = `offsets ${first} to 6 cannot be read: it is damaged`;
    expect(await here.rejected()).toEqual([{ offset: 6, reason }]);
    expect(here.told).toMatchObject({ lost: [`partition 0: ${reason}`], reopened: [] });
  },
);

it("transfer confirms a hole before messages that cannot be read", async () => {
  const here = await scene();
  for (const n of range(0, 9)) here.topic.write(metric(String(n)));
  here.topic.distort = (messages, reading) =>
    unread(messages, reading).filter(({ offset }) => reading > 0 || offset !== 2);
  await transferTo(9, here);
  expect(await here.rows()).toEqual(["0", "1", "2", "7", "8"]);
  expect(here.told.reopened).toEqual([went(3, 2)]);
});

it("transfer records the whole length of a value and a key of which only the beginnings are kept", async () => {
  const here = await scene();
  for (const n of range(0, 3)) here.topic.write(n === 1 ? "x" : metric(String(n)));
  const key = new TextEncoder().encode("k");
  const lengths = [{ keyLength: 7_000_000 }, { key, keyLength: 8_000_000 }, { valueLength: 600_000_000 }];
  here.topic.distort = (messages) => messages.map((message, n) => ({ ...message, ...lengths[n] }));
  await transferTo(3, here);
  expect(await here.rows()).toEqual(["0"]);
  expect(await here.rejected()).toEqual([
    { offset: 1, reason: expect.stringMatching(/^the document is not JSON.*; its key has 8000000 bytes$/) },
    { offset: 2, reason: "the document has 600000000 bytes, more than 1048576" },
  ]);
});

it.each<{ what: string; written: number[]; distort?: Distort; reopened: string[] }>([
  { what: "comes in order", written: range(0, 10), reopened: [] },
  {
    what: "comes again",
    written: range(0, 6),
    distort: (messages) => [...messages.slice(0, 4), ...messages.slice(1, 3), ...messages],
    reopened: [],
  },
  {
    what: "goes on behind a hole that the client made",
    written: range(0, 6),
    distort: only(0, (messages) => messages.filter(({ offset }) => offset < 2 || offset > 3)),
    reopened: [went(4, 2)],
  },
  {
    what: "begins behind a hole that the client made, with nothing before it to store",
    written: range(0, 6),
    distort: only(0, (messages) => messages.slice(5)),
    reopened: [went(5, 0)],
  },
  {
    what: "goes on behind another hole each time",
    written: range(0, 6),
    distort: (messages, reading) => reading > 3 ? messages : messages.slice(4 - reading),
    reopened: [went(4, 0), went(3, 0), went(2, 0), went(1, 0)],
  },
  {
    what: "has holes of its own",
    written: [0, 1, 5, 6, 20, 22],
    reopened: [went(5, 2), went(20, 7), went(22, 21)],
  },
  { what: "begins with a hole of its own", written: [7, 8, 30], reopened: [went(7, 0), went(30, 9)] },
  {
    what: "has a hole of its own, and then one that the client made",
    written: [0, 1, 2, ...range(4, 40)],
    distort: only(1, (messages) => messages.filter(({ offset }) => offset < 20 || offset > 29)),
    reopened: [went(4, 3), went(30, 20)],
  },
])("transfer stores each message once where the log $what", async ({ written, distort, reopened }) => {
  const here = await scene();
  if (distort !== undefined) here.topic.distort = distort;
  for (const offset of written) here.topic.write(metric(String(offset)), { offset });
  await transferTo((written.at(-1) ?? 0) + 1, here);
  expect(await here.rows()).toEqual(written.map(String));
  expect(here.told).toEqual({ waiting: 0, recovered: 0, stored: written.length, lost: [], reopened });
  expect(here.topic.commits.at(-1)).toEqual(new Map([[0, (written.at(-1) ?? 0) + 1]]));
});

it("transfer asks about each hole by itself, and reads again only where there are messages in it", async () => {
  const here = await scene();
  here.topic.holesAsked = [];
  const written = [0, 1, 2, ...range(4, 40), ...range(50, 53), 60];
  for (const offset of written) here.topic.write(metric(String(offset)), { offset });
  here.topic.distort = only(0, (messages) => messages.filter(({ offset }) => offset < 20 || offset > 29));
  await transferTo(61, here);
  expect(await here.rows()).toEqual(written.map(String));
  expect(here.told.reopened).toEqual([went(30, 20)]);
  expect(here.topic.holesAsked).toEqual([[3, 4], [20, 30], [40, 50], [53, 60]]);
});

it("transfer takes a client's word for a hole that it saw in the log, and for no more of it than that", async () => {
  const here = await scene();
  here.topic.holesAsked = [];
  const written = [0, 1, ...range(5, 8), ...range(9, 12)];
  for (const offset of written) here.topic.write(metric(String(offset)), { offset });
  const vouch = new Map([[5, 2], [9, 8]]);
  here.topic.distort = (messages, reading) =>
    messages.filter(({ offset }) => reading > 0 || offset !== 7)
      .map((message) => ({ ...message, ...vouch.has(message.offset) && { since: vouch.get(message.offset) } }));
  await transferTo(12, here);
  expect(await here.rows()).toEqual(written.map(String));
  expect(here.topic.holesAsked).toEqual([[7, 9]]);
  expect(here.told.reopened).toEqual([went(9, 7)]);
});

it("transfer never believes a hole in which the brokers have messages, however often it is shown", async () => {
  const here = await scene();
  here.topic.holesAsked = [];
  for (const offset of range(0, 6)) here.topic.write(metric(String(offset)));
  here.topic.distort = (messages, reading) => reading > 3 ? messages : messages.filter(({ offset }) => offset !== 3);
  await transferTo(6, here);
  expect(await here.rows()).toEqual(range(0, 6).map(String));
  expect(here.told.reopened).toEqual(Array(4).fill(went(4, 3)));
});

/** Transfers until all marks stand at these offsets, in the order of the partitions. */
async function transferAll(here: Scene, topic: MemoryTopic, marks: readonly number[]): Promise<void> {
  const stop = new AbortController();
  const work = here.start({ stop: stop.signal }, topic);
  await expect.poll(here.marks, { timeout: 20_000 }).toEqual(marks);
  stop.abort();
  await work;
}

it("transfer begins at the end of all partitions at once, and reads those that come later from their first message", async () => {
  const here = await scene();
  const { topic } = here;
  topic.isLatest = true;
  for (const partition of [0, 1]) {
    for (const n of range(0, 10)) topic.write(metric(`old ${partition}/${n}`), { partition });
  }
  // The other mark is that of a consumer that has not read as far yet.
  topic.own = [0];
  await transferAll(here, topic, [10, 10]);
  for (const partition of [0, 1, 2]) {
    for (const n of range(0, 5)) topic.write(metric(`${partition}/${n}`), { partition });
  }
  topic.own = [1, 2];
  await transferAll(here, topic, [10, 15, 5]);
  topic.own = [0];
  await transferAll(here, topic, [15, 15, 5]);
  expect(new Set(await here.rows())).toEqual(new Set([0, 1, 2].flatMap((p) => range(0, 5).map((n) => `${p}/${n}`))));
});

it("transfer reads a topic that was made again from its first message, though it is to begin at the end", async () => {
  const here = await scene();
  here.topic.isLatest = true;
  here.topic.write(metric("old"));
  await transferAll(here, here.topic, [1]);
  const again = new MemoryTopic(randomUUID());
  again.isLatest = true;
  for (const n of range(0, 4)) again.write(metric(String(n)));
  const stop = new AbortController();
  const work = here.start({ stop: stop.signal }, again);
  await expect.poll(here.rows, { timeout: 20_000 }).toEqual(["0", "1", "2", "3"]);
  stop.abort();
  await work;
});

it("transfer keeps the partitions apart: a hole in one is not believed for another", async () => {
  const here = await scene();
  for (const offset of [0, 4, 5]) here.topic.write(metric(`0/${offset}`), { offset });
  for (const offset of range(0, 6)) here.topic.write(metric(`1/${offset}`), { partition: 1, offset });
  here.topic.distort = (messages, reading) =>
    reading > 1 ? messages : messages.filter(({ partition, offset }) => partition === 0 || offset !== 3 - reading);
  const work = here.start();
  await expect.poll(here.rows, { timeout: 20_000 }).toHaveLength(9);
  here.stop.abort();
  await work;
  expect(new Set(await here.rows()).size).toBe(9);
  expect(await here.marks()).toEqual([6, 6]);
  expect(here.told.reopened).toEqual([went(4, 1), "partition 1 went on at offset 3 instead of 2"]);
});

it("transfer puts bad messages among the rejected, and stores their neighbours", async () => {
  const here = await scene();
  const messages = [metric("0"), "no metric", metric("2"), null, '{"address":"4"}', metric("5")];
  for (const message of messages) here.topic.write(message);
  await transferTo(6, here);
  expect(await here.rows()).toEqual(["0", "2", "5"]);
  expect(await here.rejected()).toEqual([
    { offset: 1, reason: expect.stringMatching(/^the document is not JSON/) },
    { offset: 3, reason: "the message has no value (a tombstone)" },
    { offset: 4, reason: expect.stringContaining("status_code") },
  ]);
});

it("transfer reads again from a mark that was set back behind its position", async () => {
  const here = await scene();
  for (const offset of range(0, 5)) here.topic.write(metric(String(offset)));
  const work = here.start();
  await expect.poll(here.marks, { timeout: 20_000 }).toEqual([5]);
  // Does what the restoring of an older copy of the database does.
  await database.script(
    `delete from ${here.tables.main} where address >= '2'; update ${here.tables.offsets} set next_offset = 2`,
  );
  here.topic.write(metric("5"));
  await expect.poll(here.rows, { timeout: 20_000 }).toEqual(["0", "1", "2", "3", "4", "5"]);
  here.stop.abort();
  await work;
  expect(here.told.reopened).toEqual(["the marks in the table have been set elsewhere, or are gone"]);
  expect(here.topic.begun).toEqual([new Map([[0, 0]]), new Map([[0, 2]])]);
});

it("transfer reads from the start where the tables were emptied while it ran", async () => {
  const here = await scene();
  for (const offset of range(0, 3)) here.topic.write(metric(String(offset)));
  const work = here.start();
  await expect.poll(here.marks, { timeout: 20_000 }).toEqual([3]);
  await database.script(`truncate ${here.tables.main}; delete from ${here.tables.offsets}`);
  here.topic.write(metric("3"));
  await expect.poll(here.rows, { timeout: 20_000 }).toEqual(["0", "1", "2", "3"]);
  here.stop.abort();
  await work;
});

it("transfer records once what retention deleted before it was read, and reads on", async () => {
  const here = await scene();
  await here.setMark(2);
  for (const offset of [10, 11]) here.topic.write(metric(String(offset)), { offset });
  here.topic.bound(10, 12);
  await transferTo(12, here);
  const reason = "offsets 2 to 9 of partition 0 were deleted from the topic before they were read: up to 8 messages " +
    "are lost; lengthen the topic's retention";
  expect(await here.rows()).toEqual(["10", "11"]);
  expect(await here.rejected()).toEqual([{ offset: 2, reason }]);
  expect(here.told.lost).toEqual([reason]);
  expect(here.topic.begun).toEqual([new Map([[0, 10]])]);
});

it("transfer says once what is lost, also where the answer to its record is", async () => {
  let answers = 0;
  const here = await scene((database) => ({
    ...intercepting(database, () => {}),
    query: async <R extends object>(text: string, parameters?: readonly Parameter[]) => {
      const rows = await database.query<R>(text, parameters);
      if (text.startsWith("with moved as") && answers++ === 0) throw away("ECONNRESET");
      return rows;
    },
  }));
  await here.setMark(2);
  here.topic.write(metric("10"), { offset: 10 });
  here.topic.bound(10, 11);
  await transferTo(11, here);
  expect(answers).toBe(2);
  expect(await here.rejected()).toHaveLength(1);
  expect(here.told.lost).toEqual([expect.stringContaining("offsets 2 to 9 of partition 0 were deleted")]);
  expect(here.store.counters.rejected).toBe(1);
});

it("transfer goes back to where a log was cut, and stores what was written there since", async () => {
  const here = await scene();
  await here.setMark(5);
  for (const offset of range(0, 8)) here.topic.write(metric(String(offset)), { offset });
  here.topic.cut = { from: { offset: 5, epoch: null }, to: { offset: 3, epoch: null } };
  await transferTo(8, here);
  const reason = "partition 0 was cut at offset 3, before the mark 5: the broker has lost messages that it had " +
    "acknowledged; what was written there since is read";
  expect(await here.rows()).toEqual(["3", "4", "5", "6", "7"]);
  expect(await here.rejected()).toEqual([{ offset: 5, reason }]);
  expect(here.told.lost).toEqual([reason]);
});

it.each([
  { where: "elsewhere", from: { offset: 9, epoch: 0 } },
  // Another consumer has gone back, and has stored what is there now, up to the same offset.
  { where: "in another log, at the same offset", from: { offset: 5, epoch: 8 } },
])("transfer takes no cut for one below its mark that was heard of $where", async ({ from }) => {
  const here = await scene();
  await here.setMark(5);
  for (const offset of range(0, 8)) here.topic.write(metric(String(offset)), { offset });
  here.topic.cut = { from, to: { offset: 3, epoch: 0 } };
  await transferTo(8, here);
  expect(await here.rows()).toEqual(["5", "6", "7"]);
  expect(await here.rejected()).toEqual([]);
});

it("transfer reads on at its mark, and says so, where a leader has others before it than were read", async () => {
  const here = await scene();
  await here.setMark(5);
  for (const offset of range(0, 8)) here.topic.write(metric(String(offset)), { offset });
  const cut = { from: { offset: 5, epoch: null }, to: { offset: 6, epoch: null } };
  here.topic.cut = cut;
  // A broker that does not know the epoch refuses the position. One refusal is not believed.
  here.topic.refusals = 1;
  here.topic.onOutOfRange = () => here.topic.cut = cut;
  await transferTo(8, here);
  expect(here.topic.begun).toHaveLength(2);
  expect(await here.rows()).toEqual(["5", "6", "7"]);
  const reason = "partition 0 has other messages before the mark 5 than those that were read: the broker has lost " +
    "messages that it had acknowledged; those that took their places are not read";
  expect(await here.rejected()).toEqual([{ offset: 5, reason }]);
});

it("transfer looks twice at a log that ends before the mark, then records the loss and lowers the mark", async () => {
  const here = await scene();
  await here.setMark(20);
  for (const offset of range(0, 3)) here.topic.write(metric(String(offset)));
  const work = here.start();
  await expect.poll(here.marks, { timeout: 20_000 }).toEqual([3]);
  here.topic.write(metric("3"));
  await expect.poll(here.marks, { timeout: 20_000 }).toEqual([4]);
  here.stop.abort();
  await work;
  const reason = "partition 0 ends at offset 3, before the mark 20: the broker has lost messages that it had " +
    "acknowledged; reading goes on at its end";
  expect(await here.rows()).toEqual(["3"]);
  expect(await here.rejected()).toEqual([{ offset: 20, reason }]);
  expect(here.topic.begun).toEqual([20, 3].map((offset) => new Map([[0, offset]])));
});

it("transfer leaves the mark where the log's end is right at the second look", async () => {
  const here = await scene();
  await here.setMark(20);
  here.topic.bound(0, 3);
  here.topic.onOutOfRange = () => {
    here.topic.bound(0, 20);
    here.topic.write(metric("20"));
  };
  const work = here.start();
  await expect.poll(here.marks, { timeout: 20_000 }).toEqual([21]);
  here.stop.abort();
  await work;
  expect(await here.rows()).toEqual(["20"]);
  expect(await here.rejected()).toEqual([]);
  expect(here.told.lost).toEqual([]);
});

const away = (code: string) => Object.assign(new Error("nobody there"), { code });

it("transfer waits for a database that is away, says so once, and goes on where it was", async () => {
  let refusals = 0;
  const here = await scene((database) =>
    intercepting(database, (text) => {
      if (text.startsWith("with writer") && refusals++ < 3) throw away("ECONNREFUSED");
    })
  );
  for (const offset of range(0, 3)) here.topic.write(metric(String(offset)));
  await transferTo(3, here);
  expect(await here.rows()).toEqual(["0", "1", "2"]);
  expect(refusals).toBeGreaterThan(3);
  expect(here.told).toMatchObject({ waiting: 1, recovered: 1, reopened: [] });
  expect(here.topic.begun).toHaveLength(1);
});

/** A metric of which two fill a batch, whatever its size in messages. */
const large = (address: string) =>
  JSON.stringify({ ...JSON.parse(metric(address)), error_detail: "x".repeat(600_000) });

/**
 * A scene in which somebody decides how each flush ends, from the second on. The first shows that
 * the database is quick.
 */
async function flushing(decide: (flush: number, send: () => Promise<object[]>) => Promise<object[]>) {
  let flushes = 0;
  const here = await scene((database) => ({
    ...intercepting(database, () => {}),
    query: async <R extends object>(text: string, parameters?: readonly Parameter[]) => {
      const send = () => database.query<R>(text, parameters);
      if (!text.startsWith("with writer")) return await send();
      const flush = flushes++;
      return (flush === 0 ? await send() : await decide(flush, send)) as R[];
    },
  }));
  here.topic.write(metric("0"));
  const work = here.start();
  await expect.poll(() => here.told.stored, { timeout: 20_000 }).toBe(1);
  return { ...here, work, flushes: () => flushes };
}

it("transfer sends a full batch before the one before it is answered, and no third one", async () => {
  const held = Promise.withResolvers<void>();
  const here = await flushing(async (_flush, send) => {
    const rows = await send();
    await held.promise;
    return rows;
  });
  for (const n of range(1, 9)) here.topic.write(large(String(n)));
  await expect.poll(here.flushes, { timeout: 20_000 }).toBe(3);
  await expect.poll(() => here.topic.given, { timeout: 20_000 }).toBe(7);
  expect(here.flushes()).toBe(3);
  // Nothing counts as stored, and nothing is committed, before it is known.
  expect(here.told.stored).toBe(1);
  expect(here.topic.commits).toHaveLength(1);
  held.resolve();
  await expect.poll(() => here.told.stored, { timeout: 20_000 }).toBe(9);
  here.stop.abort();
  await here.work;
  expect(await here.rows()).toEqual(range(0, 9).map(String));
  expect(here.topic.commits.map((positions) => positions.get(0))).toEqual([1, 3, 5, 7, 9]);
});

it.each([
  { what: "does not reach the database", isStored: false },
  { what: "is stored, but its answer is lost", isStored: true },
])(
  "transfer stores all once where the first of two batches $what, and the second is under way",
  async ({ isStored }) => {
    const secondSent = Promise.withResolvers<void>();
    const order: number[] = [];
    const here = await flushing(async (flush, send) => {
      if (flush === 1) {
        if (isStored) await send();
        await secondSent.promise;
        throw away("ECONNRESET");
      }
      const rows = await send();
      order.push(flush);
      if (flush === 2) secondSent.resolve();
      return rows;
    });
    for (const n of range(1, 5)) here.topic.write(large(String(n)));
    await expect.poll(() => here.told.stored, { timeout: 20_000 }).toBe(5);
    here.stop.abort();
    await here.work;
    expect(await here.rows()).toEqual(range(0, 5).map(String));
    // The first again, in its turn; then the second again, if it has found a gap.
    expect(order).toEqual(isStored ? [2, 3] : [2, 3, 4]);
    expect(here.told).toMatchObject({ waiting: 1, reopened: [] });
    expect(here.topic.commits.map((positions) => positions.get(0))).toEqual([1, 3, 5]);
    expect(here.store.counters.rows).toBe(isStored ? 3 : 5);
  },
);

it("transfer stores all once where the first of two batches has a row that is refused, and the second is under way", async () => {
  const secondSent = Promise.withResolvers<void>();
  const here = await flushing(async (flush, send) => {
    if (flush === 1) await secondSent.promise;
    const rows = await send().finally(() => flush === 2 && secondSent.resolve());
    return rows;
  });
  await database.script(`alter table ${here.tables.main} add check (address <> '1')`);
  for (const n of range(1, 5)) here.topic.write(large(String(n)));
  await expect.poll(() => here.told.stored, { timeout: 20_000 }).toBe(5);
  here.stop.abort();
  await here.work;
  expect(await here.rows()).toEqual(["0", "2", "3", "4"]);
  expect(await here.rejected()).toEqual([{ offset: 1, reason: expect.stringContaining("violates check constraint") }]);
  expect(here.told.reopened).toEqual([]);
  expect(await here.marks()).toEqual([5]);
});

it("transfer reads again from a mark that was set back while two batches are under way", async () => {
  const held = Promise.withResolvers<void>();
  const here = await flushing(async (_flush, send) => {
    await held.promise;
    return await send();
  });
  for (const n of range(1, 5)) here.topic.write(large(String(n)));
  await expect.poll(here.flushes, { timeout: 20_000 }).toBe(3);
  await database.script(`delete from ${here.tables.main}; update ${here.tables.offsets} set next_offset = 0`);
  held.resolve();
  await expect.poll(here.rows, { timeout: 20_000 }).toEqual(range(0, 5).map(String));
  here.stop.abort();
  await here.work;
  expect(here.told.reopened).toEqual(["the marks in the table have been set elsewhere, or are gone"]);
});

it("transfer throws at once what waiting cannot mend, though a second batch is under way", async () => {
  const here = await flushing((_flush, send) => send());
  await database.script(`drop table ${here.tables.main} cascade`);
  for (const n of range(1, 5)) here.topic.write(large(String(n)));
  expect(classifyError(await here.work.catch((error: unknown) => error))).toBe("setup");
});

it.each([
  ["refuses", () => Promise.reject(away("ECONNREFUSED")), 1, "nobody there"],
  ["says nothing", () => new Promise<never>(() => {}), 0, "PostgreSQL does not answer"],
])("transfer ends when giveUp aborts though the database %s, and what was not stored is left in the topic", async (
  _,
  answer,
  waiting,
  words,
) => {
  const asked = Promise.withResolvers<void>();
  const here = await scene((database) =>
    intercepting(database, (text) => {
      if (!text.startsWith("with writer")) return;
      asked.resolve();
      return answer();
    })
  );
  here.topic.write(metric("0"));
  const failed = here.start().catch((error: unknown) => error);
  await asked.promise;
  await expect.poll(() => here.told.waiting).toBe(waiting);
  here.stop.abort();
  here.giveUp.abort();
  const error = await failed;
  expect([classifyError(error), explain(error)]).toEqual(["wait", words]);
  expect(await here.marks()).toEqual([0]);
  expect(here.topic.commits).toEqual([]);
});

it("transfer throws at once what waiting cannot mend", async () => {
  const here = await scene();
  here.topic.write(metric("0"));
  await database.script(`drop table ${here.tables.main} cascade`);
  const error = await here.start().catch((error: unknown) => error);
  expect(classifyError(error)).toBe("setup");
  expect(here.told.waiting).toBe(0);
});

it("transfer stores what it has read when it is stopped", async () => {
  const here = await scene();
  for (const offset of range(0, 3)) here.topic.write(metric(String(offset)));
  const work = here.start({ limits: NEVER });
  await expect.poll(() => here.topic.given, { timeout: 20_000 }).toBe(3);
  expect(await here.rows()).toEqual([]);
  here.stop.abort();
  await work;
  expect(await here.rows()).toEqual(["0", "1", "2"]);
});

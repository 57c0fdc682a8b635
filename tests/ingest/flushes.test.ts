import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TableName } from "../../lib/config/setting_types.ts";
import { transfer } from "../../lib/ingest/transfer.ts";
import type { Database, Parameter } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import { quoteTables } from "../../lib/postgres/schema.ts";
import { Store } from "../../lib/postgres/store.ts";
import { intercepting } from "../support/databases.ts";
import { MemoryTopic } from "../support/memory_topic.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";

const PARTITIONS = [0, 1];
const MESSAGES = 60;
/** A batch is full with three of these. */
const DETAIL = "x".repeat(350_000);

describe.skipIf(postgresMissing !== null)("Flushes on PostgreSQL", () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const address = (partition: number, n: number) => `${partition}/${n}`;
  /** Every 17th is refused by the table. */
  const isRefused = (n: number) => n % 17 === 16;

  function write(topic: MemoryTopic): void {
    for (let n = 0; n < MESSAGES; n++) {
      for (const partition of PARTITIONS) {
        const latency = isRefused(n) ? 1000 : 1;
        const metric = { address: address(partition, n), status_code: 200, latency, is_valid: true };
        topic.write(JSON.stringify({ ...metric, error_detail: DETAIL }), { partition });
      }
    }
  }

  /** Runs a transfer, of which `onFlush` hears each flush that is sent beside another one. */
  function consume(database: Database, table: TableName, topicId: string, onBoth: () => Promise<void>) {
    let underWay = 0;
    const watched: Database = {
      ...intercepting(database, () => {}),
      query: async <R extends object>(text: string, parameters?: readonly Parameter[]) => {
        if (!text.startsWith("with writer")) return await database.query<R>(text, parameters);
        underWay++;
        try {
          const rows = database.query<R>(text, parameters);
          if (underWay > 1) await Promise.all([rows, onBoth()]);
          return await rows;
        } finally {
          underWay--;
        }
      },
    };
    const stop = new AbortController();
    const topic = new MemoryTopic(topicId);
    write(topic);
    const silent = () => {};
    const events = {
      ...{ waiting: silent, recovered: silent, began: silent, stored: silent },
      ...{ replayed: silent, lost: silent, reopened: silent },
    };
    const work = Store.open(watched, table).then((store) => {
      const limits = { size: 100, interval: 0.01 };
      return transfer(topic, store, { limits, stop: stop.signal, giveUp: new AbortController().signal, events });
    });
    return { stop, work };
  }

  it("store each message once, by two consumers of the same partitions whose connections break with two under way", async () => {
    const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { main, offsets, rejected } = quoteTables(table);
    await using database = openPostgres(server.settings);
    await Store.open(database, table);
    await database.script(`alter table ${main} add check (latency < 1000)`);
    let both = 0;
    const breakSome = async () => {
      if (both++ % 4 !== 0) return;
      await server.sql`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'host-checker' and query like 'with writer%'`;
    };
    const topicId = randomUUID();
    await using first = openPostgres(server.settings);
    await using second = openPostgres(server.settings);
    const consumers = [first, second].map((one) => consume(one, table, topicId, breakSome));
    const marks = async () =>
      (await server.sql.unsafe(`select next_offset::int as mark from ${offsets} where topic_id = '${topicId}'`))
        .map(({ mark }) => mark as number);
    const failed = Promise.race(consumers.map(({ work }) => work)).then(() => [] as number[]);
    await expect.poll(() => Promise.race([marks(), failed]), { timeout: 50_000 })
      .toEqual(PARTITIONS.map(() => MESSAGES));
    for (const { stop } of consumers) stop.abort();
    await Promise.all(consumers.map(({ work }) => work));
    expect(both).toBeGreaterThan(0);
    const expected = PARTITIONS.flatMap((partition) =>
      Array.from({ length: MESSAGES }, (_, n) => n).filter((n) => !isRefused(n)).map((n) => address(partition, n))
    );
    const rows = await server.sql.unsafe(`select address from ${main}`);
    expect(rows.map((row) => row.address as string).sort()).toEqual(expected.sort());
    const refused = await server.sql.unsafe(`select "offset"::int as n from ${rejected} order by 1`);
    expect(refused.map(({ n }) => n as number)).toEqual([16, 16, 33, 33, 50, 50]);
  });
});

import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import type { Fault } from "./fault.ts";
import { ON_PURPOSE } from "./ledger.ts";
import { persistently } from "./persistently.ts";
import { LARGE } from "./topic.ts";
import { CONSUMER_ROLE, SERVER, TABLE, type World } from "./world.ts";

const FILLER = "filler";
const OLD_PART = `${TABLE}_201501`;
const OLD_ROWS = 100_000;
const HALF_A_MINUTE = { short: [36_000, 38_000], long: [36_000, 45_000] } as const;

export const FAULTS_OF_THE_DATABASE: readonly Fault[] = [
  {
    name: "PostgreSQL killed (immediate)",
    part: "database",
    lasts: { short: [200, 2000], long: [0, 20_000] },
    async strike({ postgres }) {
      await postgres.crash();
      return { heal: () => postgres.restart() };
    },
  },
  {
    name: "every backend terminated",
    part: "database",
    async strike(world) {
      const times = world.isShort ? 5 : 20;
      for (let n = 0; n < times; n++) {
        await terminate(world);
        await world.pass(20, 400);
      }
      return { times };
    },
  },
  {
    name: "statements cancelled",
    part: "database",
    async strike(world) {
      const times = world.isShort ? 5 : 20;
      for (let n = 0; n < times; n++) {
        await world.sql(`select pg_cancel_backend(pid) from pg_stat_activity where usename = '${CONSUMER_ROLE}'`);
        await world.pass(10, 200);
      }
      return { times };
    },
  },
  {
    name: "statement_timeout fires",
    part: "database",
    lasts: { short: [2000, 3000], long: [3000, 15_000] },
    // The first statement shortens the time limit of its session. The next statements take longer
    // than that limit.
    async strike(world) {
      await world.sql(`create function dawdle() returns trigger language plpgsql as $$ begin
        perform set_config('statement_timeout', '200', false); perform pg_sleep(0.4); return null; end $$;
        create trigger dawdle before insert on ${TABLE} for each statement execute function dawdle()`);
      return {
        heal: async () => {
          await world.sql(`drop function dawdle cascade`);
          await terminate(world);
        },
      };
    },
  },
  {
    // Each row takes some time, and a statement may take a second. So a full statement fails, and a
    // smaller one succeeds.
    name: "table slow by the row",
    part: "database",
    needsFlow: true,
    async strike(world) {
      const { sql, crew, pass, source } = world;
      const members = crew.members.length;
      await crew.dismissAll();
      await sql(`create function plod() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01);
        if clock_timestamp() > statement_timestamp() + interval '1 s' then
          raise query_canceled using message = 'canceling statement due to statement timeout'; end if;
        return new; end $$;
        create trigger plod before insert on ${TABLE} for each row execute function plod()`);
      await pass(2000, 4000);
      const from = Math.max(0, source.made - 2000);
      await crew.resize(members);
      // The consumer goes on with smaller pieces while the table is still slow.
      await world.recovered(from);
      return { heal: async () => void await sql(`drop function plod cascade`) };
    },
  },
  {
    // The codes usually mean that the set-up is wrong, or that nothing is wrong.
    name: "rows refused by a trigger",
    part: "database",
    needsFlow: true,
    async strike(world) {
      const { sql, random, source, pass } = world;
      const code = random.pick(["P0001", "P0002", "P0004", "0A000", "42501", "22023", "23514", "42883", "55000"]);
      await sql(`create function refuse() returns trigger language plpgsql as $$ begin
        if new.latency::int % 7 = 3 then raise exception '${ON_PURPOSE}' using errcode = '${code}'; end if;
        return new; end $$;
        create trigger refuse before insert on ${TABLE} for each row execute function refuse()`);
      const from = source.made;
      await pass(1000, world.isShort ? 2000 : 10_000);
      // The other rows are stored meanwhile.
      await world.recovered(from);
      return { heal: async () => void await sql(`drop function refuse cascade`) };
    },
  },
  {
    name: "idle timeouts fire",
    part: "database",
    lasts: { short: [2000, 4000], long: [3000, 15_000] },
    strike: async (world) => {
      await world.sql(`alter role ${CONSUMER_ROLE} set idle_session_timeout = 60`);
      await world.sql(`alter role ${CONSUMER_ROLE} set idle_in_transaction_session_timeout = 1`);
      await terminate(world);
      return {
        heal: async () => {
          await world.sql(`alter role ${CONSUMER_ROLE} reset idle_session_timeout`);
          await world.sql(`alter role ${CONSUMER_ROLE} reset idle_in_transaction_session_timeout`);
          await terminate(world);
        },
      };
    },
  },
  {
    name: "marks set back",
    part: "database",
    needsFlow: true,
    strike: setBack,
  },
  {
    name: "database read-only",
    part: "database",
    lasts: { short: [1000, 4000], long: [2000, 20_000] },
    strike: async (world) => {
      await world.sql(`alter role ${CONSUMER_ROLE} set default_transaction_read_only = on`);
      await terminate(world);
      return {
        heal: async () => void await world.sql(`alter role ${CONSUMER_ROLE} reset default_transaction_read_only`),
      };
    },
  },
  {
    name: "disk full",
    part: "database",
    lasts: { short: [3000, 5000], long: [5000, 20_000] },
    missing: ({ disk }) => disk === null ? "a disk of its own can be mounted only by root on Linux" : null,
    strike({ disk }) {
      const file = openSync(join(disk as string, FILLER), "w");
      try {
        for (const block = Buffer.alloc(8192);;) writeSync(file, block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      } finally {
        closeSync(file);
      }
      return Promise.resolve({ heal: () => rmSync(join(disk as string, FILLER)) });
    },
  },
  {
    name: "column dropped",
    part: "database",
    lasts: { short: [1000, 3000], long: [1000, 10_000] },
    mayGiveUp: true,
    async strike({ sql }) {
      // A column that incidents do without.
      await sql(`alter table ${TABLE} drop column producer cascade`);
      return { heal: async () => void await sql(`alter table ${TABLE} add column producer text`) };
    },
  },
  {
    name: "table locked",
    part: "database",
    lasts: { short: [11_000, 13_000], long: [30_000, 60_000] },
    async strike({ postgres }) {
      const session = await postgres.sql.reserve();
      await session.unsafe(`begin; lock table ${TABLE} in access exclusive mode`);
      return {
        heal: async () => {
          await session.unsafe("rollback");
          session.release();
        },
      };
    },
  },
  {
    // The consumers keep five years, and look for older parts when they start. Some are killed at
    // it.
    name: "old part dropped",
    part: "database",
    needsFlow: true,
    async strike(world) {
      const { sql, crew, random, pass } = world;
      await sql(`create table if not exists ${OLD_PART} partition of ${TABLE}
        for values from ('2015-01-01Z') to ('2015-02-01Z')`);
      await sql(`alter table ${OLD_PART} owner to ${CONSUMER_ROLE}`);
      await sql(`insert into ${TABLE} (address, latency, is_valid, scheduled_at, checked_at)
        select 'old', 0, true, '2015-01-05Z', '2015-01-05Z' from generate_series(1, ${OLD_ROWS})`);
      const kills = world.isShort ? 3 : 8;
      for (let n = 0; n < kills; n++) {
        await crew.kill(random.pick(crew.members));
        await pass(300, 2000);
      }
      await eventually(
        async () => (await sql(`select where to_regclass('${OLD_PART}') is null`)).length > 0,
        () => `${OLD_PART} is still there`,
        { timeout: 600_000, interval: 300 },
      );
      const [day] = await sql(`select missed + removed + checks as rows from ${TABLE}_daily where address = 'old'`);
      if (day?.rows !== OLD_ROWS) throw new Error(`The days have ${day?.rows} of ${OLD_ROWS} rows that were dropped`);
      return { times: kills };
    },
  },
  {
    name: "deadlock",
    part: "database",
    needsFlow: true,
    async strike(world) {
      const before = await deadlocks(world);
      const members = world.crew.members.length;
      // A consumer with a single partition waits for one lock at a time, and so hinders nobody.
      await world.crew.resize(1);
      await eventually(
        async () => {
          await crossLocks(world);
          return await deadlocks(world) > before;
        },
        () => "No deadlock came about",
        { timeout: 60_000 },
      );
      await world.crew.resize(members);
    },
  },
  {
    name: "query that never settles",
    part: "database",
    lasts: HALF_A_MINUTE,
    strike: ({ way }) => Promise.resolve(way.silence("answers")),
  },
  {
    name: "connection half-open",
    part: "database",
    lasts: HALF_A_MINUTE,
    strike: ({ way }) => Promise.resolve(way.silence("everything")),
  },
  {
    // The statement arrives late: the consumer has sent it again over another connection, and
    // others after it.
    name: "statement comes late",
    part: "database",
    lasts: HALF_A_MINUTE,
    strike({ way }) {
      const { release } = way.hold();
      return Promise.resolve({ heal: release });
    },
  },
  {
    name: "connections cut",
    part: "database",
    async strike({ way, isShort, pass }) {
      const times = isShort ? 5 : 20;
      for (let n = 0; n < times; n++) {
        way.cut();
        await pass(10, 300);
      }
      return { times };
    },
  },
];

async function terminate({ sql }: World): Promise<void> {
  await sql(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${CONSUMER_ROLE}'`);
}

async function deadlocks({ sql }: World): Promise<number> {
  await sql("select pg_stat_clear_snapshot()");
  const [row] = await sql(`select sum(deadlocks)::int as n from pg_stat_database`);
  return Number(row?.n);
}

/** Locks the marks of the topic in the opposite order to the consumers. */
async function crossLocks({ postgres, topic, pass }: World): Promise<void> {
  const { id, partitions } = await topic.describe();
  const lock = (partition: number) =>
    `select from ${TABLE}_offsets where topic_id = '${id}' and partition = ${partition} for update`;
  await postgres.sql.begin(async (sql) => {
    for (let partition = partitions - 1; partition >= 0; partition--) {
      await sql.unsafe(lock(partition));
      await pass(300, 500);
    }
  }).catch((error: { code?: string }) => {
    if (error.code !== "40P01") throw error;
  });
}

/**
 * Does what the restoring of an older copy does. Marks and rows go back, but the consumers do not.
 */
async function setBack(world: World): Promise<void> {
  const { topic, random, postgres, ledger } = world;
  const { id } = await topic.describe();
  for (const [partition, mark] of await world.marks()) {
    const back = Math.max(await topic.bound(partition, -2), mark - random.between(1, 300));
    const restore = () =>
      postgres.sql.begin(async (sql) => {
        await sql.unsafe(
          `select from ${TABLE}_offsets where topic_id = '${id}' and partition = ${partition} for update`,
        );
        const numbers = (await topic.read(partition, back)).flatMap(({ number }) => number ?? []);
        await ledger.forget(numbers, sql);
        await sql.unsafe(`delete from ${TABLE}_rejected where value like '${LARGE}%'::bytea
        and topic_id = '${id}' and partition = ${partition} and "offset" >= ${back}`);
        await sql.unsafe(`update ${TABLE}_offsets set next_offset = ${back}
        where topic_id = '${id}' and partition = ${partition}`);
      });
    await persistently(restore, SERVER);
  }
}

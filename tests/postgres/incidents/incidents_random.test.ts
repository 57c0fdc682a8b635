import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import type { TableName } from "../../../lib/config/setting_types.ts";
import { type Metric, verdictOn } from "../../../lib/metric.ts";
import { classifyError, type Database, type Parameter } from "../../../lib/postgres/database.ts";
import { openPostgres } from "../../../lib/postgres/database/postgres.ts";
import {
  type AddressState,
  type IncidentChange,
  observe,
  UNKNOWN_ADDRESS,
  UNTOLD,
} from "../../../lib/postgres/incidents/rules.ts";
import { quoteTables } from "../../../lib/postgres/schema.ts";
import { type OffsetRanges, Store } from "../../../lib/postgres/store.ts";
import { CheckLog, checkOf, incidentsOf, minuteOf } from "../../support/incidents.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../../support/postgres.ts";
import { Random } from "../../support/random.ts";

/**
 * A way to the database that loses the answers to some statements: these were carried out, or not, or
 * will be some time later, over another connection.
 */
function lossy(database: Database, later: Database, random: Random): Database {
  const lose = () => {
    throw Object.assign(new Error("the connection broke"), { code: "ECONNRESET" });
  };
  const postpone = async (text: string, parameters?: readonly Parameter[]) => {
    for (let turns = random.between(0, 20); turns > 0; turns--) await nextTurn();
    await later.query(text, parameters).catch(() => {});
  };
  return {
    async query(text, parameters) {
      if (random.next() < 0.04) lose();
      if (random.next() < 0.04) {
        void postpone(text, parameters);
        lose();
      }
      const answer = await database.query(text, parameters);
      if (random.next() < 0.04) lose();
      return answer as never;
    },
    script: (text) => database.script(text),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A consumer of the partition. It may be one of several that believe so. */
class Reader {
  readonly #open: () => Promise<Store>;
  readonly #log: CheckLog;
  readonly #random: Random;
  #store: Store | null = null;
  #position = 0;

  constructor(open: () => Promise<Store>, log: CheckLog, random: Random) {
    this.#open = open;
    this.#log = log;
    this.#random = random;
  }

  /** It is killed. Whatever it has sent is still carried out. */
  kill(): void {
    this.#store = null;
  }

  /** Reads on to `end`, in batches, of which two may be under way. It is killed now and then. */
  async readTo(end: number, deaths: number): Promise<void> {
    while (this.#store === null || this.#position < end) {
      if (this.#random.next() < deaths) this.kill();
      this.#store ??= await untilAnswered(this.#open);
      if (this.#position === 0 || this.#random.next() < 0.05) await this.#claim(this.#store);
      const first = this.#batch(this.#position, end);
      const second = this.#batch(first.next, end);
      const stored = untilAnswered(() => this.#flush(first));
      const early = this.#random.next() < 0.5 && second.next > second.start ? this.#flushEarly(second) : null;
      const isStored = await stored === "stored";
      this.#position = first.next;
      if (await early === true && isStored) this.#position = second.next;
      if (!isStored) await this.#claim(this.#store);
      if (this.#random.next() < 0.3) await nextTurn();
    }
  }

  async #claim(store: Store): Promise<void> {
    const marks = await untilAnswered(() => store.marks.claim(this.#log.identity, new Map([[0, 0]])));
    this.#position = marks.get(0)?.offset ?? 0;
  }

  #batch(start: number, end: number): { start: number; next: number } {
    return { start, next: Math.min(end, start + this.#random.between(1, 12)) };
  }

  #arguments({ start, next }: { start: number; next: number }) {
    const ranges: OffsetRanges = new Map([[0, { start, next }]]);
    return [ranges, (this.#store as Store).encode(this.#log.entries.slice(start, next))] as const;
  }

  async #flush(batch: { start: number; next: number }) {
    const [ranges, encoded] = this.#arguments(batch);
    return await (this.#store as Store).flushEncoded(this.#log.identity, ranges, [encoded]);
  }

  async #flushEarly(batch: { start: number; next: number }) {
    const [ranges, encoded] = this.#arguments(batch);
    return await (this.#store as Store).flushEarly(this.#log.identity, ranges, [encoded]);
  }
}

async function untilAnswered<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (classifyError(error) !== "wait") throw error;
    }
  }
}

/** Some addresses and places, whose checks fail in streaks. */
function fill(log: CheckLog, random: Random, minutes: number): void {
  const places = ["Oslo", "Rome", null].slice(0, random.between(1, 3));
  const down = new Map<string, boolean>();
  for (let minute = 0; minute < minutes; minute++) {
    for (const host of ["a", "b", "c", "d"]) {
      for (const location of places) {
        const name = `${host} ${location}`;
        if (random.next() < 0.25) down.set(name, random.next() < 0.5);
        const fields = { address: `https://${host}.example`, location };
        if (random.next() < 0.9) log.add(checkOf(minute, down.get(name) !== true, fields));
        if (random.next() < 0.02) log.add("no metric");
        // The table refuses it.
        if (random.next() < 0.03) log.add(checkOf(minute, random.next() < 0.5, { ...fields, producer: "poison" }));
      }
    }
  }
  // Whatever is owed is told by the next checks.
  for (const host of ["a", "b", "c", "d"]) {
    for (const location of places) {
      for (const minute of [0, 1, 2]) {
        log.add(checkOf(minutes + minute, true, { address: `https://${host}.example`, location }));
      }
    }
  }
}

/** What the incidents must be: the rules, applied to each message once, in order. */
function expectedOf(log: CheckLog, rules: IncidentSettings): string[] {
  const changes: IncidentChange[] = [];
  const states = new Map<string, AddressState>();
  for (const { partition, offset, content } of log.entries) {
    if ("reason" in content || content.producer === "poison") continue;
    const metric: Metric = content;
    const before = states.get(metric.address) ?? UNKNOWN_ADDRESS;
    const check = {
      ...{
        partition,
        offset,
        address: metric.address,
        location: metric.location,
        due: Date.parse(metric.scheduled_at ?? ""),
      },
      ...{
        nextAt: Date.parse(metric.next_at ?? ""),
        tlsExpiresAt: UNTOLD,
        verdict: verdictOn(metric) === true ? "up" as const : "down" as const,
      },
      failure: () => ({ error: metric.error, errorDetail: metric.error_detail, statusCode: metric.status_code }),
    };
    states.set(metric.address, observe(rules, before, check, changes));
  }
  const rows = new Map<string, string>();
  for (const change of changes) {
    if (change.what === "opening") {
      const { address, openedAt, confirmedAt, locations, errorDetail } = change;
      const times = `${minuteOf(new Date(openedAt))} ${minuteOf(new Date(confirmedAt))}`;
      rows.set(address, `${rows.get(address) ?? ""}${address} ${times} ${JSON.stringify(locations)} ${errorDetail} `);
    } else {
      rows.set(change.address, `${rows.get(change.address)}${minuteOf(new Date(change.closedAt))};`);
    }
  }
  return [...rows.values()].flatMap((text) => text.split(";").filter((row) => row !== "")).toSorted();
}

/**
 * Incidents of which not exactly what there is to tell is to be told: the end, once, and the
 * beginning, but for one that was over when it was found.
 */
async function wronglyTold(database: Database, table: TableName): Promise<string[]> {
  const { incidents, notifications } = quoteTables(table);
  const rows = await database.query<{ id: string }>(
    `select i.id::text from ${incidents} i left join ${notifications} n on n.incident = i.id group by i.id
     having count(*) filter (where n.event = 'closed') <> (i.closed_at is not null)::int
       or count(*) filter (where n.event = 'opened') > 1 or count(n.id) = 0`,
  );
  return rows.map(({ id }) => id);
}

describe.skipIf(postgresMissing !== null)("incidents", () => {
  let server: TestPostgres;
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server[Symbol.asyncDispose]());

  it("are what the messages say, one row each, whoever reads them, is killed, or loses answers", async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    const random = new Random(seed);
    let told = 0;
    for (let round = 0; round < 8; round++) {
      const rules: IncidentSettings = {
        downAfter: random.between(1, 3),
        upAfter: random.between(1, 2),
        places: random.pick([1, 2, "majority"]),
        certificateDays: 0,
      };
      const table = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
      await using first = openPostgres(server.settings);
      await using second = openPostgres(server.settings);
      await using later = openPostgres(server.settings);
      const options = { incidents: rules, targets: ["a target"] };
      await Store.open(first, table, options);
      await first.script(`alter table ${table.name} add check (producer is distinct from 'poison')`);
      const log = new CheckLog();
      fill(log, random, 25);
      const readers = [first, second].map((database) => {
        const open = () => Store.open(lossy(database, later, random), table, options);
        return new Reader(open, log, random);
      });
      await Promise.all(readers.map((reader) => reader.readTo(log.entries.length - 40, 0.1)));
      await readers[0]?.readTo(log.entries.length, 0);
      const rows = (await incidentsOf(first, table)).map((row) => {
        const { address, opened_at, confirmed_at, closed_at, locations, error_detail } = row;
        const end = closed_at === null ? "" : minuteOf(closed_at);
        return `${address} ${minuteOf(opened_at)} ${minuteOf(confirmed_at)} ${locations} ${error_detail} ${end}`;
      });
      expect(rows.toSorted(), `seed ${seed}, round ${round}, ${JSON.stringify(rules)}`).toEqual(expectedOf(log, rules));
      expect(await wronglyTold(first, table)).toEqual([]);
      told += rows.length;
    }
    expect(told).toBeGreaterThan(10);
  }, 300_000);
});

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import type { TableName } from "../../../lib/config/setting_types.ts";
import type { Metric } from "../../../lib/metric.ts";
import type { Database } from "../../../lib/postgres/database.ts";
import { Canaries } from "../../../lib/postgres/incidents/canaries.ts";
import {
  type AddressState,
  type IncidentChange,
  observe,
  UNKNOWN_ADDRESS,
  UNTOLD,
} from "../../../lib/postgres/incidents/rules.ts";
import { prepareTables, type Tables } from "../../../lib/postgres/tables.ts";
import { Store } from "../../../lib/postgres/store.ts";
import { databaseKinds } from "../../support/database_kinds.ts";
import { CheckLog, checkOf, INCIDENT_RULES, incidentsOf } from "../../support/incidents.ts";
import { Random } from "../../support/random.ts";

const kindsOf = databaseKinds(() => {});
const CANARIES = ["https://one.example", "https://two.example"] as const;

/** So many minutes from now. */
const from = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();

describe.each(kindsOf())("canaries on $kind", ({ missing, open }) => {
  let database: Database;
  beforeAll(async () => {
    if (missing === null) database = await open();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  describe.skipIf(missing !== null)(missing ?? "", () => {
    /** A table, and consumers of it. */
    function world() {
      const table: TableName = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
      const log = new CheckLog();
      const opened = async () => {
        const store = await Store.open(database, table, { incidents: INCIDENT_RULES, canaries: CANARIES });
        await store.marks.claim(log.identity, new Map([[0, 0]]));
        return store;
      };
      const add = (address: string, minute: number, isUp: boolean, fields: Partial<Metric> = {}) =>
        log.add(checkOf(0, isUp, {
          address,
          ...{ scheduled_at: from(minute), checked_at: from(minute), next_at: from(minute + 1) },
          ...fields,
        }));
      /** The addresses that are told to be down. */
      const down = async () => (await incidentsOf(database, table)).map(({ address }) => address);
      return { table, log, opened, add, down };
    }

    it("tell that a place has no network: nothing else is down as seen from there, and each other place counts", async () => {
      const { log, opened, add, down } = world();
      for (const minute of [-5, -4, -3, -2, -1, 0]) {
        for (const canary of CANARIES) add(canary, minute - 0.5, minute < -3);
        add("https://a.example", minute, minute < -3);
        for (const canary of CANARIES) add(canary, minute - 0.5, true, { location: "Rome" });
        add("https://b.example", minute, minute < -3, { location: "Rome" });
      }
      const store = await opened();
      await log.store(store, 0, log.entries.length);
      expect(await down()).toEqual(["https://b.example", ...CANARIES]);
      expect(store.unknownPlaces).toEqual(["Oslo"]);
    });

    it("are known from the table to a consumer that never reads their messages, over a restart too", async () => {
      const { log, opened, add, down } = world();
      for (const minute of [-5, -4, -3, -2, -1]) for (const canary of CANARIES) add(canary, minute - 0.5, minute < -3);
      const canaries = log.entries.length;
      for (const minute of [-5, -4, -3, -2, -1]) add("https://a.example", minute, minute < -3);
      await log.store(await opened(), 0, canaries);
      for (let next = canaries; next < log.entries.length; next++) await log.store(await opened(), next, next + 1);
      expect(await down()).toEqual(CANARIES);
      expect((await opened()).unknownPlaces).toEqual([]);
      const begin = log.entries.length;
      for (const canary of CANARIES) add(canary, -0.9, true);
      add("https://a.example", -0.8, false);
      for (const canary of CANARIES) add(canary, -0.4, true);
      add("https://a.example", -0.3, false);
      for (let next = begin; next < log.entries.length; next++) await log.store(await opened(), next, next + 1);
      expect(await down()).toEqual(["https://a.example", ...CANARIES]);
    });

    it("are told to be down and up again, once each, and told of that nobody checks", async () => {
      const { log, opened, add, table } = world();
      const tables = await prepareTables(database, table, undefined, undefined, true);
      let late = 0;
      const addresses = [...CANARIES, "https://typo.example"];
      const canaries = new Canaries(database, () => tables, addresses, () => Date.now() + late);
      const told: string[] = [];
      const events = {
        changed: (unknown: readonly unknown[], known: readonly unknown[]) =>
          void told.push(`unknown: ${unknown}; known: ${known}`),
        absent: (addresses: readonly string[]) => void told.push(`absent: ${addresses}`),
      };
      const look = async () => {
        await canaries.look(events);
        late += 4000;
      };
      const store = await opened();
      for (const canary of CANARIES) add(canary, -0.2, false);
      await log.store(store, 0, 2);
      await look();
      add(CANARIES[1], -0.1, true);
      await log.store(store, 2, 3);
      await look();
      late += 400_000;
      await look();
      expect(told).toEqual(["unknown: Oslo; known: ", "unknown: ; known: Oslo", "absent: https://typo.example"]);
    });
  });
});

/** What is stored, in the order in which it arrives: hosts and canaries with their own period and phase. */
function* arrivals(
  random: Random,
  networkFails: readonly [number, number],
  downHost: number | null,
  canaryPeriods: readonly number[],
) {
  const [fails, recovers] = networkFails;
  const arrived: { at: number; address: string; due: number; isUp: boolean; next: number }[] = [];
  const checkOfHost = (address: string, isDown: boolean, period: number) => {
    let last = 0;
    for (let due = random.next() * period; due < 1800; due += period) {
      const takes = 0.1 + random.next() * 1.9;
      const isCut = due + takes >= fails && due < recovers;
      const survives = isCut && due > recovers - 10 && random.next() < 0.5;
      const isUp = !isDown && (!isCut || survives);
      const ends = isUp && !isCut ? due + takes : due + random.next() * 10;
      // One address is one partition: its checks stay in order.
      last = Math.max(last, ends + random.next() * 3);
      arrived.push({ at: last, address, due, isUp, next: due + period });
    }
  };
  const canaries = random.between(1, 3);
  for (let i = 0; i < canaries; i++) checkOfHost(`canary${i}`, false, random.pick(canaryPeriods));
  for (let i = 0; i < 6; i++) checkOfHost(`host${i}`, i === downHost, random.pick([30, 60, 120]));
  yield* arrived.toSorted((a, b) => a.at - b.at);
}

describe("canaries, seconds before or behind the hosts", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = new Random(seed);
  const START = Date.UTC(2026, 0, 31, 12);
  const time = (second: number) => START + Math.round(second * 1000);

  function incidents(
    rules: IncidentSettings,
    networkFails: readonly [number, number],
    downHost: number | null,
    canaryPeriods: readonly number[],
  ) {
    let now = 0;
    const tables = { repeatKey: null } as Tables;
    const canaries = new Canaries(
      {} as Database,
      () => tables,
      ["canary0", "canary1", "canary2"],
      () => START + now * 1000,
    );
    const states = new Map<string, AddressState>();
    const changes: IncidentChange[] = [];
    for (const { at, address, due, isUp, next } of arrivals(random, networkFails, downHost, canaryPeriods)) {
      now = at;
      const check = {
        ...{ partition: 0, offset: 0, address, location: null, due: time(due), nextAt: time(next) },
        ...{ verdict: isUp ? "up" as const : "down" as const, tlsExpiresAt: UNTOLD },
        failure: () => ({ error: "connect", errorDetail: null, statusCode: null }),
      };
      canaries.note(check);
      states.set(address, observe(rules, states.get(address) ?? UNKNOWN_ADDRESS, check, changes, false, canaries));
    }
    return changes.filter((change) => change.what === "opening" && change.address.startsWith("host"));
  }

  it("keep a network that fails from being told as sites that are down, whoever comes first", () => {
    for (let round = 0; round < 300; round++) {
      const rules = { ...INCIDENT_RULES, downAfter: random.between(1, 3) };
      const fails = 200 + random.next() * 200;
      const told = incidents(rules, [fails, fails + 150 + random.next() * 600], null, [30, 60]);
      expect(told, `seed ${seed}, round ${round}, ${rules.downAfter}`).toEqual([]);
    }
  });

  it("do not keep a site that is down from being told, a check or some minutes later", () => {
    for (let round = 0; round < 100; round++) {
      const rules = { ...INCIDENT_RULES, downAfter: random.between(1, 3) };
      const [opening, ...more] = incidents(rules, [Infinity, Infinity], 2, [30, 60, 3600]);
      expect([opening?.address, more], `seed ${seed}, round ${round}`).toEqual(["host2", []]);
      if (opening?.what !== "opening") throw new Error("It is an opening");
      const seconds = (Date.parse(opening.confirmedAt) - Date.parse(opening.openedAt)) / 1000;
      expect(seconds).toBeLessThanOrEqual(Math.max(300, 2 * 120));
    }
  });
});

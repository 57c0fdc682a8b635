import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { retry } from "../../../lib/async/retry.ts";
import { parseTargets } from "../../../lib/config/notify_targets.ts";
import { Log } from "../../../lib/monitoring/log.ts";
import { startNotifier, testTargets } from "../../../lib/monitoring/notify/notifier.ts";
import { classifyError, type Database } from "../../../lib/postgres/database.ts";
import { openPostgres } from "../../../lib/postgres/database/postgres.ts";
import { quoteTables } from "../../../lib/postgres/schema.ts";
import { Store } from "../../../lib/postgres/store.ts";
import { freePort } from "../../../tools/free_ports.ts";
import { serverForTests } from "../../support/database_kinds.ts";
import { eventually } from "../../support/eventually.ts";
import { at, CheckLog, checkOf, INCIDENT_RULES } from "../../support/incidents.ts";
import { ownPostgresMissing, postgresMissing, startPostgres } from "../../support/postgres.ts";
import { openReceiver, type Receiver } from "../../support/receiver.ts";

const never = new AbortController().signal;
/** Nothing waits for more. */
const NOW = { wait: 0, most: 500 };
const ids = () => ({ message: randomUUID(), holder: randomUUID() });

describe.skipIf(ownPostgresMissing !== null)("a server that crashes", () => {
  it("has a message under its id once that is taken, so that it is not sent under another one", async () => {
    await using server = await startPostgres({ own: true });
    await using database = openPostgres(server.settings);
    const table = { schema: null, name: "m" };
    const store = await Store.open(database, table, { incidents: INCIDENT_RULES, targets: ["a target"] });
    const log = new CheckLog();
    await store.marks.claim(log.identity, new Map([[0, 0]]));
    log.write("udd");
    await log.store(store, 0, 3);
    const holder = randomUUID();
    const take = () => store.outbox.take("a target", NOW, { message: randomUUID(), holder });
    const message = await take();
    expect(message?.notifications).toHaveLength(1);
    await server.crash();
    await server.restart();
    const untilAnswered = { signal: never, isPassing: (error: unknown) => classifyError(error) === "wait" };
    const again = await retry(take, untilAnswered);
    expect(again?.id).toBe(message?.id);
  });
});

describe.skipIf(postgresMissing !== null)("notifications", () => {
  let database: Database;
  serverForTests((_, opened) => database = opened);

  /** A table, whose incidents are told to `target`. */
  async function world(target: string) {
    const table = { schema: null, name: `m_${randomUUID().slice(0, 8)}` };
    const { targets } = parseTargets(target, false);
    const names = targets.map(({ name }) => name);
    const store = await Store.open(database, table, { incidents: INCIDENT_RULES, targets: names });
    const log = new CheckLog();
    await store.marks.claim(log.identity, new Map([[0, 0]]));
    const lines: string[] = [];
    const output = new Log(
      "consumer",
      "DEBUG",
      ({ level, message }) => `${level} ${message}`,
      (line) => void lines.push(line),
    );
    const { notifications, leases, maintenance, incidents } = quoteTables(table);
    const rows = () =>
      database.query<{ event: string; sent: boolean; tries: number; given_up: boolean }>(
        `select event, sent_at is not null as sent, tries, given_up_at is not null as given_up
         from ${notifications} order by created_at, event`,
      );
    return {
      store,
      log,
      lines,
      name: names[0] ?? "",
      rows,
      notify: (wait = 0) => startNotifier(store, { targets, wait, again: null, page: null }, output),
      /** Lets what is to be tried again be tried at once. */
      hurry: () => database.script(`update ${notifications} set due_at = now() where sent_at is null`),
      /** As if whoever holds a target had died a while ago. */
      bury: () => database.script(`update ${leases} set held_until = now() - interval '1 second'`),
      /** As if all that was told had been told five hours ago. */
      tellEarlier: () => database.script(`update ${notifications} set sent_at = now() - interval '5 hours'`),
      maintain: () =>
        database.script(
          `insert into ${maintenance} (address, starts_at, ends_at) values ('*', '-infinity', 'infinity')`,
        ),
      work: () => database.script(`delete from ${maintenance}`),
      forget: () => database.script(`delete from ${incidents}`),
      age: () => database.script(`update ${notifications} set created_at = now() - interval '25 hours'`),
      isSent: () => eventually(async () => (await rows()).every(({ sent }) => sent), () => `not sent: ${lines}`),
    };
  }

  const keysOf = ({ received }: Receiver) => received.map(({ headers }) => headers["idempotency-key"]);

  it("are written with the incident, once each, though the statement is sent again", async () => {
    const { store, log, rows } = await world("https://a.example https://b.example");
    log.write("udduu");
    await log.store(store, 0, 3);
    await log.store(store, 0, 3);
    expect((await rows()).map(({ event }) => event)).toEqual(["opened", "opened"]);
    await log.store(store, 3, 5);
    await log.store(store, 3, 5);
    expect((await rows()).map(({ event }) => event)).toEqual(["opened", "opened", "closed", "closed"]);
  });

  it("tell only the end of what began and ended in one statement", async () => {
    const { store, log, rows } = await world("https://a.example");
    log.write("udduu");
    await log.store(store, 0, 5);
    expect((await rows()).map(({ event }) => event)).toEqual(["closed"]);
  });

  it("are sent again, under the same id, until the target has accepted them", async () => {
    await using receiver = await openReceiver();
    receiver.behaviours.push(500, "accept and die", 302);
    const { store, log, notify, hurry, isSent, lines } = await world(`http://127.0.0.1:${receiver.port}/secret`);
    log.write("dd");
    await log.store(store, 0, 2);
    await using _notifier = notify();
    for (const tries of [1, 2, 3]) {
      await eventually(
        () => lines.filter((line) => line.includes("not sent")).length === tries,
        () => lines.join("\n"),
      );
      await hurry();
    }
    await isSent();
    expect(receiver.received).toHaveLength(4);
    expect(new Set(keysOf(receiver)).size).toBe(1);
    expect(JSON.parse(receiver.received[3]?.body ?? "")).toMatchObject({ id: keysOf(receiver)[0] });
    expect(
      lines.filter((line) => line.startsWith("WARN")).map((line) =>
        /\((.+)\): trying again in (\d+) s$/.exec(line)?.slice(1)
      ),
    )
      .toEqual([["it answers with status 500", "5"], ["it cannot be reached (UND_ERR_SOCKET)", "10"], [
        "it answers with status 302",
        "20",
      ]]);
    expect(lines.join()).not.toContain("secret");
  });

  it("that come together are one message, and wait for one another", async () => {
    await using receiver = await openReceiver();
    const { store, log, notify, isSent, rows } = await world(`slack+http://127.0.0.1:${receiver.port}`);
    for (const minute of [0, 1]) {
      for (let i = 0; i < 37; i++) log.add(checkOf(minute, false, { address: `https://${i}.example` }));
    }
    await log.store(store, 0, 74);
    {
      await using _patient = notify(3600);
      // Nothing is sent for an hour; a message that is due meanwhile would be.
      const { outbox } = store;
      expect(await outbox.take("nobody", NOW, ids())).toBeNull();
    }
    expect(receiver.received).toEqual([]);
    await using _notifier = notify();
    await isSent();
    expect(receiver.received).toHaveLength(1);
    expect(receiver.received[0]?.body).toContain("37 sites down, since 00:00 UTC");
    expect(await rows()).toHaveLength(37);
  });

  it("are sent by one of several consumers", async () => {
    await using receiver = await openReceiver();
    const { store, log, notify, isSent } = await world(`http://127.0.0.1:${receiver.port}`);
    await using _first = notify();
    await using _second = notify();
    await using _third = notify();
    for (let i = 0; i < 5; i++) {
      log.write("ddu");
      for (let next = 3 * i; next < 3 * i + 3; next++) await log.store(store, next, next + 1);
      await isSent();
    }
    const ids = keysOf(receiver);
    expect(new Set(ids).size).toBe(ids.length);
    const told = receiver.received.flatMap(({ body }) =>
      (JSON.parse(body) as { data: { incidents: { id: string; event: string }[] } }).data.incidents
    );
    expect(new Set(told.map(({ id, event }) => id + event)).size).toBe(10);
    expect(told).toHaveLength(10);
  });

  it("are taken by another consumer, under the same id, where the one that has them is dead", async () => {
    const { store, log, name, bury } = await world("https://a.example");
    log.write("dd");
    await log.store(store, 0, 2);
    const take = () => store.outbox.take(name, NOW, ids());
    const first = await take();
    expect(first).toMatchObject({ tries: 1, notifications: [{ address: "https://a.example", event: "opened" }] });
    expect(await take()).toBeNull();
    await bury();
    expect(await take()).toEqual({ ...first, tries: 2 });
    await store.outbox.sent(name, first?.id ?? "");
    await bury();
    expect(await take()).toBeNull();
  });

  it("tell no beginning any more once its end is told", async () => {
    const { store, log, name, rows, hurry } = await world("https://a.example");
    log.write("ddu");
    const holder = randomUUID();
    const take = () => store.outbox.take(name, NOW, { ...ids(), holder });
    await log.store(store, 0, 2);
    const opened = await take();
    await store.outbox.failed(name, opened?.id ?? "", "status 500", 300);
    await log.store(store, 2, 3);
    const closed = await take();
    expect(closed).toMatchObject({ tries: 1, notifications: [{ event: "closed" }] });
    await store.outbox.sent(name, closed?.id ?? "");
    await hurry();
    expect(await take()).toBeNull();
    expect(await rows()).toMatchObject([{ event: "opened", sent: true }, { event: "closed", sent: true }]);
  });

  it("of incidents that somebody has deleted hold up no others", async () => {
    const { store, log, name, forget } = await world("https://a.example");
    const holder = randomUUID();
    const take = () => store.outbox.take(name, NOW, { ...ids(), holder });
    log.write("dd");
    await log.store(store, 0, 2);
    expect(await take()).not.toBeNull();
    await forget();
    for (const minute of [2, 3]) log.add(checkOf(minute, false, { address: "https://b.example" }));
    await log.store(store, 2, 4);
    expect(await take()).toMatchObject({ tries: 1, notifications: [{ address: "https://b.example" }] });
  });

  it("say when the last check was good", async () => {
    const { store, log, name } = await world("https://a.example");
    log.write("uudd");
    await log.store(store, 0, 4);
    const taken = await store.outbox.take(name, NOW, ids());
    expect(taken?.notifications).toMatchObject([{ lastUp: new Date(at(1)), openedAt: new Date(at(2)), checks: 2 }]);
  });

  it("come again while it lasts, once each time, and not while people work at the site", async () => {
    const { store, log, name, rows, tellEarlier, maintain, work } = await world("https://a.example");
    const holder = randomUUID();
    const send = async () => {
      const message = await store.outbox.take(name, NOW, { ...ids(), holder });
      if (message !== null) await store.outbox.sent(name, message.id);
      return message?.notifications.map(({ event }) => event);
    };
    const remind = () => store.outbox.remind([name, "somebody new"], 4 * 3600);
    log.write("ddu");
    await log.store(store, 0, 2);
    await tellEarlier();
    expect(await send()).toBeUndefined();
    await maintain();
    await remind();
    expect(await send()).toBeUndefined();
    await work();
    await Promise.all([remind(), remind()]);
    await remind();
    expect(await send()).toEqual(["again"]);
    await remind();
    expect(await send()).toBeUndefined();
    await tellEarlier();
    await remind();
    expect(await send()).toEqual(["again"]);
    await tellEarlier();
    await log.store(store, 2, 3);
    await remind();
    expect(await send()).toEqual(["closed"]);
    expect((await rows()).map(({ event }) => event).toSorted()).toEqual(["again", "again", "closed", "opened"]);
  });

  it("go on at once at another consumer when one stops", async () => {
    await using receiver = await openReceiver();
    receiver.behaviours.push("hang");
    const { store, log, notify, isSent } = await world(`http://127.0.0.1:${receiver.port}`);
    log.write("dd");
    await log.store(store, 0, 2);
    {
      await using _first = notify();
      await eventually(() => receiver.received.length === 1, () => "nothing was sent");
    }
    await using _second = notify();
    await isSent();
    expect(receiver.received).toHaveLength(2);
    expect(new Set(keysOf(receiver)).size).toBe(1);
  });

  it("are given up after a day, at ERROR", async () => {
    await using receiver = await openReceiver();
    receiver.behaviours.push(500);
    const { store, log, notify, age, rows, lines, name } = await world(`http://127.0.0.1:${receiver.port}`);
    log.write("dd");
    await log.store(store, 0, 2);
    await age();
    await using _notifier = notify();
    await eventually(() => lines.some((line) => line.startsWith("ERROR")), () => lines.join("\n"));
    expect(lines.filter((line) => line.startsWith("ERROR"))).toEqual([
      `ERROR ${name}: 1 notification given up after a day`,
    ]);
    expect(await rows()).toMatchObject([{ given_up: true }]);
  });

  it("testTargets says of each target whether it takes messages", async () => {
    await using receiver = await openReceiver();
    const text = `ntfy+http://127.0.0.1:${receiver.port}/t http://127.0.0.1:${await freePort()}/secret`;
    const { targets } = parseTargets(text, false);
    const printed: string[] = [];
    const print = (line: string) => Promise.resolve(void printed.push(line));
    expect(await testTargets(targets, print, never)).toBe(1);
    expect(printed).toEqual([
      `${targets[0]?.name}: accepted\n`,
      `${targets[1]?.name}: it cannot be reached (ECONNREFUSED)\n`,
    ]);
    expect(receiver.received.map(({ headers }) => headers.title)).toEqual([
      "DOWN: https://test.host-checker.invalid",
      "UP: https://test.host-checker.invalid",
    ]);
  });
});

import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect } from "vitest";
import type { Database } from "../../lib/postgres/database.ts";
import { serverForTests } from "../support/database_kinds.ts";
import { eventually } from "../support/eventually.ts";
import { checkOf } from "../support/incidents.ts";
import { postgresMissing, type TestPostgres } from "../support/postgres.ts";
import { RUNTIMES, start } from "../support/programs.ts";
import { openReceiver, type Received } from "../support/receiver.ts";
import { denoMissing } from "../support/runtimes.ts";
import { inTurn } from "../support/turns.ts";

// Consumers are killed while they send, and the receiver answers 500, hangs, or accepts and dies.

const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
/** What the receiver does with messages, before it recovers. It has kept what it accepted. */
const BEHAVIOURS = [500, "hang", "accept and die", 204, "accept and die", "hang", 500, 204, "hang"] as const;
/** Milliseconds from the moment at which a consumer sends to the one at which it is killed. */
const KILLED_AFTER = [0, 1, 3, 10, 30];

/** Events of the incidents in a message. */
function eventsIn({ body }: Received): string[] {
  const { data } = JSON.parse(body) as { data: { incidents: { id: string; event: string }[] } };
  return data.incidents.map(({ id, event }) => `${id} ${event}`);
}

describe.skipIf(postgresMissing !== null).each(runtimes)("consumers that are killed under %s", (runtime) => {
  const it = inTurn(runtimes, runtime);
  let server: TestPostgres;
  let database: Database;
  serverForTests((...started) => [server, database] = started);

  it("tell of each outage, and under one key, whatever becomes of them and of the receiver", async () => {
    await using receiver = await openReceiver();
    receiver.behaviours.push(...BEHAVIOURS);
    const { host, port, name, user, password } = server.settings;
    const table = `m_${randomUUID().slice(0, 8)}`;
    const env = {
      ...{ DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: user, DB_TABLE: table },
      ...{ DB_SSL_MODE: "disable", DB_PASSWORD: password ?? "", NOTIFY: `http://127.0.0.1:${receiver.port}/` },
    };
    const args = ["--stdin", "--notify-wait", "0", "--batch-interval", "0.1"];
    const open = () => start(runtime, "consumer", args, { env });
    const events = async (where: string) => {
      const [row] = await database.query<{ count: number }>(
        `select count(*)::int as count from ${table}_notifications where ${where}`,
      );
      return row?.count ?? 0;
    };
    /** Nobody waits for a lease of the dead, nor for the next try. */
    const hurry = () =>
      database.script(
        `update ${table}_leases set held_until = now() - interval '1 second';
         update ${table}_notifications set due_at = now() where sent_at is null and message is not null`,
      );

    let told = 0;
    for (const [round, after] of KILLED_AFTER.entries()) {
      await using consumer = open();
      const address = `https://${round}.example`;
      for (const isUp of [false, false, true]) {
        const minute = told++;
        consumer.write(`${JSON.stringify(checkOf(minute, isUp, { address }))}\n`);
        // A killed consumer has lost what it had read from its input.
        await delay(300);
      }
      await eventually(
        async () => {
          const [row] = await database.query<{ count: number }>(
            `select count(*)::int as count from ${table}_incidents where closed_at is not null`,
          ).catch(() => []);
          return row?.count === round + 1;
        },
        () => consumer.stderr,
        { timeout: 60_000 },
      );
      await hurry();
      const before = receiver.received.length;
      if (await events("sent_at is null") > 0) {
        await eventually(() => receiver.received.length > before, () => consumer.stderr, { timeout: 30_000 });
      }
      await delay(after);
      consumer.kill("SIGKILL");
      await consumer.ended;
      await hurry();
    }
    receiver.behaviours.length = 0;
    await using last = open();
    await eventually(
      async () => {
        await hurry();
        return await events("sent_at is null") === 0;
      },
      () => last.stderr,
      { timeout: 60_000, interval: 500 },
    );

    expect(new Set(receiver.received.map(({ behaviour }) => behaviour))).toEqual(new Set(BEHAVIOURS));
    const accepted = receiver.received.filter(({ behaviour }) => behaviour === 204 || behaviour === "accept and die");
    /** The keys under which the receiver accepted each event. */
    const keys = new Map<string, Set<unknown>>();
    for (const message of accepted) {
      for (const event of eventsIn(message)) {
        keys.set(event, (keys.get(event) ?? new Set()).add(message.headers["idempotency-key"]));
      }
    }
    expect([...keys].filter(([, some]) => some.size !== 1)).toEqual([]);
    const incidents = await database.query<{ id: string }>(`select id from ${table}_incidents`);
    expect(incidents).toHaveLength(KILLED_AFTER.length);
    expect(incidents.filter(({ id }) => !keys.has(`${id} closed`))).toEqual([]);
  }, 180_000);
});

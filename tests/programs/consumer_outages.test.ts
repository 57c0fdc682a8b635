import { readFileSync } from "node:fs";
import process from "node:process";
import { Admin } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { dayGrants, incidentGrants, maintenanceGrants } from "../../lib/postgres/schema.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import { start } from "../support/programs.ts";
import { type Relay, relay } from "../support/relay.ts";
import { openSite } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { openServices, type Services } from "../support/services.ts";

// A consumer, started as by a user, while the database is away. Later somebody changes the
// database, and waiting cannot help.

const canRun = canRunKafka() && (ownPostgresMissing === null || skipped(ownPostgresMissing));

const bytes = (text: string) => new TextEncoder().encode(text);
const metric = (n: number) =>
  bytes(JSON.stringify({ address: `https://n${n}.example`, status_code: 200, latency: n, is_valid: true }));
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

let services: Services;
let path: Relay;
beforeAll(async () => {
  if (!canRun) return;
  services = await openServices();
  path = await relay(0, services.postgres.settings.host, services.postgres.settings.port);
}, 120_000);
afterAll(async () => {
  await path?.[Symbol.asyncDispose]();
  await services?.[Symbol.asyncDispose]();
}, 60_000);

const count = async (table: string) => {
  const [row] = await services.postgres.sql.unsafe(`select count(*)::int as n from ${table}`).catch(() => []);
  return row?.n ?? 0;
};
const until = (look: () => unknown) => expect.poll(look, { timeout: 50_000, interval: 100 });
const send = (topic: string, from: number, to: number, pad = "") =>
  services.write(topic, range(from, to).map((n) => ({ key: `${n}${pad}`, value: metric(n) })));

/** The names of a group's members. A member that joins again has another name. */
async function members(group: string): Promise<string[]> {
  const admin = new Admin({ clientId: "tests", bootstrapBrokers: [services.broker.plain] });
  try {
    const found = (await admin.describeGroups({ groups: [group] })).get(group);
    return [`${found?.state}`, ...found?.members.keys() ?? []];
  } finally {
    await admin.close();
  }
}

it.runIf(canRun)(
  "consumers wait while PostgreSQL is away, longer than their sessions last, and stay in their groups as the members that they were",
  async () => {
    // All at once, since most of it is waiting.
    const cases = possibleVariants().map((variant) => ({ variant, name: services.newName() }));
    await using stack = new AsyncDisposableStack();
    const consumers = await Promise.all(cases.map(async ({ variant, name }) => {
      await services.createTopic(name);
      const consumer = stack.use(services.consume(variant, name, { KAFKA_GROUP: name }));
      await send(name, 0, 10);
      return { name, of: variant.name, consumer, seen: new Set<string>() };
    }));
    const counts = () => Promise.all(consumers.map(async ({ name, of }) => [of, await count(name)]));
    const all = (rows: number) => consumers.map(({ of }) => [of, rows]);
    const present = () => Promise.all(consumers.map(({ name }) => members(name)));
    await until(counts).toEqual(all(10));
    const before = await present();
    await services.postgres.crash();
    for (const { name } of consumers) await send(name, 10, 20);
    await Promise.all(consumers.map(({ consumer }) => consumer.says("trying again")));
    // The group removes a member that is silent for 15 s.
    const end = performance.now() + 18_000;
    await until(async () => {
      for (const [index, found] of (await present()).entries()) consumers[index]?.seen.add(JSON.stringify(found));
      return performance.now() > end;
    }).toBe(true);
    await services.postgres.restart();
    await until(counts).toEqual(all(20));
    await Promise.all(consumers.map(({ consumer }) => consumer.says("PostgreSQL answers again")));
    for (const [index, { of, consumer, seen }] of consumers.entries()) {
      expect([...seen], of).toEqual([JSON.stringify(before[index])]);
      expect(before[index], of).toHaveLength(2);
      // It is said once, however many attempts there are.
      expect(consumer.stderr.match(/trying again/g), of).toHaveLength(1);
    }
  },
  180_000,
);

const variants = possibleVariants();

describe.runIf(canRun).each(variants)("consumer on $name", (variant: Variant) => {
  const it = inTurn(variants, variant);
  it.runIf(process.platform === "linux")(
    "holds no more than a bounded part of a long topic while PostgreSQL is away",
    async () => {
      const name = services.newName();
      await services.createTopic(name);
      await using consumer = services.consume(variant, name, { DB_BATCH_SIZE: "100" });
      await send(name, 0, 10);
      await until(() => count(name)).toBe(10);
      await services.postgres.crash();
      // 300 MB are far more than the consumer may hold in memory.
      const value = bytes(
        JSON.stringify({ ...JSON.parse(new TextDecoder().decode(metric(1))), error_detail: "x".repeat(1_000_000) }),
      );
      const before = residentMegabytes(consumer.pid);
      for (let n = 0; n < 6; n++) await services.write(name, Array.from({ length: 50 }, () => ({ key: "a", value })));
      await consumer.says("trying again");
      const after = residentMegabytes(consumer.pid);
      await services.postgres.restart();
      await until(() => count(name)).toBe(310);
      expect(after - before).toBeLessThan(200);
    },
    180_000,
  );

  it("ends though no broker answers its last commit", async () => {
    const name = services.newName();
    await services.createTopic(name);
    await using consumer = services.consume(variant, name);
    await send(name, 0, 1);
    await until(() => count(name)).toBe(1);
    const lock = await services.postgres.sql.reserve();
    try {
      await lock.unsafe(`begin; lock table ${name} in share mode`);
      await send(name, 1, 2);
      await until(async () => (await lock`select count(*)::int as n from pg_locks where not granted`)[0]?.n).toBe(1);
      process.kill(services.broker.pid, "SIGSTOP");
      await lock`commit`;
      await until(() => count(name)).toBe(2);
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
    } finally {
      lock.release();
      process.kill(services.broker.pid, "SIGCONT");
    }
  });

  it(
    "says that a broker does not answer that only takes connections, and ends at once, as the producer does",
    async () => {
      await using silent = await openSite(() => {});
      const name = services.newName();
      const broker = { KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${silent.port}` };
      await using consumer = services.consume(variant, name, broker);
      const env = { ...broker, KAFKA_TOPIC: name, KAFKA_CLIENT: variant.client };
      await using producer = start(variant.runtime, "producer", ["-"], {
        env,
        input: 'http://127.0.0.1:1/ "0 0 1 1 *"\n',
      });
      for (const program of [consumer, producer]) {
        await program.says("Kafka does not answer");
        program.kill("SIGTERM");
      }
      for (const program of [consumer, producer]) {
        expect(await program.ended, program.stderr).toMatchObject({ code: 0 });
      }
    },
    30_000,
  );

  const MISTAKES: readonly (readonly [what: string, break_: (role: string, table: string) => string, words: RegExp])[] =
    [
      [
        "the role may not log in any more",
        (role) => `alter role ${role} nologin`,
        /role "\w+" is not permitted to log in/,
      ],
      [
        "the role is gone",
        (role, table) => `drop owned by ${role}; alter table ${table} owner to postgres; drop role ${role}`,
        /role "\w+" does not exist|permission denied/,
      ],
      [
        "a privilege is taken away",
        (role, table) => `revoke insert on ${table} from ${role}`,
        /permission denied for table \w+; grant the role what `consumer.ts --print-schema` names/,
      ],
      [
        "the marks may not be moved any more",
        (role, table) => `revoke update on ${table}_offsets from ${role}`,
        /permission denied for table \w+_offsets; grant/,
      ],
      [
        "a table is dropped",
        (_, table) => `drop table ${table}_rejected`,
        /relation "\S+_rejected" does not exist; start again to create what is missing/,
      ],
    ];
  it.each(MISTAKES)("ends with 1 and says why where, after the start, %s", async (_, breaking, words) => {
    const name = services.newName();
    const role = `role_${name}`;
    await services.createTopic(name);
    await services.postgres.sql.unsafe(`create role ${role} login`);
    // The tables belong to another role, so that the test can take away the granted rights.
    const { main, offsets, rejected } = await tablesOf(name);
    await services.postgres.sql.unsafe(`grant select, insert on ${main} to ${role};
      grant select, insert, update, delete on ${offsets} to ${role}; grant select, insert on ${rejected} to ${role};
      ${[dayGrants, maintenanceGrants, incidentGrants].flatMap((of) => of({ schema: null, name }, role)).join(";")}`);
    await using consumer = services.consume(variant, name, { DB_USER: role, DB_PORT: String(path.port) });
    await send(name, 0, 1);
    await until(() => count(name)).toBe(1);
    await services.postgres.sql.unsafe(breaking(role, name));
    path.cut();
    await send(name, 1, 2);
    const { code, stderr } = await consumer.ended;
    expect(stderr).toMatch(words);
    expect(code).toBe(1);
    expect(await count(`${name}_rejected`)).toBe(0);
  }, 90_000);

  it("ends with 1 and says why where the password was changed after the start, and tells no password", async () => {
    const name = services.newName();
    const role = `role_${name}`;
    await services.createTopic(name);
    await services.postgres.sql.unsafe(
      `create role ${role} login password 'before'; grant create on schema public to ${role}`,
    );
    await services.postgres.requirePassword(role);
    await using consumer = services.consume(variant, name, {
      DB_USER: role,
      DB_PASSWORD: "before",
      DB_PORT: String(path.port),
    });
    await send(name, 0, 1);
    await until(() => count(name)).toBe(1);
    await services.postgres.sql.unsafe(`alter role ${role} password 'after'`);
    path.cut();
    await send(name, 1, 2);
    const { code, stderr } = await consumer.ended;
    expect(stderr).toContain(
      `password authentication failed for user "${role}"; check DB_USER (--db-user) and DB_PASSWORD`,
    );
    expect(stderr).not.toMatch(/before|after the/);
    expect(code).toBe(1);
  }, 90_000);

  /** A consumer of their owner makes the tables. */
  async function tablesOf(name: string) {
    // Without parts: only the owner could make the one that old messages lack.
    await using owner = services.consume(variant, name, { DB_PARTITION: "none" });
    await owner.says("→");
    const found = async () =>
      (await services.postgres.sql`select to_regclass(${`${name}_rejected`}) is not null as found`)[0]?.found;
    await until(found).toBe(true);
    return { main: name, offsets: `${name}_offsets`, rejected: `${name}_rejected` };
  }
});

function residentMegabytes(pid: number | undefined): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1024;
}

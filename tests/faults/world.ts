import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { eventually } from "../support/eventually.ts";
import { temporaryKafka } from "../support/kafka.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import type { Random } from "../support/random.ts";
import { type Relay, relay } from "../support/relay.ts";
import type { Combination } from "./combinations.ts";
import { Crew } from "./crew.ts";
import type { GeneratorOptions } from "./generator.ts";
import { PlannedHosts } from "./incidents/planned_hosts.ts";
import { Ledger } from "./ledger.ts";
import { type Persistence, persistently } from "./persistently.ts";
import type { SendingOptions } from "./sending.ts";
import { NumberSource } from "./source.ts";
import { Topic } from "./topic.ts";

export const TABLE = "m";
const ROLE = "checker";
const PARTITIONS = 3;
const MEMBERS = 2;
/** Megabytes of the disk that holds the table. */
const DISK = 512;
/**
 * Milliseconds from the healing of a fault until everything must be in the table: several long
 * waits in a row.
 */
const RECOVERY_LIMIT = 180_000;

/** With these settings a broker does in seconds what takes minutes otherwise. */
const BROKER = { "log.cleaner.backoff.ms": "500", "log.retention.check.interval.ms": "1000" };

/** The parts that faults can strike. */
export interface World extends AsyncDisposable {
  readonly random: Random;
  readonly broker: KafkaServer;
  readonly postgres: TestPostgres;
  /** The consumers' way to the database. */
  readonly way: Relay;
  readonly topic: Topic;
  readonly crew: Crew;
  readonly source: NumberSource;
  readonly ledger: Ledger;
  readonly planned: PlannedHosts;
  /**
   * The folder that holds the table, on a disk of its own. Null where this machine cannot have one.
   */
  readonly disk: string | null;
  /** True in a short run: each fault strikes once, and briefly. */
  readonly isShort: boolean;
  /** Waits for a random time between two numbers of milliseconds. */
  pass(least: number, most: number): Promise<void>;
  /** Runs a statement as superuser. Tries again until the server takes it. */
  sql(text: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Waits until all numbers from `from` on that exist now are stored. */
  recovered(from: number): Promise<void>;
  /** Throws where the broker's process ended without a fault: waiting would be in vain. */
  expectBroker(): void;
  /** The present marks of the topic, by partition. */
  marks(): Promise<ReadonlyMap<number, number>>;
}

export interface WorldOptions {
  readonly combination: Combination;
  readonly random: Random;
  readonly rate: number;
  readonly isShort: boolean;
  /** The consumers' `--kafka-start`. */
  readonly start: Start;
}

/**
 * With either value no metric may be missing: `latest` counts only before the first read of the
 * topic.
 */
export type Start = "earliest" | "latest";

/** Starts broker, database, generator and consumers. Waits until the first numbers are stored. */
export async function openWorld({ combination, random, rate, isShort, start }: WorldOptions): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await temporaryKafka({ settings: BROKER }));
  const disk = ownDisk();
  if (disk !== null) stack.defer(() => disk.remove());
  const postgres = stack.use(await startPostgres({ own: true, apart: true }));
  const way = stack.use(await relay(0, postgres.settings.host, postgres.settings.port));
  await prepareDatabase(postgres, disk?.folder ?? null);

  const topic = new Topic(broker.plain, "metrics");
  await topic.create(PARTITIONS);
  const client = combination.members[0]?.client ?? "auto";
  const where: SendingOptions = { bootstrap: broker.plain, topic: topic.name, client };
  const generator: Omit<GeneratorOptions, "from"> = { ...where, rate };
  const source = stack.use(new NumberSource(generator));
  const sql = (text: string) => persistently(() => postgres.sql.unsafe(text), SERVER);
  const planned = stack.use(await PlannedHosts.open(sql, TABLE, where, random));
  const crew = stack.use(
    new Crew(combination.members, {
      ...environment(broker, way, topic, random),
      ...planned.environment,
      KAFKA_START: start,
    }),
  );
  const ledger = new Ledger(postgres.sql, TABLE, source);

  const world: Stage = {
    random,
    broker,
    postgres,
    way,
    topic,
    crew,
    source,
    ledger,
    planned,
    disk: disk?.folder ?? null,
    isShort,
    pass: (least, most) => delay(random.between(least, most)),
    sql,
    async recovered(from) {
      const made = source.made;
      const look = async () => {
        world.expectBroker();
        return (await persistently(() => ledger.missing(from, made), SERVER)).length === 0;
      };
      const late = () => `Numbers from ${from} to ${made} are not all stored after ${RECOVERY_LIMIT / 1000} s`;
      await eventually(look, late, { timeout: RECOVERY_LIMIT, interval: 300 });
    },
    expectBroker() {
      if (!isRunning(broker.pid)) throw new Error("The broker ended by itself");
    },
    async marks() {
      const { id } = await topic.describe();
      const rows = await sql(
        `select partition, next_offset::int as mark from ${TABLE}_offsets where topic_id = '${id}'`,
      );
      return new Map(rows.map(({ partition, mark }) => [Number(partition), Number(mark)]));
    },
  };
  await begin(world);
  const owned = stack.move();
  return { ...world, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type Stage = Omit<World, typeof Symbol.asyncDispose>;

async function begin(world: Stage): Promise<void> {
  for (let i = 0; i < MEMBERS; i++) world.crew.add();
  await eventually(
    async () => (await world.sql(`select where to_regclass('${TABLE}_rejected') is not null`)).length > 0,
    () => `No consumer made the table:\n${world.crew.members.map(({ running }) => running.stderr).join("\n")}`,
    { timeout: 60_000 },
  );
  // An index for the questions that this suite asks again and again.
  await world.sql(`create index on ${TABLE} (latency)`);
  // With `latest`, messages that were written before the marks exist lie before the start.
  await eventually(async () => (await world.marks()).size === PARTITIONS, () => "No consumer made the marks", {
    timeout: 60_000,
  });
  world.source.resume();
  world.planned.resume();
  await eventually(() => world.source.made > 0, () => "The generator makes nothing", { timeout: 60_000 });
  await world.recovered(0);
}

/**
 * The wait for a server that does not answer. Where a fault's own statement is the victim of a
 * deadlock (40P01), whoever sent it sends it again.
 */
export const SERVER: Persistence = {
  tries: 200,
  pause: 200,
  isPassing: (error) => /^(CONNECTION_|ECONN|57P|53300|40P01)/.test(String((error as { code?: unknown }).code)),
};

function environment(broker: KafkaServer, way: Relay, topic: Topic, random: Random): Record<string, string> {
  return {
    KAFKA_BOOTSTRAP_SERVERS: broker.plain,
    KAFKA_TOPIC: topic.name,
    DB_HOST: "127.0.0.1",
    DB_PORT: String(way.port),
    DB_NAME: "postgres",
    DB_USER: ROLE,
    DB_TABLE: TABLE,
    DB_KEEP: "5years",
    // Without it, two large batches may be at the database at a time.
    ...random.next() < 0.5 && { DB_BATCH_SIZE: String(random.between(20, 500)) },
    DB_PARTITION: random.next() < 0.5 ? "month" : "day",
    DB_BATCH_INTERVAL: String(random.between(1, 5) / 10),
    LOG_LEVEL: "DEBUG",
  };
}

/** A role with the least rights that it needs. Its table is on the disk that can be filled. */
async function prepareDatabase({ sql, own }: TestPostgres, disk: string | null): Promise<void> {
  await sql.unsafe(`create role ${ROLE} login`);
  await sql.unsafe(`grant create on schema public to ${ROLE}`);
  if (disk === null) return;
  own(disk);
  await sql.unsafe(`create tablespace small location '${disk}'`);
  await sql.unsafe(`grant create on tablespace small to ${ROLE}`);
  await sql.unsafe(`alter role ${ROLE} set default_tablespace = small`);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A small disk, where this program may make one. */
function ownDisk(): { readonly folder: string; remove(): void } | null {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return null;
  const folder = mkdtempSync(join(tmpdir(), "faults-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK}m`, "tmpfs", folder], { stdio: "ignore" });
  } catch {
    rmSync(folder, { recursive: true });
    return null;
  }
  return {
    folder,
    remove: () => {
      execFileSync("umount", [folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

export const CONSUMER_ROLE = ROLE;

import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseHosts } from "../../../lib/hosts/hosts_file.ts";
import { freePort } from "../../../tools/free_ports.ts";
import { type KafkaServer, startKafka } from "../../../tools/kafka/kafka.ts";
import { eventually } from "../../support/eventually.ts";
import { startPostgres, type TestPostgres } from "../../support/postgres.ts";
import { type Running, start } from "../../support/programs.ts";
import type { Random } from "../../support/random.ts";
import { type Relay, relay } from "../../support/relay.ts";
import { possibleVariants } from "../../support/variants.ts";
import { Topic } from "../topic.ts";
import type { AccountedHost, Row, SeenRequest, Span } from "./account.ts";
import { openCountingSite } from "./counting_site.ts";
import { type Place, PLACES, Team } from "./team.ts";

const TABLE = "m";
const PARTITIONS = 12;
/** The place whose way to the broker can be cut, and that has a spool. */
export const REMOTE = 1;
/** Milliseconds for anything that a healed world must reach. */
const RECOVERY_LIMIT = 120_000;

/** The parts that faults of producers can strike. */
export interface ProducerWorld extends AsyncDisposable {
  readonly random: Random;
  readonly broker: KafkaServer;
  readonly topic: Topic;
  readonly team: Team;
  /** The hosts that there ever were. */
  readonly hosts: readonly AccountedHost[];
  /** All requests that the site has had until now. */
  requests(): Promise<readonly SeenRequest[]>;
  /** The remote member can no longer reach the broker; the function gives the way back. */
  cutOff(): Promise<() => Promise<void>>;
  /** The present connections of the remote member carry nothing more. New ones work. */
  silence(): void;
  /** Writes another hosts file at these places, with one host more and one less. */
  replaceHost(): HostReplacement;
  pass(least: number, most: number): Promise<void>;
  /** Waits until the group has divided all partitions, and each host was asked since. */
  settled(): Promise<void>;
  /** Waits until everything that is in the topic now is stored. */
  stored(): Promise<void>;
  rows(): Promise<readonly Row[]>;
  /** The consumer's last words. */
  words(): string;
}

/** A change of the hosts file, which may reach one place after the other. */
export interface HostReplacement {
  writeAt(place: number): void;
  /** All have the new file. */
  complete(): void;
}

/** The hosts that are checked. */
export interface ProducerLoad {
  readonly hosts: number;
  /** FREQUENCY of the hosts, in turn. */
  readonly frequencies: readonly string[];
}

/** Starts site, broker, database, consumer and producers. Waits until the hosts are divided. */
export async function openProducerWorld(random: Random, load: ProducerLoad): Promise<ProducerWorld> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "faults-group-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const site = stack.use(await openCountingSite());
  const mtlsPort = await freePort();
  let way = await relay(0, "127.0.0.1", mtlsPort);
  stack.defer(() => way[Symbol.asyncDispose]());
  const plainPort = await freePort();
  const settings = {
    "advertised.listeners": `PLAIN://localhost:${plainPort},MTLS://localhost:${way.port}`,
    // As by default: a group that has no member waits for more than the first one.
    "group.initial.rebalance.delay.ms": "3000",
  };
  const broker = stack.use(await startKafka({ directory: join(folder, "broker"), plainPort, mtlsPort, settings }));
  const topic = new Topic(broker.plain, "checks");
  await topic.create(PARTITIONS);
  const postgres = stack.use(await startPostgres({ own: true, apart: true }));
  const consumer = stack.use(startConsumer(broker, topic, postgres));

  const file = new HostsFiles(folder, site.port, load);
  const places = placesOf({ broker, topic, way, folder, file });
  const team = stack.use(new Team(possibleVariants(), places));
  const world: Omit<ProducerWorld, typeof Symbol.asyncDispose> = {
    ...{ random, broker, topic, team },
    hosts: file.hosts,
    requests: () => site.requests(),
    async cutOff() {
      const { port } = way;
      await way[Symbol.asyncDispose]();
      return async () => void (way = await relay(port, "127.0.0.1", mtlsPort));
    },
    silence: () => way.silence("everything"),
    replaceHost: () => file.replaceHost(),
    pass: (least, most) => delay(random.between(least, most)),
    async settled() {
      const { partitions } = await topic.describe();
      await team.divided(partitions);
      const since = Date.now();
      // There may be very many: each is looked at once.
      let seen = (await site.requests()).length;
      const asked = new Set<string>();
      const isAsked = async () => {
        for (const { address, at } of (await site.requests()).slice(seen)) {
          seen++;
          if (at >= since) asked.add(address);
        }
        return file.present.every((address) => asked.has(address));
      };
      await eventually(isAsked, () => `Some hosts are not checked:\n${team.words()}`, {
        timeout: RECOVERY_LIMIT,
        interval: 100,
      });
    },
    async stored() {
      const { id, partitions } = await topic.describe();
      // Taken once: producers go on.
      const ends = await Promise.all(Array.from({ length: partitions }, (_, one) => topic.bound(one, -1)));
      const isStored = async () => {
        const marks = await postgres.sql.unsafe<{ partition: number; mark: number }[]>(
          `select partition, next_offset::int as mark from ${TABLE}_offsets where topic_id = '${id}'`,
        );
        const mark = new Map(marks.map(({ partition, mark }) => [partition, mark]));
        return ends.every((end, partition) => (mark.get(partition) ?? 0) >= end);
      };
      const late = () => `Not everything is stored:\n${consumer.stderr.split("\n").slice(-15).join("\n")}`;
      await eventually(isStored, late, { timeout: RECOVERY_LIMIT, interval: 300 });
    },
    rows: () =>
      postgres.sql.unsafe<Row[]>(
        `select address, (extract(epoch from scheduled_at) * 1000)::float8 as due, error, error_detail as detail, producer,
           (extract(epoch from checked_at - scheduled_at) * 1000)::float8 as late,
           (coalesce(latency, 0) * 1000)::float8 as took
         from ${TABLE}`,
      ),
    words: () => consumer.stderr.split("\n").slice(-15).join("\n"),
  };
  for (let place = 0; place < PLACES; place++) team.start(place);
  await world.settled();
  // Of a host without any result nobody knows what was missed: docs/promises.md.
  const isKnown = async () => {
    const [found] = await postgres.sql.unsafe<{ known: number }[]>(
      `select count(distinct address)::int as known from ${TABLE}`,
    );
    return found?.known === file.present.length;
  };
  await eventually(isKnown, () => `Some hosts have no result:\n${world.words()}`, {
    timeout: RECOVERY_LIMIT,
    interval: 300,
  });
  file.begin(Date.now());
  const owned = stack.move();
  return { ...world, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function startConsumer(broker: KafkaServer, topic: Topic, { settings }: TestPostgres): Running {
  const { host, port, name, user } = settings;
  const env = {
    ...{ KAFKA_BOOTSTRAP_SERVERS: broker.plain, KAFKA_TOPIC: topic.name },
    ...{ DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: user, DB_TABLE: TABLE, DB_SSL_MODE: "disable" },
  };
  return start("node", "consumer", [], { env, input: "", apart: true });
}

/** One place reaches the broker through the relay, the others straight. */
function placesOf({ broker, topic, way, folder, file }: {
  readonly broker: KafkaServer;
  readonly topic: Topic;
  readonly way: Relay;
  readonly folder: string;
  readonly file: HostsFiles;
}): readonly Place[] {
  const { caFile, keyFile, certFile } = broker.certificates;
  const remote = {
    KAFKA_BOOTSTRAP_SERVERS: `localhost:${way.port}`,
    ...{ KAFKA_SSL_CA_FILE: caFile, KAFKA_SSL_KEY_FILE: keyFile, KAFKA_SSL_CERT_FILE: certFile },
    CHECK_SPOOL: join(folder, "spool"),
  };
  return Array.from({ length: PLACES }, (_, place) => ({
    hostsFile: file.pathAt(place),
    environment: {
      KAFKA_TOPIC: topic.name,
      CHECK_TIMEOUT: "4",
      ...place === REMOTE ? remote : { KAFKA_BOOTSTRAP_SERVERS: broker.plain },
    },
  }));
}

/** The hosts files of all places, and since when each host stands in all of them. */
class HostsFiles {
  readonly #folder: string;
  readonly #port: number;
  readonly #frequencies: readonly string[];
  readonly hosts: (AccountedHost & { readonly spans: Span[] })[] = [];
  #lines: readonly string[];
  #next = 0;

  constructor(folder: string, port: number, { hosts, frequencies }: ProducerLoad) {
    this.#frequencies = frequencies;
    this.#folder = folder;
    this.#port = port;
    this.#lines = Array.from({ length: hosts }, () => this.#newLine());
    for (let place = 0; place < PLACES; place++) this.#write(place);
  }

  /** The addresses of the newest file. */
  get present(): readonly string[] {
    return this.#lines.map((line) => line.slice(0, line.indexOf(" ")));
  }

  pathAt(place: number): string {
    return join(this.#folder, `hosts${place}.txt`);
  }

  /** From now on the hosts must be checked. */
  begin(at: number): void {
    for (const { spans } of this.hosts) spans.push({ from: at, to: Infinity });
  }

  replaceHost(): HostReplacement {
    const [gone = "", ...rest] = this.#lines;
    const old = this.hosts.find(({ address }) => gone.startsWith(`${address} `));
    const span = old?.spans.pop();
    if (old !== undefined && span !== undefined) old.spans.push({ ...span, to: Date.now() });
    this.#lines = [...rest, this.#newLine()];
    const added = this.hosts.at(-1);
    return {
      writeAt: (place) => this.#write(place),
      complete: () => void added?.spans.push({ from: Date.now(), to: Infinity }),
    };
  }

  #newLine(): string {
    const number = this.#next++;
    const frequency = this.#frequencies[number % this.#frequencies.length] as string;
    const line = `http://127.0.0.1:${this.#port}/${number} ${frequency}`;
    const [host] = parseHosts(line, "hosts.txt", "UTC").hosts;
    if (host === undefined) throw new Error(`${line} is no host`);
    this.hosts.push({ address: host.address, frequency: host.frequency, spans: [] });
    return line;
  }

  #write(place: number): void {
    writeFileSync(this.pathAt(place), `${this.#lines.join("\n")}\n`);
  }
}

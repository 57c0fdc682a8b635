import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { OutgoingMessage } from "../../lib/kafka/kafka.ts";
import { loadClient } from "../../lib/kafka/access.ts";
import { loadKeyMaterial } from "../../lib/net/tls.ts";
import { makeCertificates } from "../../tools/kafka/certificates.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { each } from "../support/each.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { type ProgramName, type Running, start } from "../support/programs.ts";
import { relay } from "../support/relay.ts";
import { answer, openSite, refusedPort, type Site } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { placesAt } from "../support/log_positions.ts";

// The programs, started as by a user. Metrics go from a hosts file through a real broker over
// mutual TLS into a real PostgreSQL.

const variants = possibleVariants();
const canRun = canRunKafka() && (postgresMissing === null || skipped(postgresMissing));

/** Pages of all kinds. The last digit of the path says which. */
function openPages(): Promise<Site> {
  return openSite((socket, { path }) => {
    const kind = Number(path.at(-1));
    if (kind === 1) socket.end(answer("500 Internal Server Error"));
    else if (kind === 2) socket.end(answer("302 Found", { Location: "/fine" }));
    else if (kind === 3) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken off");
    else if (kind === 4) socket.destroy();
    else socket.end(answer("200 OK", {}, kind === 5 ? "Sold out" : "All systems normal"));
  });
}

describe.runIf(canRun)("producer and consumer", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-programs-"));
  let broker: KafkaServer;
  let postgres: TestPostgres;
  let site: Site;
  let otherCa: string;
  let count = 0;
  const newName = () => `run_${++count}`;

  beforeAll(async () => {
    otherCa = (await makeCertificates(join(folder, "other"))).caFile;
    [broker, postgres, site] = await Promise.all([temporaryKafka(), startPostgres(), openPages()]);
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([broker, postgres, site].map((part) => part?.[Symbol.asyncDispose]()));
  }, 60_000);

  const kafkaEnv = (topic: string): Record<string, string> => ({
    KAFKA_BOOTSTRAP_SERVERS: broker.mtls,
    KAFKA_TOPIC: topic,
    KAFKA_SSL_CA_FILE: broker.certificates.caFile,
    KAFKA_SSL_KEY_FILE: broker.certificates.keyFile,
    KAFKA_SSL_CERT_FILE: broker.certificates.certFile,
  });
  const databaseEnv = (): Record<string, string> => {
    const { host, port, name, user, password } = postgres.settings;
    return { DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: user, DB_PASSWORD: password ?? "" };
  };
  const begin = (
    { runtime, client }: Variant,
    program: ProgramName,
    args: string[],
    topic: string,
    env: Record<string, string> = {},
  ): Running => {
    // Each run has a group of its own. A killed member would hold up the next one in its group
    // until its session times out.
    const own = program === "consumer" ? { ...databaseEnv(), KAFKA_GROUP: newName() } : {};
    const settings = { ...kafkaEnv(topic), KAFKA_CLIENT: client, ...own, ...env };
    return start(runtime, program, args, { env: settings });
  };

  function writeHosts(lines: readonly string[]): string {
    const path = join(folder, `${newName()}.txt`);
    writeFileSync(path, lines.join("\n"));
    return path;
  }

  /** The settings of the tests' own client, and of its way to the broker. */
  async function ownClient() {
    const { caFile, keyFile, certFile } = broker.certificates;
    const loaded = await loadKeyMaterial({ caFile, keyFile, certFile });
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    return {
      client: await loadClient("javascript"),
      options: { bootstrapServers: [broker.mtls], tls: loaded.material },
    };
  }

  async function makeTopic(topic: string, messages: readonly OutgoingMessage[] = []): Promise<void> {
    const { client, options } = await ownClient();
    const signal = AbortSignal.timeout(30_000);
    await using producer = await client.openProducer({ ...options, topic, partitions: 3 }, () => {}, signal);
    await producer.send(messages);
  }

  /** The values of all messages of a topic, read by the tests' own client. */
  async function readTopic(
    topic: string,
  ): Promise<{ readonly address: string; readonly check_id: string; readonly error: string | null }[]> {
    const { client, options } = await ownClient();
    const signal = AbortSignal.timeout(30_000);
    const reader = { ...options, topic, group: newName(), start: "earliest" } as const;
    await using consumer = await client.openConsumer(reader, () => {}, signal);
    const values: string[] = [];
    const stop = new AbortController();
    const left = new Map<number, number>();
    const readings = consumer.readings(({ partitions }) => {
      for (const { partition, logStart, logEnd } of partitions) if (logStart < logEnd) left.set(partition, logEnd);
      if (left.size === 0) stop.abort();
      return Promise.resolve(placesAt(partitions.map(({ partition, logStart }) => [partition, logStart])));
    }, stop.signal);
    for await (const reading of readings) {
      for await (const { partition, offset, value } of each(reading.messages)) {
        values.push(new TextDecoder().decode(value ?? undefined));
        if (offset + 1 === left.get(partition)) left.delete(partition);
        if (left.size === 0) stop.abort();
      }
    }
    return values.map((value) => JSON.parse(value));
  }

  const rowsOf = (table: string) =>
    postgres.sql<{ address: string; check_id: string }[]>`
    select address, check_id from ${postgres.sql(table)} order by check_id`;
  const countOf = async (table: string) => {
    const [row] = await postgres.sql`select to_regclass(${table}) is not null as found`;
    return row?.found === true ? (await rowsOf(table)).length : 0;
  };

  describe.each(variants)("producer on $name", (variant) => {
    const it = inTurn(variants, variant);
    it.each(variants)("every check is one message and one row, with the consumer on $name", async (other) => {
      const name = newName();
      const dead = await refusedPort();
      const pages = Array.from({ length: 45 }, (_, n) => `http://127.0.0.1:${site.port}/${name}/${n}`);
      const nobody = Array.from({ length: 5 }, (_, n) => `http://127.0.0.1:${dead}/${n}`);
      const hosts = writeHosts([...pages, ...nobody].map((address) => `${address} 1s (normal)`));

      await makeTopic(name);
      await using producer = begin(variant, "producer", [hosts], name);
      await using consumer = begin(other, "consumer", ["--db-table", name], name);
      await expect.poll(() => countOf(name), { timeout: 40_000 }).toBeGreaterThan(150);
      producer.kill("SIGTERM");
      expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
      const messages = await readTopic(name);
      await expect.poll(() => countOf(name), { timeout: 20_000 }).toBe(messages.length);
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });

      const ids = (rows: readonly { check_id: string }[]) => rows.map(({ check_id }) => check_id).toSorted();
      expect(ids(await rowsOf(name))).toEqual(ids(messages));
      expect(new Set(ids(messages)).size).toBe(messages.length);
      // A busy machine may miss a check.
      const checked = messages.filter(({ error }) => error !== "missed");
      const perAddress = Object.fromEntries(pages.map((address) => {
        const asked = site.requests.filter(({ path }) => address.endsWith(path)).length;
        return [address, { asked, sent: checked.filter((metric) => metric.address === address).length }];
      }));
      for (const [address, { asked, sent }] of Object.entries(perAddress)) {
        expect({ address, sent }).toEqual({ address, sent: asked });
      }
      expect(new Set(messages.map(({ address }) => address))).toEqual(new Set([...pages, ...nobody]));
    }, 90_000);
  });

  // At the same time: most of what they do is to wait.
  describe.concurrent.each(variants)("the first words of a consumer on $name", (variant) => {
    const it = inTurn(variants, variant);
    const metric = { address: "https://a.example", status_code: 200, latency: 1, is_valid: true };
    const one = [{ key: metric.address, value: JSON.stringify(metric), timestamp: Date.now() }];

    it("tell that messages arrive, and why none does", async () => {
      const [empty, full] = [newName(), newName()];
      await Promise.all([makeTopic(empty), makeTopic(full, one)]);
      await using idle = begin(variant, "consumer", ["--db-table", empty], empty);
      await using busy = begin(variant, "consumer", ["--db-table", full], full);
      await using blind = begin(variant, "consumer", ["--db-table", full], full, {
        DB_PORT: String(await refusedPort()),
      });
      await busy.says("Messages arrive: the first 1 message went to the database");
      await idle.says(`Nothing is stored yet: no message is in the 3 partitions of the topic ${empty}`);
      await blind.says(/Nothing is stored yet: .*(refused|ECONNREFUSED)/);
      expect(busy.stderr).not.toContain("Nothing is stored yet");
      // The next consumer of the table finds all of it stored, whatever its group is.
      await using late = begin(variant, "consumer", ["--db-table", full], full);
      await late.says(`Nothing is stored yet: nothing new is in the 3 partitions of the topic ${full}`);
    }, 90_000);

    // Not at the same time: this one starts four consumers.
    it("tell that the others have all partitions", { concurrent: false, timeout: 90_000 }, async ({ expect }) => {
      const name = newName();
      await makeTopic(name);
      const group = { KAFKA_GROUP: name };
      const members = Array.from({ length: 4 }, () => begin(variant, "consumer", ["--db-table", name], name, group));
      try {
        const said = () => members.map(({ stderr }) => stderr).join("\n");
        await expect.poll(said, { timeout: 60_000 }).toContain(
          "Nothing is stored yet: the consumer group gave this consumer no",
        );
      } finally {
        await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
      }
    });
  });

  describe.each(variants)("consumer on $name", (variant) => {
    const it = inTurn(variants, variant);
    const message = (n: number, text?: string): OutgoingMessage => {
      const value = { address: `http://a${n % 7}.example`, status_code: 200, latency: n, is_valid: true };
      return { key: value.address, value: text ?? JSON.stringify(value), timestamp: 1_700_000_000_000 + n };
    };

    it("loses and doubles nothing, however often it is killed", async () => {
      const topic = newName();
      await makeTopic(topic);
      const total = 6000;
      const { client, options } = await ownClient();
      const signal = AbortSignal.timeout(60_000);
      await using sender = await client.openProducer({ ...options, topic, partitions: 3 }, () => {}, signal);
      for (let sent = 0, kills = 0; kills < 3; kills++) {
        await using consumer = begin(variant, "consumer", ["--db-table", topic, "--batch-size", "50"], topic);
        const before = await countOf(topic);
        const sending = sender.send(Array.from({ length: total / 3 }, () => message(sent++)));
        await expect.poll(() => countOf(topic), { timeout: 40_000, interval: 5 }).toBeGreaterThan(before);
        consumer.kill("SIGKILL");
        await Promise.all([consumer.ended, sending]);
      }
      await using consumer = begin(variant, "consumer", ["--db-table", topic], topic);
      // All rows may be stored already when the consumer does not yet heed a signal. So the test
      // waits for its first line.
      await consumer.says(`topic ${topic} at`);
      await expect.poll(() => countOf(topic), { timeout: 40_000 }).toBe(total);
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
      const rows = await postgres.sql<{ latency: number }[]>`select latency from ${
        postgres.sql(topic)
      } order by latency`;
      expect(rows.map(({ latency }) => latency)).toEqual(Array.from({ length: total }, (_, n) => n));
    }, 120_000);

    it(
      "stores messages of older producers in a table that has only their four columns, and what is no metric beside it",
      async () => {
        const topic = newName();
        await makeTopic(topic, [message(1), message(1, "not a metric"), message(2)]);
        const columns = "address varchar(50), status_code int not null, latency real, is_valid bool";
        await postgres.sql.unsafe(`create table ${topic} (${columns})`);
        await using _consumer = begin(variant, "consumer", ["--db-table", topic], topic);
        const rejected = () => postgres.sql`select reason from ${postgres.sql(`${topic}_rejected`)}`.catch(() => []);
        await expect.poll(rejected, { timeout: 20_000 }).toEqual([
          { reason: expect.stringContaining("the document is not JSON") },
        ]);
        expect(await postgres.sql`select * from ${postgres.sql(topic)} order by latency`).toEqual([
          { address: "http://a1.example", status_code: 200, latency: 1, is_valid: true },
          { address: "http://a2.example", status_code: 200, latency: 2, is_valid: true },
        ]);
      },
      60_000,
    );

    it("waits for a database that does not answer yet, and goes on when it does", async () => {
      const topic = newName();
      await makeTopic(topic, [message(1)]);
      const port = await refusedPort();
      await using consumer = begin(variant, "consumer", ["--db-table", topic], topic, { DB_PORT: String(port) });
      await consumer.says(
        `Cannot connect to PostgreSQL at 127.0.0.1:${port} (DB_HOST, DB_PORT): ECONNREFUSED: trying again`,
      );
      const { host, port: real } = postgres.settings;
      await using _relay = await relay(port, host, real);
      await expect.poll(() => countOf(topic), { timeout: 30_000 }).toBe(1);
      await consumer.says("PostgreSQL answers again");
    }, 60_000);

    const MISTAKES: readonly [string, () => Record<string, string>, string][] = [
      ["a topic that does not exist", () => ({ KAFKA_TOPIC: "nowhere" }), "The topic nowhere does not exist: check"],
      ["a database that does not exist", () => ({ DB_NAME: "nowhere" }), 'database "nowhere" does not exist'],
      ["a role that does not exist", () => ({ DB_USER: "nobody" }), 'role "nobody" does not exist'],
      ["a broker of another CA", () => ({ KAFKA_SSL_CA_FILE: otherCa }), "TLS with the Kafka broker failed"],
      [
        "a broker whose certificate is for another name",
        () => ({ KAFKA_BOOTSTRAP_SERVERS: broker.misnamed }),
        "TLS with the Kafka broker failed",
      ],
    ];
    it.each(MISTAKES)("ends with 1 for %s, since waiting cannot mend it", async (_, env, said) => {
      const topic = newName();
      await makeTopic(topic);
      await using consumer = begin(variant, "consumer", ["--db-table", topic], topic, env());
      const { code, stderr } = await consumer.ended;
      expect(stderr).toContain(said);
      expect(code).toBe(1);
    }, 30_000);
  });

  // At the same time: most of what they do is to wait.
  describe.concurrent.each(variants)("producer on $name", (variant) => {
    const it = inTurn(variants, variant);
    it("keeps checking while Kafka is away, and delivers every metric when it comes", async ({ expect }) => {
      const topic = newName();
      await makeTopic(topic);
      const hosts = writeHosts([`http://127.0.0.1:${site.port}/${topic}/0 1s`]);
      const port = await refusedPort();
      const env = { KAFKA_BOOTSTRAP_SERVERS: `localhost:${port}` };
      await using producer = begin(variant, "producer", [hosts], topic, env);
      const asked = () => site.requests.filter(({ path }) => path.startsWith(`/${topic}/`)).length;
      await expect.poll(asked, { timeout: 20_000 }).toBeGreaterThan(2);
      await producer.says(/Kafka does not answer|Kafka gives no/);
      // The broker gives its own address to every client. So the relay is needed for the first
      // question only.
      await using _relay = await relay(port, "127.0.0.1", Number(broker.mtls.split(":")[1]));
      await expect.poll(async () => (await readTopic(topic)).length, { timeout: 30_000 }).toBeGreaterThan(2);
      producer.kill("SIGTERM");
      expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
      // A busy machine may miss a check.
      expect((await readTopic(topic)).filter(({ error }) => error !== "missed").length).toBe(asked());
    }, 90_000);

    it("counts what it could not deliver when it must stop while Kafka is away, and ends with 1", async () => {
      const hosts = writeHosts([`http://127.0.0.1:${site.port}/0 1s`]);
      const env = { KAFKA_BOOTSTRAP_SERVERS: `localhost:${await refusedPort()}` };
      await using producer = begin(variant, "producer", ["--once", hosts], "unreached", env);
      await producer.says(/Kafka does not answer/);
      producer.kill("SIGTERM");
      const { code, stderr } = await producer.ended;
      expect(stderr).toContain(
        "1 check made, 0 metrics delivered: time is up for the others (1 metric lost; --spool DIR would have kept them)",
      );
      expect(code).toBe(1);
    }, 30_000);

    it("ends with 1 where the topic does not exist and it was not told to create it", async () => {
      const hosts = writeHosts([`http://127.0.0.1:${site.port}/0 1s`]);
      await using producer = begin(variant, "producer", [hosts], "nowhere");
      const { code, stderr } = await producer.ended;
      expect(stderr).toContain(
        "The topic nowhere does not exist: check --kafka-topic (KAFKA_TOPIC), or let the producer create",
      );
      expect(code).toBe(1);
    }, 30_000);

    it("--once creates the topic with so many partitions as --kafka-partitions says, and delivers", async () => {
      const topic = newName();
      const hosts = writeHosts([0, 1, 2].map((n) => `http://127.0.0.1:${site.port}/${topic}/${n} 5`));
      await using producer = begin(variant, "producer", ["--once", "--kafka-partitions", "2", hosts], topic);
      expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
      expect(await readTopic(topic)).toHaveLength(3);
    }, 30_000);
  });
});

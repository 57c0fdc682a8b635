import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadClient } from "../../lib/kafka/access.ts";
import { loadKeyMaterial } from "../../lib/net/tls.ts";
import { freePort } from "../../tools/free_ports.ts";
import { type KafkaServer, USERS } from "../../tools/kafka/kafka.ts";
import { each } from "../support/each.ts";
import { eventually } from "../support/eventually.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { ownPostgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { type ProgramName, run, start, type StartOptions } from "../support/programs.ts";
import { answer, openSite, refusedPort, type Site } from "../support/site.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { placesAt } from "../support/log_positions.ts";

// No secret is in the output, the files or the messages of the programs. The broker has a login,
// the server a password, and both are real.

const SASL = USERS.checker;
const DB = "p/s?l #s€cret";
const SITE = "hosts/s€cret";
const WRONG = "no%such$ecret";
const TARGET = "targets-secret";

const canRun = canRunKafka() && (ownPostgresMissing === null || skipped(ownPostgresMissing));

/** The attempt, the program and its settings, and its expected words. */
type Attempt = [what: string, program: ProgramName, args: string[], env: StartOptions["env"], expected: RegExp];

/** A secret in every form in which it could come out. */
function formsOf(user: string, secret: string): string[] {
  const base64 = (text: string) => Buffer.from(text).toString("base64").replace(/=+$/, "");
  // SCRAM and PLAIN put other bytes in front of the secret. So its base64 may begin anywhere in a
  // group of three bytes.
  const shifted = ["", "a", "ab"].map((before) => base64(before + secret).slice(before.length === 0 ? 0 : 4, -2));
  const plain = [secret, encodeURIComponent(secret), encodeURI(secret), JSON.stringify(secret).slice(1, -1)];
  return [...plain, base64(`${user}:${secret}`), ...shifted];
}

describe.runIf(canRun)("no secret appears", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-secrets-"));
  let broker: KafkaServer;
  let postgres: TestPostgres;
  let site: Site;
  let count = 0;
  const newName = () => `secrets_${++count}`;

  beforeAll(async () => {
    const page = (socket: { end(bytes: Buffer): void }, { path }: { path: string }) => {
      const location = { Location: `ftp://me:${TARGET}@files.example/` };
      socket.end(path === "/away" ? answer("302 Found", location) : answer("200 OK"));
    };
    [broker, postgres, site] = await Promise.all([
      temporaryKafka({ sasl: true }),
      startPostgres({ own: true }),
      openSite(page),
    ]);
    await postgres.sql.unsafe(`create role checker login password '${DB}'`);
    await postgres.sql`create database checks owner checker`;
    await postgres.requirePassword("checker");
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([broker, postgres, site].map((part) => part?.[Symbol.asyncDispose]()));
  }, 60_000);

  const write = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const kafkaEnv = (client: string, topic: string): Record<string, string> => ({
    KAFKA_BOOTSTRAP_SERVERS: broker.sasl,
    KAFKA_TOPIC: topic,
    KAFKA_CLIENT: client,
    KAFKA_SSL_CA_FILE: broker.certificates.caFile,
    KAFKA_SSL_KEY_FILE: broker.certificates.keyFile,
    KAFKA_SSL_CERT_FILE: broker.certificates.certFile,
    KAFKA_SASL_MECHANISM: "scram-sha-256",
    KAFKA_SASL_USERNAME: "checker",
    KAFKA_SASL_PASSWORD: SASL,
    LOG_LEVEL: "DEBUG",
    CHECK_TIMEOUT: "2",
  });
  const databaseUrl = (password = DB, port = postgres.settings.port, name = "checks") =>
    `postgres://checker:${encodeURIComponent(password)}@127.0.0.1:${port}/${name}?sslmode=disable`;

  /** Every message of a topic, as text. */
  async function readTopic(topic: string): Promise<string> {
    const { caFile } = broker.certificates;
    const loaded = await loadKeyMaterial({ caFile });
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    const sasl = { mechanism: "plain", username: "checker", password: SASL } as const;
    const options = { bootstrapServers: [broker.sasl], tls: loaded.material, sasl, topic };
    const client = await loadClient("javascript");
    const stop = new AbortController();
    const reader = { ...options, group: newName(), start: "earliest" } as const;
    await using consumer = await client.openConsumer(reader, () => {}, AbortSignal.timeout(30_000));
    let end = 0;
    const messages: string[] = [];
    const readings = consumer.readings(({ partitions }) => {
      end = partitions[0]?.logEnd ?? 0;
      return Promise.resolve(placesAt(partitions.map(({ partition, logStart }) => [partition, logStart])));
    }, stop.signal);
    for await (const reading of readings) {
      for await (const { offset, key, value } of each(reading.messages)) {
        messages.push(new TextDecoder().decode(key ?? undefined), new TextDecoder().decode(value ?? undefined));
        if (offset + 1 === end) stop.abort();
      }
    }
    return messages.join("\n");
  }

  /** Every row of every table, as text. */
  async function readTables(): Promise<string> {
    const { host, port } = postgres.settings;
    const { default: connect } = await import("postgres");
    const sql = connect({ host, port, database: "checks", user: "postgres", max: 1, onnotice: () => {} });
    try {
      const tables = await sql`select oid::regclass::text as name from pg_class
        where relkind in ('r', 'v') and relnamespace = 'public'::regnamespace order by 1`;
      const texts = await Promise.all(tables.map(async ({ name }) => {
        return (await sql.unsafe(`select t::text as row from ${name} t`)).map(({ row }) => `${name} ${row}`).join("\n");
      }));
      return texts.join("\n");
    } finally {
      await sql.end();
    }
  }

  // At the same time: most of what they do is to wait for servers that do not answer.
  it.concurrent.each(possibleVariants())("under $name", async ({ runtime, client }: Variant) => {
    /** Everything that was said, written and sent, by its place. */
    const seen: [place: string, text: string][] = [];
    const topic = newName();
    const ok = kafkaEnv(client, topic);
    const hosts = write(
      `${topic}.txt`,
      `http://me:${encodeURIComponent(SITE)}@127.0.0.1:${site.port}/ 1s\n` +
        `http://me:${encodeURIComponent(SITE)}@127.0.0.1:${site.port}/away 1s\n` +
        `https://me:${encodeURIComponent(SITE)}@127.0.0.1:${site.port}/tls 1s\n` +
        `https://me:${encodeURIComponent(SITE)}@no.such.name.invalid/ 1s\n`,
    );
    const consumerOptions = { KAFKA_GROUP: newName(), DB_TABLE: topic, DATABASE_URL: databaseUrl() };

    /** Runs a program to its end. Its output must have `expected`. */
    const tries = async (...[what, program, args, env, expected]: Attempt) => {
      const { stdout, stderr } = await run(runtime, program, args, { env: { ...ok, ...env } });
      expect(`${stdout}${stderr}`, what).toMatch(expected);
      seen.push([what, `${stdout}${stderr}`]);
    };
    /** Starts a program that never ends by itself. Ends it when its output has `expected`. */
    const waits = async (...[what, program, args, env, expected]: Attempt) => {
      await using running = start(runtime, program, args, { env: { ...ok, ...env } });
      await running.says(expected);
      running.kill("SIGTERM");
      await running.says("SIGTERM");
      running.kill("SIGINT");
      const { stdout, stderr } = await running.ended;
      seen.push([what, `${stdout}${stderr}`]);
    };

    // Nothing is wrong.
    const [producerPort, consumerPort] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    {
      await using producer = start(runtime, "producer", ["--kafka-partitions", "1", hosts], {
        env: { ...ok, LISTEN: producerPort },
      });
      await producer.says(/\/away: down/);
      await using consumer = start(runtime, "consumer", [], {
        env: { ...ok, ...consumerOptions, LISTEN: consumerPort },
      });
      await consumer.says(/messages? stored/);
      for (const [name, port] of [["producer", producerPort], ["consumer", consumerPort]] as const) {
        for (const path of ["metrics", "healthz", "readyz"]) {
          seen.push([`${name} /${path}`, await (await fetch(`http://${port}/${path}`)).text()]);
        }
        await tries(`${name} --health`, name, ["--health"], { LISTEN: port, DATABASE_URL: databaseUrl() }, /^$/);
      }
      await eventually(async () => /_now .*away.*redirect/.test(await readTables()), () => "not in the table");
      producer.kill("SIGTERM");
      consumer.kill("SIGTERM");
      for (const program of [producer, consumer]) {
        const { code, stdout, stderr } = await program.ended;
        expect(code, stderr).toBe(0);
        seen.push(["a normal run", `${stdout}${stderr}`]);
      }
    }
    await tries("--once", "producer", ["--once", hosts], {}, /4 checks made, 4 metrics delivered/);
    await tries("--stdout", "producer", ["--once", "--stdout", hosts], {}, /"error":"redirect"/);

    // Servers that refuse the login.
    const nowhere = await refusedPort();
    const attempts: Promise<void>[] = [];
    const { keyFile, certFile } = broker.certificates;
    const key = readFileSync(keyFile, "utf8");
    const wrongLogin = { KAFKA_SASL_PASSWORD: WRONG };
    const away = { KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${nowhere}` };
    attempts.push(tries("a wrong password for Kafka", "producer", [hosts], wrongLogin, /refuses the login/));
    attempts.push(tries(
      "a wrong password for Kafka",
      "consumer",
      [],
      { ...consumerOptions, ...wrongLogin },
      /refuses the login/,
    ));
    attempts.push(waits("Kafka away", "producer", [hosts], away, /Kafka .*127\.0\.0\.1|WARN .*Kafka/));
    attempts.push(waits("Kafka away", "consumer", [], { ...consumerOptions, ...away }, /WARN .*Kafka/));
    const wrongUrl = { ...consumerOptions, DATABASE_URL: databaseUrl(WRONG) };
    attempts.push(tries("a wrong password for PostgreSQL", "consumer", [], wrongUrl, /password authentication failed/));
    const noDatabase = { ...consumerOptions, DATABASE_URL: databaseUrl(DB, undefined, "nothing") };
    attempts.push(tries("no such database", "consumer", [], noDatabase, /database "nothing" does not exist/));
    const serverAway = { ...consumerOptions, DATABASE_URL: databaseUrl(DB, nowhere) };
    attempts.push(waits("PostgreSQL away", "consumer", [], serverAway, /trying again/));
    attempts.push(
      tries("--health of nobody", "producer", ["--health"], { LISTEN: `127.0.0.1:${nowhere}` }, /does not answer/),
    );

    // Settings and files with faults.
    attempts.push(tries("--check", "producer", ["--check", hosts], {}, /127\.0\.0\.1/));
    const badHosts = write(
      `${topic}-bad.txt`,
      [`ftp://me:${SITE}@a.example 5`, `https:/me:${SITE}@a.example 5`, `https://me:${SITE}@a.example often`]
        .concat([`me:${SITE}@a.example/x 5`, `https://me:${SITE}@a b.example 5`, `https://me:${SITE}@ 5`])
        .concat([`https://me:${encodeURIComponent(SITE)}@b.example 5`, `https://me:${SITE.slice(6)}@b.example 5`, "x"])
        .join("\n"),
    );
    attempts.push(tries("a bad hosts file", "producer", ["--check", badHosts], {}, /:1:1: .*\n.*:2:1: /));
    attempts.push(tries("--print-schema", "consumer", ["--print-schema"], consumerOptions, /create table/));
    const bad = (what: string, program: ProgramName, args: string[], env: StartOptions["env"], expected: RegExp) =>
      void attempts.push(tries(`bad settings: ${what}`, program, args, { ...consumerOptions, ...env }, expected));
    bad(
      "a port",
      "consumer",
      [],
      { DATABASE_URL: databaseUrl().replace(/:\d+\//, ":x/") },
      /DATABASE_URL.*write/,
    );
    bad("an @", "consumer", [], { DATABASE_URL: `postgres://checker:${DB}@h/n` }, /DATABASE_URL.*write/);
    bad(
      "a parameter",
      "consumer",
      [],
      { DATABASE_URL: `${databaseUrl()}&password=${encodeURIComponent(DB)}` },
      /DATABASE_URL.*password/,
    );
    bad("a flag", "consumer", ["--db-url", databaseUrl()], {}, /--db-url holds a password/);
    bad("no flag", "consumer", [`--db-password=${DB}`], {}, /--db-password is no flag/);
    bad("no flag either", "consumer", ["--db-password", DB], {}, /--db-password is no flag/);
    bad("no flag", "producer", ["--kafka-sasl-password", SASL, hosts], {}, /--kafka-sasl-password is no flag/);
    const secretFile = { KAFKA_SASL_PASSWORD_FILE: write(`${topic}.secret`, SASL) };
    bad("a value and a file", "producer", [hosts], secretFile, /are both set/);
    const swapped = { KAFKA_SSL_KEY_FILE: certFile, KAFKA_SSL_CERT_FILE: keyFile, KAFKA_SSL_CA_FILE: keyFile };
    bad(
      "swapped files",
      "producer",
      [hosts],
      swapped,
      /holds no certificate.*\n.*holds no private key|holds no private key/,
    );
    const damaged = write(`${topic}.key`, key.replace(/\n.{20}/, "\n"));
    bad("a damaged key", "producer", [hosts], { KAFKA_SSL_KEY_FILE: damaged }, /cannot be decoded/);
    await Promise.all(attempts);

    seen.push(["the topic", await readTopic(topic)], ["the tables", await readTables()]);
    expect(seen.find(([place]) => place === "the topic")?.[1]).toContain(`http://127.0.0.1:${site.port}/away`);
    const secrets: Record<string, string[]> = {
      "Kafka's password": formsOf("checker", SASL),
      "PostgreSQL's password": formsOf("checker", DB),
      "a site's password": formsOf("me", SITE),
      "a redirect's password": formsOf("me", TARGET),
      "a wrong password": formsOf("checker", WRONG),
      "a private key": key.split("\n").filter((line) => line !== "" && !line.startsWith("---")),
    };
    const find = (places: readonly (readonly [place: string, text: string])[]) =>
      Object.entries(secrets).flatMap(([secret, forms]) =>
        places.filter(([, text]) => forms.some((form) => text.includes(form))).map(([place]) => `${secret} in ${place}`)
      );
    // The secrets are found in the places where they must be.
    const basic = `Basic ${Buffer.from(`me:${SITE}`).toString("base64")}`;
    expect(find([["the URL", databaseUrl()], ["the request", basic], ["the hosts", readFileSync(hosts, "utf8")]]))
      .toEqual(
        ["PostgreSQL's password in the URL", "a site's password in the request", "a site's password in the hosts"],
      );
    expect(find(seen)).toEqual([]);
    expect(new Set(site.requests.map(({ headers }) => headers["authorization"]))).toEqual(new Set([basic]));
  }, 180_000);
});

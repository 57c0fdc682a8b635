import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Certificates, makeCertificates, makeServerStore } from "../../tools/kafka/certificates.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { start } from "../support/programs.ts";
import { answer, openSite, type Site } from "../support/site.ts";
import { turnsOf } from "../support/turns.ts";
import { possibleVariants } from "../support/variants.ts";

// New certificates, from another authority, while both programs run. Afterwards the broker takes no
// others.

const canRun = canRunKafka() && (postgresMissing === null || skipped(postgresMissing));
const NAMES = ["DNS:localhost", "IP:127.0.0.1"];

describe.runIf(canRun)("producer and consumer", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-rotation-"));
  const stores: string[] = [];
  const sets: Certificates[] = [];
  let postgres: TestPostgres;
  let site: Site;

  beforeAll(async () => {
    for (const name of ["a", "b"]) {
      const directory = join(folder, name);
      sets.push(await makeCertificates(directory));
      stores.push(await makeServerStore(directory, "server", NAMES));
    }
    [postgres, site] = await Promise.all([startPostgres(), openSite((socket) => socket.end(answer("200 OK")))]);
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await Promise.all([postgres, site].map((part) => part?.[Symbol.asyncDispose]()));
  }, 60_000);

  const authorities = (of: readonly number[]) =>
    of.map((set) => readFileSync(sets[set]?.caFile as string, "utf8")).join("");

  // At the same time: most of what they do is to wait.
  const title = "new certificates are in use from the next connection on, and nothing is lost or doubled";
  it.concurrent.for(turnsOf(title, possibleVariants()))(
    `$name: ${title}`,
    { timeout: 240_000 },
    async ({ runtime, client }, { expect }) => {
      const name = `rotation_${runtime}_${client}`;
      const certs = join(folder, name);
      mkdirSync(certs);
      const [server, trusted] = [join(certs, "server.pem"), join(certs, "trusted.pem")];
      /** The broker's certificate, and the authorities that it trusts, from its next start on. */
      const arm = (store: number, trusts: readonly number[]) => {
        copyFileSync(stores[store] as string, server);
        writeFileSync(trusted, authorities(trusts));
      };
      arm(0, [0, 1]);
      const settings = { "ssl.keystore.location": server, "ssl.truststore.location": trusted };
      await using broker = await temporaryKafka({ settings });
      const [caFile, keyFile, certFile] = ["ca.pem", "key.pem", "cert.pem"].map((file) => join(certs, file)) as [
        string,
        string,
        string,
      ];
      const install = (set: number, trusts: readonly number[]) => {
        copyFileSync(sets[set]?.keyFile as string, keyFile);
        copyFileSync(sets[set]?.certFile as string, certFile);
        writeFileSync(caFile, authorities(trusts));
      };
      install(0, [0]);
      const { host, port, name: database, user, password } = postgres.settings;
      const env = {
        KAFKA_BOOTSTRAP_SERVERS: broker.mtls,
        KAFKA_TOPIC: name,
        KAFKA_SSL_CA_FILE: caFile,
        KAFKA_SSL_KEY_FILE: keyFile,
        KAFKA_SSL_CERT_FILE: certFile,
        KAFKA_CLIENT: client,
      };
      const databaseEnv = {
        DB_HOST: host,
        DB_PORT: String(port),
        DB_NAME: database,
        DB_USER: user,
        DB_PASSWORD: password ?? "",
      };
      const hosts = join(folder, `${name}.txt`);
      writeFileSync(hosts, [0, 1, 2, 3].map((page) => `http://127.0.0.1:${site.port}/${name}/${page} 1s\n`).join(""));
      const rows = async () =>
        (await postgres.sql`select to_regclass(${name}) is not null as found`)[0]?.found === true
          ? Number((await postgres.sql`select count(*) from ${postgres.sql(name)}`)[0]?.count)
          : 0;

      await using producer = start(runtime, "producer", ["--kafka-partitions", "3", hosts], { env });
      await producer.says("the first check is due");
      await using consumer = start(runtime, "consumer", ["--db-table", name], { env: { ...env, ...databaseEnv } });
      await expect.poll(rows, { timeout: 40_000 }).toBeGreaterThan(8);

      install(1, [0, 1]);
      const news = `The new certificates for Kafka are in use from the next connection on; ${certFile} is valid until `;
      await Promise.all([producer, consumer].map((program) => program.says(news)));
      await broker.kill();
      arm(1, [1]);
      const before = await rows();
      await broker.restart();
      await expect.poll(rows, { timeout: 90_000 }).toBeGreaterThan(before + 20);

      producer.kill("SIGTERM");
      expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
      const asked = site.requests.filter(({ path }) => path.startsWith(`/${name}/`)).length;
      // A busy machine may miss a check.
      const stored = () =>
        postgres.sql`select check_id from ${postgres.sql(name)} where error is distinct from 'missed'`;
      await expect.poll(async () => (await stored()).length, { timeout: 40_000 }).toBe(asked);
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
      expect(new Set((await stored()).map(({ check_id }) => check_id)).size).toBe(asked);
      for (const { stderr } of [producer, consumer]) {
        expect(stderr.match(/new certificates for Kafka/g)).toHaveLength(1);
      }
    },
  );
});

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { type Certificates, makeCertificates, makeServerStore } from "../../tools/kafka/certificates.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { newEmbedded } from "../support/embedded.ts";
import { canRunKafka, temporaryKafka } from "../support/kafka.ts";
import { run, start } from "../support/programs.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";

// TLS without an agreement: at the start, and with a broker that comes back with other
// certificates.

const NAMES = ["DNS:localhost", "IP:127.0.0.1"];
const OWN =
  "name one in --kafka-ssl-cert-file (KAFKA_SSL_CERT_FILE), and its key in --kafka-ssl-key-file (KAFKA_SSL_KEY_FILE)";

describe.runIf(canRunKafka())("producer and consumer", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-tls-"));
  const hosts = join(folder, "hosts.txt");
  let good: string;
  let bad: string;
  /** The ports for the refusals at the start. Each has one refusal. */
  let broker: KafkaServer;
  let own: Certificates;
  let stranger: Certificates;

  beforeAll(async () => {
    stranger = await makeCertificates(join(folder, "stranger"));
    own = await makeCertificates(join(folder, "own"));
    good = await makeServerStore(join(folder, "own"), "server", NAMES);
    bad = await makeServerStore(join(folder, "stranger"), "server", NAMES);
    writeFileSync(hosts, "http://127.0.0.1:1 1s\n");
    broker = await temporaryKafka({ expired: true });
  }, 120_000);
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, 30_000);

  const env = (bootstrap: string, { client }: Variant, topic: string, files: Certificates) => ({
    KAFKA_BOOTSTRAP_SERVERS: bootstrap,
    KAFKA_TOPIC: topic,
    KAFKA_CLIENT: client,
    KAFKA_SSL_CA_FILE: files.caFile,
    KAFKA_SSL_KEY_FILE: files.keyFile,
    KAFKA_SSL_CERT_FILE: files.certFile,
  });

  const REFUSALS: readonly [string, () => Record<string, string>, RegExp | string][] = [
    [
      "the broker's certificate is of another CA",
      () => ({ KAFKA_SSL_CA_FILE: stranger.caFile }),
      "its certificate is of another CA than those that are trusted here): name the CA that signed it in --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE)",
    ],
    [
      "it is of another CA than those of the system",
      () => ({ KAFKA_SSL_CA_FILE: "", KAFKA_SSL: "true" }),
      "its certificate is of another CA than those that are trusted here): name the CA that signed it in --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE)",
    ],
    [
      "it has another name",
      () => ({ KAFKA_BOOTSTRAP_SERVERS: broker.misnamed }),
      "its certificate is not for localhost, but for elsewhere.example): write a name that the certificate has into --kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS)",
    ],
    [
      "it has expired",
      () => ({ KAFKA_BOOTSTRAP_SERVERS: broker.expired }),
      /its certificate expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC\): the broker needs a new one, unless this machine's clock is wrong/,
    ],
    [
      "the client's is of another CA",
      () => ({ KAFKA_SSL_KEY_FILE: stranger.keyFile, KAFKA_SSL_CERT_FILE: stranger.certFile }),
      `it refuses our certificate (certificate unknown)): ${OWN}, of a CA that the broker trusts`,
    ],
    [
      "the client has none",
      () => ({ KAFKA_SSL_KEY_FILE: "", KAFKA_SSL_CERT_FILE: "" }),
      `it wants a client certificate): ${OWN}`,
    ],
  ];

  // At the same time: most of what they do is to wait for brokers and for the next try.
  const variants = possibleVariants();
  describe.concurrent.each(variants)("on $name", (variant) => {
    const it = inTurn(variants, variant);
    it.each(REFUSALS)("end with 1 at the start where %s, with what to look at", async (_, change, said) => {
      const changed = { ...env(broker.mtls, variant, "any", broker.certificates), ...change() };
      await using producer = start(variant.runtime, "producer", [hosts], { env: changed });
      const { code, stderr } = await producer.ended;
      const words = /TLS with the Kafka broker failed \(localhost:\d+: (.*)/.exec(stderr)?.[1];
      if (typeof said === "string") expect(words, stderr).toContain(said);
      else expect(words, stderr).toMatch(said);
      expect(code).toBe(1);
    }, 30_000);

    it(
      "wait for a broker that came back with a certificate of another CA, until it has the right one again",
      async () => {
        const topic = `returns_${variant.runtime}_${variant.client}`;
        /** The broker's certificate from its next start on. */
        const server = join(folder, `${topic}.pem`);
        copyFileSync(good, server);
        const settings = { "ssl.keystore.location": server, "ssl.truststore.location": own.caFile };
        await using broker = await temporaryKafka({ settings });
        const options = { env: { ...env(broker.mtls, variant, topic, own), LOG_LEVEL: "DEBUG" } };
        const once = await run(variant.runtime, "producer", ["--once", "--kafka-partitions", "2", hosts], options);
        expect(once, once.stderr).toMatchObject({ code: 0 });
        await using producer = start(variant.runtime, "producer", [hosts], options);
        const data = await newEmbedded(join(folder, topic));
        await using consumer = start(variant.runtime, "consumer", ["--embedded", data], options);
        await consumer.says(/\d+ messages? stored/);
        await broker.kill();
        copyFileSync(bad, server);
        await broker.restart();
        await Promise.all([
          producer.says(/Kafka .* \(.*certificate.*\): trying again/),
          consumer.says(/Kafka .* \(.*certificate.*\): trying again/),
        ]);
        await broker.kill();
        copyFileSync(good, server);
        await broker.restart();
        await Promise.all([
          producer.says("Kafka takes messages again"),
          consumer.says("Kafka gives messages again"),
        ]);
        producer.kill("SIGTERM");
        expect(await producer.ended, producer.stderr).toMatchObject({ code: 0 });
        consumer.kill("SIGTERM");
        expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
      },
      180_000,
    );
  });
});

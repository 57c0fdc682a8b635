import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AclOperations, AclPermissionTypes, Admin, ResourcePatternTypes, ResourceTypes } from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KafkaServer, USERS } from "../../tools/kafka/kafka.ts";
import { newEmbedded } from "../support/embedded.ts";
import { canRunKafka, temporaryKafka } from "../support/kafka.ts";
import { run, start } from "../support/programs.ts";
import { refusedPort } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants } from "../support/variants.ts";

// The programs, started as by a user, log in to a real broker by name and password.

/** Passwords in the form in which the broker's own tool keeps them: it prepares none. */
const KEPT = {
  numeral: "Ⅸ",
  nine: "IX",
  composed: "caf\u00e9",
  emoji: "🔑Ⅸ",
};

describe.runIf(canRunKafka())("SASL", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-sasl-"));
  const hosts = join(folder, "hosts.txt");
  const passwordFile = join(folder, "password");
  let broker: KafkaServer;

  beforeAll(async () => {
    writeFileSync(hosts, `http://127.0.0.1:${await refusedPort()} 5\n`);
    writeFileSync(passwordFile, `${USERS.checker}\n`);
    broker = await temporaryKafka({ sasl: true, users: KEPT });
    await forbid("blocked");
  }, 120_000);
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await broker?.[Symbol.asyncDispose]();
  }, 30_000);

  /** Forbids a user to write to any topic, and to create one. */
  async function forbid(user: string): Promise<void> {
    const admin = new Admin({ clientId: "tests", bootstrapBrokers: [broker.plain] });
    await admin.createTopics({ topics: ["sasl"], partitions: 1, replicas: 1 });
    const topics = {
      resourceType: ResourceTypes.TOPIC,
      resourceName: "*",
      resourcePatternType: ResourcePatternTypes.LITERAL,
    };
    const cluster = { ...topics, resourceType: ResourceTypes.CLUSTER, resourceName: "kafka-cluster" };
    const everyone = { principal: "User:*", operation: AclOperations.ALL, permissionType: AclPermissionTypes.ALLOW };
    const write = {
      principal: `User:${user}`,
      operation: AclOperations.WRITE,
      permissionType: AclPermissionTypes.DENY,
    };
    // A user who may create topics in the cluster may do so whatever the rules for topics are.
    const create = { ...write, operation: AclOperations.CREATE };
    // As soon as one rule exists, everything that no rule allows is forbidden.
    const ofTopics = [everyone, write, create].map((rule) => ({ ...topics, ...rule }));
    const ofCluster = [everyone, create].map((rule) => ({ ...cluster, ...rule }));
    await admin.createAcls({ creations: [...ofTopics, ...ofCluster].map((rule) => ({ ...rule, host: "*" })) });
    await admin.close();
  }

  const variants = possibleVariants();
  describe.each(variants)("$name", (variant) => {
    const { runtime, client } = variant;
    const it = inTurn(variants, variant);
    const reach = () => ({
      KAFKA_BOOTSTRAP_SERVERS: broker.sasl,
      KAFKA_TOPIC: "sasl",
      KAFKA_SSL_CA_FILE: broker.certificates.caFile,
      KAFKA_CLIENT: client,
    });
    const produce = (env: Record<string, string>) =>
      run(runtime, "producer", ["--once", hosts], { env: { ...reach(), KAFKA_SASL_USERNAME: "checker", ...env } });

    it.each(["plain", "scram-sha-256", "scram-sha-512"])("delivers after a login with %s", async (mechanism) => {
      const ended = await produce({ KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_PASSWORD: USERS.checker });
      expect(ended.stderr).toContain(`${client}, TLS, ${mechanism} as checker)`);
      expect(ended.stderr).toContain("1 check made, 1 metric delivered");
      expect(ended.code).toBe(0);
    }, 30_000);

    // librdkafka uses the system's authorities alone, and no test should change the system.
    test.runIf(client === "javascript")(
      "trusts the runtime's and the system's authorities where no CA file is given",
      async () => {
        const ended = await produce({
          KAFKA_SSL: "true",
          KAFKA_SSL_CA_FILE: "",
          NODE_EXTRA_CA_CERTS: broker.certificates.caFile,
          DENO_CERT: broker.certificates.caFile,
          KAFKA_SASL_MECHANISM: "plain",
          KAFKA_SASL_PASSWORD: USERS.checker,
        });
        expect(ended, ended.stderr).toMatchObject({ code: 0 });
      },
      30_000,
    );

    it("reads the password from a file", async () => {
      const ended = await produce({ KAFKA_SASL_MECHANISM: "PLAIN", KAFKA_SASL_PASSWORD_FILE: passwordFile });
      expect(ended, ended.stderr).toMatchObject({ code: 0 });
    }, 30_000);

    it.each(["plain", "scram-sha-256"])("says that a wrong password is refused, with %s", async (mechanism) => {
      const ended = await produce({ KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_PASSWORD: "a-wrong-secret" });
      expect(ended.stderr).toMatch(
        /Kafka refuses the login \(.+\): check --kafka-sasl-mechanism \(KAFKA_SASL_MECHANISM\), --kafka-sasl-username/,
      );
      expect(ended.stderr).not.toContain("a-wrong-secret");
      expect(ended.code).toBe(1);
    }, 30_000);

    it.each([
      ["as it is", "numeral", "Ⅸ"],
      ["though the broker keeps it prepared (SASLprep)", "nine", "Ⅸ"],
      ["with the name in another form too", "ni\u00adne", "I\u00adX"],
      ["though another form of the same letters is kept", "composed", "cafe\u0301"],
      ["with an emoji", "emoji", "🔑Ⅸ"],
    ])("takes a password %s: %s %j", async (_, username, password) => {
      const login = { KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password };
      const ended = await produce({ KAFKA_SASL_MECHANISM: "scram-sha-256", ...login });
      expect(ended, ended.stderr).toMatchObject({ code: 0 });
    }, 60_000);

    it("sends a name with a comma, and says of one with two that the javascript client cannot", async () => {
      const one = await produce({
        KAFKA_SASL_MECHANISM: "scram-sha-256",
        KAFKA_SASL_USERNAME: "a,b=c",
        KAFKA_SASL_PASSWORD: "x",
      });
      expect(one, one.stderr).toMatchObject({ code: 1, stderr: expect.stringContaining("Kafka refuses the login") });
      const two = await produce({
        KAFKA_SASL_MECHANISM: "scram-sha-256",
        KAFKA_SASL_USERNAME: "a,b,c",
        KAFKA_SASL_PASSWORD: "x",
      });
      if (client === "librdkafka") expect(two.stderr).toContain("Kafka refuses the login");
      else {expect(two, two.stderr).toMatchObject({
          code: 2,
          stderr: expect.stringContaining("has more than one comma"),
        });}
    }, 60_000);

    it("says that a login is refused in both of its forms", async () => {
      const login = { KAFKA_SASL_USERNAME: "nine", KAFKA_SASL_PASSWORD: "Ⅹ" };
      const ended = await produce({ KAFKA_SASL_MECHANISM: "scram-sha-256", ...login });
      expect(ended.stderr).toContain("Kafka refuses the login (");
      expect(ended.stderr.match(/refuses the login/g)).toHaveLength(1);
      expect(ended.code).toBe(1);
    }, 30_000);

    it("carries metrics to a table with a password that only its prepared form opens", async () => {
      const login = { KAFKA_SASL_MECHANISM: "scram-sha-256", KAFKA_SASL_USERNAME: "nine", KAFKA_SASL_PASSWORD: "Ⅸ" };
      expect(await produce(login)).toMatchObject({ code: 0 });
      const data = ["--embedded", await newEmbedded(join(folder, `data_${runtime}_${client}`))];
      await using consumer = start(runtime, "consumer", data, {
        env: { ...reach(), ...login, LOG_LEVEL: "DEBUG", KAFKA_GROUP: `nine_${runtime}_${client}` },
      });
      await consumer.says(/messages? stored/);
      consumer.kill("SIGTERM");
      expect(await consumer.ended, consumer.stderr).toMatchObject({ code: 0 });
    }, 180_000);

    it("says that a user may not write to the topic", async () => {
      const login = { KAFKA_SASL_USERNAME: "blocked", KAFKA_SASL_PASSWORD: USERS.blocked };
      const ended = await produce({ KAFKA_SASL_MECHANISM: "scram-sha-512", ...login });
      expect(ended.stderr).toMatch(/Kafka does not allow this \(.+\): ask for the right on the topic in --kafka-topic/);
      expect(ended.code).toBe(1);
    }, 30_000);

    it("says that a user may not create the topic", async () => {
      const login = { KAFKA_SASL_USERNAME: "blocked", KAFKA_SASL_PASSWORD: USERS.blocked };
      const topic = { KAFKA_TOPIC: "sasl-missing", KAFKA_PARTITIONS: "1" };
      const ended = await produce({ KAFKA_SASL_MECHANISM: "scram-sha-512", ...login, ...topic });
      expect(ended.stderr).toMatch(/Kafka does not allow this \(.+\): ask for the right on the topic in --kafka-topic/);
      expect(ended.code).toBe(1);
    }, 30_000);
  });
});

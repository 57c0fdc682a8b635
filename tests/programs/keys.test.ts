import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { openssl } from "../../tools/kafka/certificates.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { Authority } from "../support/authority.ts";
import { canRunKafka, temporaryKafka } from "../support/kafka.ts";
import { run } from "../support/programs.ts";
import { refusedPort } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants } from "../support/variants.ts";

// Keys and certificates in unusual forms. The programs get them as from a user, and a real broker
// wants them.

const PASSWORD = "key-pässword";

describe.runIf(canRunKafka())("the producer's key", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-keys-"));
  const pki = new Authority(folder);
  const hosts = pki.path("hosts.txt");
  let broker: KafkaServer;

  beforeAll(async () => {
    broker = await temporaryKafka();
    const authority = dirname(broker.certificates.caFile);
    copyFileSync(join(authority, "ssl_ca_file.pem"), pki.path("root.pem"));
    copyFileSync(join(authority, "ca.key"), pki.path("root.key"));
    for (const name of ["old", "middle", "far", "leaf"]) await pki.key(name);
    await pki.certificate("old", { days: -1 });
    await pki.certificate("middle", { issuer: "root", isAuthority: true });
    await pki.certificate("far", { issuer: "middle" });
    await pki.certificate("leaf", { issuer: "root" });
    await openssl(
      "ec",
      "-in",
      pki.path("leaf.key"),
      "-aes256",
      "-passout",
      `pass:${PASSWORD}`,
      "-out",
      pki.path("legacy"),
    );
    const lock = ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1", "-passout", `pass:${PASSWORD}`];
    await openssl("pkcs8", "-topk8", "-in", pki.path("far.key"), ...lock, "-out", pki.path("locked"));
    await openssl(
      "x509",
      "-in",
      pki.path("root.pem"),
      "-trustout",
      "-addtrust",
      "serverAuth",
      "-out",
      pki.path("trusted"),
    );
    const windows = (text: string) => `\ufeff${text.replaceAll("\n", "\r\n")}`;
    pki.write("bundle", windows(`Some authorities\n${pki.read("old.pem")}${pki.read("trusted")}`));
    pki.write(
      "all",
      windows(`Bag Attributes\n  a: b\n${pki.read("root.pem")}${pki.read("legacy")}${pki.read("leaf.pem")}`),
    );
    pki.write("chain", pki.read("root.pem") + pki.read("middle.pem") + pki.read("middle.pem") + pki.read("far.pem"));
    pki.write("password", `${PASSWORD}\n`);
    pki.write("hosts.txt", `http://127.0.0.1:${await refusedPort()} 5\n`);
  }, 120_000);
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }, 30_000);

  const variants = possibleVariants();
  describe.each(variants)("on $name", (variant) => {
    const { runtime, client } = variant;
    const it = inTurn(variants, variant);
    const produce = (env: Record<string, string>) =>
      run(runtime, "producer", ["--once", "--kafka-partitions", "1", hosts], {
        env: {
          KAFKA_BOOTSTRAP_SERVERS: broker.mtls,
          KAFKA_TOPIC: "keys",
          KAFKA_CLIENT: client,
          KAFKA_SSL_CA_FILE: pki.path("root.pem"),
          ...env,
        },
      });

    it(
      "is encrypted, in one file with its certificate, and an expired authority stands beside the right one",
      async () => {
        const ended = await produce({
          KAFKA_SSL_CA_FILE: pki.path("bundle"),
          KAFKA_SSL_KEY_FILE: pki.path("all"),
          KAFKA_SSL_CERT_FILE: pki.path("all"),
          KAFKA_SSL_KEY_PASSWORD: PASSWORD,
        });
        expect(ended, ended.stderr).toMatchObject({ code: 0 });
        expect(ended.stderr).toContain("1 metric delivered");
        expect(ended.stderr).toMatch(
          /bundle: the certificate of CN=old expired on .* UTC: it is left out, the others are used/,
        );
        expect(ended.stderr).not.toContain(PASSWORD);
      },
      60_000,
    );

    it("has its password in a file, and its certificate's chain is in the wrong order", async () => {
      const ended = await produce({
        KAFKA_SSL_KEY_FILE: pki.path("locked"),
        KAFKA_SSL_CERT_FILE: pki.path("chain"),
        KAFKA_SSL_KEY_PASSWORD_FILE: pki.path("password"),
      });
      expect(ended, ended.stderr).toMatchObject({ code: 0 });
      expect(ended.stderr).toContain("1 metric delivered");
    }, 60_000);

    it("is not opened by another password: nothing starts, and no password is told", async () => {
      const ended = await produce({
        KAFKA_SSL_KEY_FILE: pki.path("locked"),
        KAFKA_SSL_CERT_FILE: pki.path("chain"),
        KAFKA_SSL_KEY_PASSWORD: "no-such-secret",
      });
      expect(ended.stderr).toContain(
        `${pki.path("locked")}: KAFKA_SSL_KEY_PASSWORD (or --kafka-ssl-key-password-file) does not open its key`,
      );
      expect(ended.stderr).not.toContain("no-such-secret");
      expect(ended.code).toBe(2);
    }, 60_000);
  });
});

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadKeyMaterial } from "../../lib/net/tls.ts";
import { makeCertificates } from "../../tools/kafka/certificates.ts";
import { skipped } from "../support/kafka.ts";

const canRun = spawnSync("openssl", ["version"]).status === 0 || skipped("tls tests are skipped: they need OpenSSL");

describe.runIf(canRun)("loadKeyMaterial", () => {
  const directory = mkdtempSync(join(tmpdir(), "host-checker-tls-"));
  const file = (name: string) => join(directory, name);
  const [caFile, keyFile, certFile] = ["ssl_ca_file.pem", "ssl_key_file.key", "ssl_cert_file.cert"].map(file);
  const good = { caFile, keyFile, certFile };

  beforeAll(async () => {
    await makeCertificates(directory);
    const pkey = (...args: string[]) => execFileSync("openssl", args);
    pkey("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file("other.key"));
    pkey("pkey", "-in", keyFile as string, "-aes256", "-passout", "pass:x", "-out", file("locked.key"));
    writeFileSync(file("empty.pem"), "");
    writeFileSync(file("broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    writeFileSync(file("broken.key"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("loadKeyMaterial gives the texts of files that are fine", async () => {
    const loaded = await loadKeyMaterial(good);
    expect(loaded).toEqual({
      material: {
        ca: readFileSync(caFile as string, "utf8"),
        key: readFileSync(keyFile as string, "utf8"),
        cert: readFileSync(certFile as string, "utf8"),
      },
      warnings: [],
      clientExpiry: expect.any(Date),
      authorityExpiry: expect.any(Date),
    });
  });

  it("loadKeyMaterial gives nothing where no file is named", async () => {
    expect(await loadKeyMaterial({})).toEqual({
      material: {},
      warnings: [],
      clientExpiry: null,
      authorityExpiry: null,
    });
  });

  it.each([
    [
      "a missing file",
      { caFile: "nowhere.pem" },
      "nowhere.pem: cannot be read (ENOENT): check the path and the rights of the file",
    ],
    [
      "an empty file",
      { caFile: "empty.pem" },
      'empty.pem: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----"',
    ],
    [
      "a key in place of a certificate",
      { caFile: "other.key" },
      'other.key: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----", but this is a "PRIVATE KEY"',
    ],
    [
      "a damaged certificate",
      { caFile: "broken.pem" },
      "broken.pem: its certificate cannot be decoded: the file is damaged, copy it again",
    ],
    [
      "a certificate in place of a key",
      { keyFile: "ssl_cert_file.cert" },
      'ssl_cert_file.cert: holds no private key: want PEM text with "-----BEGIN PRIVATE KEY-----", but this is a "CERTIFICATE"',
    ],
    [
      "a damaged key",
      { keyFile: "broken.key" },
      "broken.key: its key cannot be decoded: the file is damaged, copy it again",
    ],
    [
      "an encrypted key",
      { keyFile: "locked.key" },
      "locked.key: the key is encrypted: put its password into KAFKA_SSL_KEY_PASSWORD, or into a file that " +
      "--kafka-ssl-key-password-file (KAFKA_SSL_KEY_PASSWORD_FILE) names",
    ],
    [
      "a key of another certificate",
      { keyFile: "other.key" },
      "other.key: the key does not fit the certificate in DIR/ssl_cert_file.cert: take the two that were made together",
    ],
  ])("loadKeyMaterial refuses %s", async (_, bad, problem) => {
    const named = Object.fromEntries(Object.entries(bad).map(([role, name]) => [role, file(name)]));
    const loaded = await loadKeyMaterial({ ...good, ...named });
    const want = `${directory}/${problem.replaceAll("DIR", directory)}`;
    expect(loaded).toEqual({ problems: [want] });
  });

  it("loadKeyMaterial says which setting names a file that is missing", async () => {
    const settings = { caFile: "CA_FILE (--ca-file)" };
    const loaded = await loadKeyMaterial({ ...good, caFile: file("nowhere.pem"), settings });
    expect(loaded).toEqual({
      problems: [
        `${
          file("nowhere.pem")
        }: cannot be read (ENOENT): check the path in CA_FILE (--ca-file) and the rights of the file`,
      ],
    });
  });

  it.each([
    ["2000-01-01", "is not valid before"],
    ["2099-01-01", "expired on"],
  ])("loadKeyMaterial at %s says that authority and client certificate are out of date: %s", async (day, words) => {
    const loaded = await loadKeyMaterial(good, new Date(day));
    expect("problems" in loaded && loaded.problems).toEqual([
      expect.stringContaining(`${caFile}: the certificate of CN=host-checker local CA ${words} `),
      expect.stringContaining(`${certFile}: the certificate of CN=host-checker client ${words} `),
    ]);
  });

  it("loadKeyMaterial tells every problem at once", async () => {
    const loaded = await loadKeyMaterial({
      caFile: file("empty.pem"),
      keyFile: file("locked.key"),
      certFile: file("none"),
    });
    expect("problems" in loaded && loaded.problems).toHaveLength(3);
  });
});

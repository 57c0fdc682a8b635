import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Bell } from "../../lib/async/bell.ts";
import { CertificateStore } from "../../lib/net/certificate_store.ts";
import { makeCertificates, openssl } from "../../tools/kafka/certificates.ts";
import { Authority } from "../support/authority.ts";
import { skipped } from "../support/kafka.ts";

const canRun = spawnSync("openssl", ["version"]).status === 0 ||
  skipped("CertificateStore is not tested: it needs OpenSSL");
const VALID = /valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC$/;

describe.runIf(canRun)("CertificateStore", () => {
  const folder = mkdtempSync(join(tmpdir(), "host-checker-keys-"));
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  let count = 0;
  let place: string;
  let files: { caFile: string; keyFile: string; certFile: string };
  let certificates: CertificateStore;
  let stop: AbortController;
  let following: Promise<void>;
  const said: string[] = [];
  const events = {
    info: (text: string) => said.push(`INFO ${text}`),
    warn: (text: string) => said.push(`WARN ${text}`),
  };

  beforeAll(
    async () => void await Promise.all([first, second].map((directory) => makeCertificates(directory))),
    60_000,
  );
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(() => {
    place = join(folder, String(++count));
    files = {
      caFile: join(place, "ssl_ca_file.pem"),
      keyFile: join(place, "ssl_key_file.key"),
      certFile: join(place, "ssl_cert_file.cert"),
    };
    stop = new AbortController();
    said.length = 0;
  });
  afterEach(async () => {
    vi.useRealTimers();
    vi.restoreAllMocks();
    stop.abort();
    await following;
  });

  async function follow(): Promise<void> {
    const loaded = await CertificateStore.load("Kafka", files);
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    certificates = loaded;
    following = certificates.follow(events, stop.signal, 50);
  }

  const copy = (from: string, name: string) => copyFileSync(join(from, name), join(place, name));
  const held = (from: string) => ({
    ca: readFileSync(join(from, "ssl_ca_file.pem"), "utf8"),
    key: readFileSync(join(from, "ssl_key_file.key"), "utf8"),
    cert: readFileSync(join(from, "ssl_cert_file.cert"), "utf8"),
  });
  const inUse = ({ ca, key, cert }: CertificateStore) => ({ ca, key, cert });
  const saysSo = (lines: readonly unknown[]) => expect.poll(() => said, { timeout: 10_000 }).toEqual(lines);

  it("keeps the old material while the key is new and the certificate is not, and says so once", async () => {
    cpSync(first, place, { recursive: true });
    await follow();
    const { replaced } = certificates;
    copy(second, "ssl_key_file.key");
    const misfit =
      `WARN The new certificates for Kafka are not taken over, and the old ones stay in use: ${files.keyFile}: ` +
      `the key does not fit the certificate in ${files.certFile}: take the two that were made together`;
    await saysSo([misfit]);
    // The store reads the files again and again, and finds the same problem each time.
    const looks = vi.spyOn(Bell.prototype, "wait");
    await expect.poll(() => looks.mock.calls.length, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(inUse(certificates)).toEqual(held(first));
    expect(replaced.aborted).toBe(false);
    copy(second, "ssl_ca_file.pem");
    copy(second, "ssl_cert_file.cert");
    await saysSo([misfit, expect.stringMatching(VALID)]);
    expect(said[1]).toContain(
      `WARN The new certificates for Kafka are in use from the next connection on; ${files.certFile} is valid until `,
    );
    expect(inUse(certificates)).toEqual(held(second));
    expect(replaced.aborted).toBe(true);
    expect(certificates.replaced.aborted).toBe(false);
  });

  it("takes a whole set at once where a symbolic link is changed, as in a Secret of Kubernetes", async () => {
    mkdirSync(place);
    symlinkSync(first, join(place, "..data"));
    for (const name of ["ssl_ca_file.pem", "ssl_key_file.key", "ssl_cert_file.cert"]) {
      symlinkSync(join("..data", name), join(place, name));
    }
    await follow();
    symlinkSync(second, join(place, "..data_tmp"));
    renameSync(join(place, "..data_tmp"), join(place, "..data"));
    await saysSo([expect.stringMatching(VALID)]);
    expect(inUse(certificates)).toEqual(held(second));
  });

  it("keeps the old material while a file is damaged, and says when all is well again", async () => {
    cpSync(first, place, { recursive: true });
    await follow();
    writeFileSync(files.certFile, "-----BEGIN CERTIFICATE-----\nAAAA\n");
    await saysSo([
      expect.stringContaining(`${files.certFile}: its "CERTIFICATE" begins and does not end: the file is cut off`),
    ]);
    expect(inUse(certificates)).toEqual(held(first));
    expect(certificates.expiresAt?.getTime()).toBeGreaterThan(Date.now());
    copy(first, "ssl_cert_file.cert");
    const again = /^WARN The files for Kafka hold the certificates in use again; .* is valid until /;
    await saysSo([expect.stringMatching(/^WARN /), expect.stringMatching(again)]);
    expect(certificates.replaced.aborted).toBe(false);
  });

  it("takes certificates that are not valid yet once they are, though no file changes then", async () => {
    cpSync(first, place, { recursive: true });
    await follow();
    vi.useFakeTimers({ toFake: ["Date"], now: new Date("2000-01-01") });
    cpSync(second, place, { recursive: true });
    await saysSo([expect.stringContaining("is not valid before")]);
    vi.useRealTimers();
    await saysSo([expect.stringMatching(/^WARN /), expect.stringMatching(VALID)]);
    expect(inUse(certificates)).toEqual(held(second));
  });

  it("takes a bundle with an expired authority beside a valid one, and warns of it once", async () => {
    cpSync(first, place, { recursive: true });
    await follow();
    const old = new Authority(join(folder, "old"));
    await old.key("old");
    await old.certificate("old", { days: -1 });
    cpSync(second, place, { recursive: true });
    writeFileSync(files.caFile, old.read("old.pem") + readFileSync(join(second, "ssl_ca_file.pem"), "utf8"));
    const warning = expect.stringMatching(
      /^WARN .*ssl_ca_file.pem: the certificate of CN=old expired on .*: it is left out/,
    );
    await saysSo([expect.stringMatching(VALID), warning]);
    expect(inUse(certificates)).toEqual(held(second));
    expect(certificates.expiresAt?.getTime()).toBeGreaterThan(Date.now());
    // The store reads the files once more, and finds nothing new.
    writeFileSync(files.keyFile, readFileSync(join(second, "ssl_key_file.key"), "utf8"));
    const reads = vi.spyOn(Bell.prototype, "wait");
    await expect.poll(() => reads.mock.calls.length, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(said).toHaveLength(2);
  });

  it("warns of what is wrong with the files from the start", async () => {
    cpSync(first, place, { recursive: true });
    const loaded = await CertificateStore.load("Kafka", { ...files, keyPassword: "secret" });
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    following = loaded.follow(events, stop.signal);
    expect(said).toEqual([expect.stringMatching(/^WARN .*: the key is not encrypted, so that KAFKA_SSL_KEY_PASSWORD/)]);
  });

  it("reads the key's password again with the key", async () => {
    cpSync(first, place, { recursive: true });
    const keyPasswordFile = join(place, "password");
    const lock = (from: string, password: string) =>
      openssl(
        "pkey",
        "-in",
        join(from, "ssl_key_file.key"),
        "-aes256",
        "-passout",
        `pass:${password}`,
        "-out",
        files.keyFile,
      );
    await lock(first, "one");
    writeFileSync(keyPasswordFile, "one\n");
    const loaded = await CertificateStore.load("Kafka", { ...files, keyPassword: "one", keyPasswordFile });
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    certificates = loaded;
    following = certificates.follow(events, stop.signal, 50);
    await lock(second, "two");
    copy(second, "ssl_ca_file.pem");
    copy(second, "ssl_cert_file.cert");
    await saysSo([expect.stringMatching(/^WARN .* stay in use: .*: KAFKA_SSL_KEY_PASSWORD .* does not open its key/)]);
    expect(inUse(certificates)).toEqual(held(first));
    writeFileSync(keyPasswordFile, "two\n");
    await saysSo([expect.stringMatching(/^WARN /), expect.stringMatching(VALID)]);
    expect(inUse(certificates)).toEqual(held(second));
    expect(said.join()).not.toContain("two");
  });

  it("ends at once where no file is named: the system's authorities are no file of ours", async () => {
    const loaded = await CertificateStore.load("Kafka", {});
    if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
    expect(loaded.expiresAt).toBe(null);
    following = loaded.follow(events, stop.signal);
    await following;
  });
});

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, type Server } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { loadClient } from "../../lib/kafka/access.ts";
import type { KafkaClient, KafkaOptions } from "../../lib/kafka/kafka.ts";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { type KeyMaterial, loadKeyMaterial } from "../../lib/net/tls.ts";
import { type Certificates, makeCertificates, makeServerStore } from "../../tools/kafka/certificates.ts";
import type { KafkaServer } from "../../tools/kafka/kafka.ts";
import { canRunKafka, skipped, temporaryKafka } from "../support/kafka.ts";
import { Replaceable } from "../support/replaceable.ts";

// A thread of librdkafka may shake hands while the process ends. OpenSSL is then gone, and the
// process ends by a signal instead of its exit code.

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const library = loadLibrdkafka();
const canRun = (!("missing" in library) || skipped(`librdkafka is not tested: ${library.missing}`)) &&
  (existsSync("/proc/self/task") || skipped("librdkafka's threads are not counted: only Linux tells them"));
const TASKS = "/proc/self/task";

/** The names of this process's threads that belong to the library. */
function threads(): readonly string[] {
  return readdirSync(TASKS).flatMap((task) => {
    try {
      const name = readFileSync(join(TASKS, task, "comm"), "utf8").trim();
      return name.startsWith("rdk:") ? [name] : [];
    } catch {
      // It has just ended.
      return [];
    }
  });
}

async function material({ caFile, keyFile, certFile }: Certificates): Promise<KeyMaterial> {
  const loaded = await loadKeyMaterial({ caFile, keyFile, certFile });
  if ("problems" in loaded) throw new Error(loaded.problems.join("\n"));
  return loaded.material;
}

describe.runIf(canRun)("no thread of librdkafka is left", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-threads-"));
  let client: KafkaClient;
  let tls: KeyMaterial;
  let stranger: KeyMaterial;
  let misnamed: Server;

  beforeAll(async () => {
    client = await loadClient("librdkafka");
    tls = await material(await makeCertificates(join(folder, "own")));
    stranger = await material(await makeCertificates(join(folder, "stranger")));
    const store = readFileSync(
      await makeServerStore(join(folder, "own"), "elsewhere", ["DNS:elsewhere.example"]),
      "utf8",
    );
    misnamed = createTlsServer({ key: store, cert: store }, (socket) => void socket.on("error", () => {}));
    misnamed.on("tlsClientError", () => {});
    await once(misnamed.listen(0, "127.0.0.1"), "listening");
  });
  afterAll(() => {
    misnamed?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => expect(threads()).toEqual([]));

  const optionsFor = (port: number): KafkaOptions => ({ bootstrapServers: [`127.0.0.1:${port}`], topic: "any", tls });
  const portOf = (server: Pick<Server, "address">) => (server.address() as AddressInfo).port;
  const never = new AbortController().signal;

  it("where a producer could not be opened, since the broker's certificate has another name", async () => {
    const opening = client.openProducer({ ...optionsFor(portOf(misnamed)), partitions: null }, () => {}, never);
    await expect(opening).rejects.toThrow("its certificate is not for 127.0.0.1, but for elsewhere.example");
  });

  it("where a consumer could not be opened for that reason", async () => {
    const options = { ...optionsFor(portOf(misnamed)), group: "any", start: "earliest" as const };
    await expect(client.openConsumer(options, () => {}, never)).rejects.toThrow("but for elsewhere.example");
  });

  it("where opening was stopped while a broker kept silent", async () => {
    const stop = new AbortController();
    // It stops when the client shakes hands, and gets no answer.
    const silent = createServer((socket) => void socket.on("error", () => {}).once("data", () => stop.abort()));
    await once(silent.listen(0, "127.0.0.1"), "listening");
    const opening = client.openProducer({ ...optionsFor(portOf(silent)), partitions: null }, () => {}, stop.signal);
    await expect(opening).rejects.toThrow();
    silent.close();
  });

  describe.runIf(canRunKafka())("after a producer was closed", () => {
    let broker: KafkaServer;
    let good: KeyMaterial;
    beforeAll(async () => {
      broker = await temporaryKafka();
      good = await material(broker.certificates);
    });
    afterAll(() => broker?.[Symbol.asyncDispose](), 30_000);

    const open = (keys: Replaceable, topic: string, listener: (event: string) => void = () => {}) =>
      client.openProducer({ bootstrapServers: [broker.mtls], topic, tls: keys, partitions: 1 }, listener, never);

    it("that tried new certificates", async () => {
      const keys = new Replaceable(good);
      const refused = Promise.withResolvers<string>();
      await using producer = await open(keys, "trying", refused.resolve);
      expect(threads()).not.toEqual([]);
      keys.replace(stranger);
      expect(await refused.promise).toContain("the old certificates stay in use");
      await producer[Symbol.asyncDispose]();
      expect(threads()).toEqual([]);
    });

    it("that began to try new certificates", async () => {
      const keys = new Replaceable(good);
      await using producer = await open(keys, "beginning");
      const before = threads().length;
      keys.replace(stranger);
      await expect.poll(() => threads().length).toBeGreaterThan(before);
      await producer[Symbol.asyncDispose]();
      expect(threads()).toEqual([]);
    });
  });
});

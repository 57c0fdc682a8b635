import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Certificates } from "../support/certificates.ts";
import { type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { openSite } from "../support/site.ts";

// The producer talks plain TCP to a port that speaks TLS, or TLS to a port that does not.

const folder = mkdtempSync(join(tmpdir(), "test-mismatched-tls-"));
const certificates = new Certificates();
afterAll(() => {
  certificates[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
const hosts = join(folder, "hosts.txt");
writeFileSync(hosts, "http://127.0.0.1:1 1d\n");

/** Kafka's answer, over TLS, to bytes that are no TLS: a fatal alert, unexpected_message. */
const ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 10]);

const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

// All at once, since most of their time is waiting.
describe.concurrent.each(runtimes)("the producer under %s", (runtime: Runtime) => {
  const startAt = (port: number, ...args: string[]) =>
    start(runtime, "producer", [
      ...["--kafka-client", "javascript", "--kafka-bootstrap-servers", `localhost:${port}`],
      ...["--kafka-topic", "any", ...args, hosts],
    ]);

  it("says which settings turn TLS on where the broker wants it", async () => {
    const onAccept = (socket: Socket) => !!socket.once("data", () => socket.end(ALERT));
    await using broker = await openSite(() => {}, { onAccept });
    await using producer = startAt(broker.port);
    expect(await producer.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        "TLS with the Kafka broker failed (the broker wants TLS, and none is set): name its CA in --kafka-ssl-ca-file " +
          "(KAFKA_SSL_CA_FILE), or set --kafka-ssl (KAFKA_SSL) to true where a public CA signed its certificate",
      ),
    });
  });

  it("asks whether the port is one for TLS where the broker knows none", async () => {
    // Once it has read what came: else its system may reset the connection, which says less.
    const onAccept = (socket: Socket) => !!socket.once("data", () => socket.end());
    await using broker = await openSite(() => {}, { onAccept });
    await using producer = startAt(broker.port, "--kafka-ssl-ca-file", certificates.authorityFile);
    await producer.says(
      "Kafka does not answer (the broker ended the connection before TLS began: is that port one for TLS?): trying again",
    );
    producer.kill("SIGTERM");
    await producer.ended;
  });
});

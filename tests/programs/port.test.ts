import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { freePort } from "../../tools/free_ports.ts";
import { newEmbedded } from "../support/embedded.ts";
import { run, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite, refusedPort } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";

// The reports of the programs at --listen, and --health, which asks for them.

const folder = mkdtempSync(join(tmpdir(), "test-port-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = () => join(folder, String(++files));

const get = async (url: string) => {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
};
/**
 * The making of an embedded database takes seconds of CPU time. On a busy machine it takes even
 * longer.
 */
const patience = { timeout: 50_000 };

const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

describe.each(runtimes)(
  "under %s",
  (runtime: Runtime) => {
    const long = inTurn(runtimes, runtime);
    it("producer tells Prometheus of its checks, and a probe that it works", async () => {
      await using site = await openSite((socket) => socket.end(answer("200 OK")));
      const hosts = `${newPath()}.txt`;
      writeFileSync(hosts, `http://127.0.0.1:${site.port} 1s\nhttp://127.0.0.1:${await refusedPort()} 1s\n`);
      const listen = `127.0.0.1:${await freePort()}`;
      await using producer = start(runtime, "producer", ["--stdout", "--listen", listen, hosts]);
      await expect.poll(() => get(`http://${listen}/metrics`).catch(() => ({ body: "" })), patience).toMatchObject({
        body: expect.stringMatching(
          /host_checker_checks_total\{result="up",error="none"\} [1-9][^]*host_checker_checks_total\{result="down",error="connect"\} [1-9]|host_checker_checks_total\{result="down",error="connect"\} [1-9][^]*host_checker_checks_total\{result="up",error="none"\} [1-9]/,
        ),
      });
      const { body } = await get(`http://${listen}/metrics`);
      expect(body).toContain("host_checker_hosts 2\n");
      expect(body).toContain("host_checker_hosts_down 1\n");
      expect(await get(`http://${listen}/readyz`)).toEqual({ status: 200, body: '{"ready":true,"troubles":[]}\n' });
      expect(await run(runtime, "producer", ["--health", "--listen", listen])).toMatchObject({ code: 0, stderr: "" });
      // A program's own variable overrides the variable of both programs.
      const env = { LISTEN: `127.0.0.1:${await refusedPort()}`, PRODUCER_LISTEN: listen, CONSUMER_LISTEN: listen };
      expect(await run(runtime, "producer", ["--health"], { env })).toMatchObject({ code: 0, stderr: "" });
      expect(await run(runtime, "consumer", ["--health"], { env })).toMatchObject({
        code: 1,
        stderr: `http://${listen}/healthz is answered by the producer, not by the consumer: ` +
          "each needs an address of its own (--listen (LISTEN) or CONSUMER_LISTEN)\n",
      });
      producer.kill("SIGTERM");
      expect((await producer.ended).code).toBe(0);
      expect(await run(runtime, "producer", ["--health"], { env: { LISTEN: listen } })).toMatchObject({
        code: 1,
        stderr: `http://${listen}/healthz does not answer (ECONNREFUSED)\n`,
      });
    });

    it("producer is alive, but not ready, while Kafka is away", async () => {
      const hosts = `${newPath()}.txt`;
      writeFileSync(hosts, `http://127.0.0.1:${await refusedPort()} 1d\n`);
      const listen = `127.0.0.1:${await freePort()}`;
      const kafka = `127.0.0.1:${await refusedPort()}`;
      const args = ["--kafka-client", "javascript", "--kafka-topic", "t", "--kafka-bootstrap-servers", kafka];
      await using _producer = start(runtime, "producer", [...args, "--listen", listen, hosts]);
      await expect.poll(() => get(`http://${listen}/readyz`).catch(() => null), patience).toMatchObject({
        status: 503,
        body: expect.stringContaining("Kafka does not answer"),
      });
      expect(await get(`http://${listen}/healthz`)).toEqual({ status: 200, body: "producer: ok\n" });
    });

    long("consumer tells Prometheus of what it stored", async () => {
      const listen = `127.0.0.1:${await freePort()}`;
      await using consumer = start(runtime, "consumer", ["--stdin", "--embedded", await newEmbedded(newPath())], {
        env: { LISTEN: "127.0.0.1:1", CONSUMER_LISTEN: listen },
      });
      consumer.write(`{"address":"a","status_code":200,"latency":0.1,"is_valid":true}\nnot a metric\n`);
      await expect.poll(() => get(`http://${listen}/metrics`).catch(() => ({ body: "" })), patience).toMatchObject({
        body: expect.stringContaining("host_checker_rows_total 1\n"),
      });
      const { body } = await get(`http://${listen}/metrics`);
      expect(body).toContain("host_checker_rejected_total 1\n");
      expect(body).toContain('host_checker_flushes_total{cause="age"} 1\n');
      expect(body).toMatch(/host_checker_newest_row_age_seconds [\d.]+\n/);
      expect(await get(`http://${listen}/readyz`)).toMatchObject({ status: 200 });
      consumer.endInput();
      expect((await consumer.ended).code).toBe(0);
    });

    it("a program that cannot listen says so, and starts nothing", async () => {
      await using site = await openSite(() => {});
      const listen = `127.0.0.1:${site.port}`;
      expect(await run(runtime, "consumer", ["--stdin", "--embedded", newPath(), "--listen", listen])).toMatchObject({
        code: 2,
        stderr: `--listen (LISTEN) or CONSUMER_LISTEN is "${listen}": cannot listen there (EADDRINUSE): another ` +
          "program has this port, so stop it or write another port\n",
      });
    });
  },
);

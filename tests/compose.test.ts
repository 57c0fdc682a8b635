import { execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocksIn } from "./support/documents.ts";
import { temporaryKafka } from "./support/kafka.ts";
import { startPostgres } from "./support/postgres.ts";
import { answer, openSite, type Site } from "./support/site.ts";

// Follows docs/production.md by hand: make config, the edits, make start, make logs, make stop, and
// make local. .ci/images provides docker compose (COMPOSE), an engine behind its socket, and
// stand-ins for the public images.

const engine = process.env.HOST_CHECKER_ENGINE;

if (engine === undefined) console.warn("make start is not tried here: .ci/images does");

/** An address of this machine that containers can reach. */
function address(): string {
  const own = Object.values(networkInterfaces()).flat().find((at) => at?.family === "IPv4" && !at.internal);
  if (own === undefined) throw new Error("This machine has no address but loopback's");
  return own.address;
}

describe.runIf(engine !== undefined)("make", () => {
  const parent = mkdtempSync(join(tmpdir(), "test-compose-"));
  let site: Site;
  let count = 0;

  beforeAll(async () => {
    site = await openSite((socket) => void socket.end(answer("200 OK", {}, "fine")), { address: "0.0.0.0" });
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    rmSync(parent, { recursive: true, force: true });
  });

  /** A fresh clone in a folder with a new name: compose names the project after the folder. */
  function cloned() {
    const folder = join(parent, `clone${++count}`);
    cpSync(join(engine as string, "clone"), folder, { recursive: true, preserveTimestamps: true });
    const run = (command: string, ...args: string[]) => {
      const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
      expect(status, `${command} ${args.join(" ")}\n${stdout}${stderr}`).toBe(0);
      return `${stdout}${stderr}`;
    };
    const make = (...args: string[]) => run("make", ...args);
    const compose = (...args: string[]) => run(process.env.COMPOSE ?? "", "--env-file", "env", ...args);
    expect(make("config")).toContain("hosts.txt: put your sites there");
    /**
     * The base of the images of make local and make start. The add-on of this machine needs this
     * machine's libraries.
     */
    appendFileSync(join(folder, "env"), "\nRUN_IMAGE=localhost/cc-with-libraries\n");
    return {
      folder,
      make,
      compose,
      /**
       * The command of docs/production.md that starts three producers, beside the services of make
       * local, with the ports that it names for Podman.
       */
      scale: () => {
        const text = readFileSync(join(folder, "docs/production.md"), "utf8");
        const [, args = ""] = /^ *PRODUCER_LISTEN=\S+ docker compose (.*--scale producer=3)$/m.exec(text) ?? [];
        const [, ports = ""] = /Podman takes no range: `(PRODUCER_LISTEN=\S+)`/.exec(text) ?? [];
        return run("env", ports, process.env.COMPOSE ?? "", "--profile", "local", ...args.split(" "));
      },
      /**
       * Runs `make logs` until its output has all of `words`. Then it interrupts the command, as a
       * person does.
       */
      async logs(...words: readonly (string | RegExp)[]) {
        const child = spawn("make", ["logs"], { cwd: folder, detached: true });
        let said = "";
        for (const stream of [child.stdout, child.stderr]) {
          stream.setEncoding("utf8").on("data", (text) => said += text);
        }
        const ended = new Promise((resolve) => child.once("close", resolve));
        for (const word of words) await expect.poll(() => said, { timeout: 60_000 }).toMatch(word);
        process.kill(-(child.pid as number), "SIGINT");
        await ended;
      },
      running: () => compose("ps", "--status", "running", "--services").trim().split("\n").toSorted(),
    };
  }

  it("compose understands both profiles", () => {
    const { compose } = cloned();
    expect(compose("config", "--services").trim().split("\n").toSorted()).toEqual(["consumer", "producer"]);
    expect(compose("--profile", "local", "config", "--services").trim().split("\n").toSorted()).toEqual([
      "consumer",
      "kafka",
      "kafka-topic",
      "postgres",
      "producer",
    ]);
  });

  it("local brings services of its own, with env as it is; three producers then share the hosts", async () => {
    const { folder, make, compose, scale, logs, running } = cloned();
    writeFileSync(join(folder, "hosts.txt"), `http://${address()}:${site.port}/ 1s (fine)\n`);
    make("local");
    try {
      expect(running()).toEqual(["consumer", "kafka", "postgres", "producer"]);
      const query = (sql: string) =>
        compose("exec", "-T", "postgres", "psql", "-U", "checker", "-d", "monitoring", "-Atc", sql).trim();
      const rows = () => Number(query("select count(*) from host_metrics where status_code = 200 and is_valid"));
      await expect.poll(rows, { timeout: 60_000 }).toBeGreaterThan(3);
      for (const port of [9464, 9465]) {
        expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status, `${port}`).toBe(200);
      }
      await logs(/producer.*first check is due/, /consumer.*host_metrics/, /postgres.*ready to accept/);

      // docs/production.md says so for three producers.
      edit(join(folder, "env"), { CHECK_GROUP: "checkers", CHECK_SPOOL: "" });
      const lines = Array.from({ length: 24 }, (_, n) => `http://${address()}:${site.port}/shared/${n} 1s (fine)\n`);
      // Another file: the producer that still runs has mounted the old one, and must not check these.
      rmSync(join(folder, "hosts.txt"));
      writeFileSync(join(folder, "hosts.txt"), lines.join(""));
      scale();
      const shared = "from host_metrics where address like '%/shared/%' and is_valid";
      const sharing = `select count(distinct producer) ${shared} and checked_at > now() - interval '2 s'`;
      await expect.poll(() => query(sharing), { timeout: 60_000 }).toBe("3");
      compose("stop", "producer");
      const requests = site.requests.filter(({ path }) => path.startsWith("/shared/")).length;
      await expect.poll(() => query(`select count(*) ${shared}`), { timeout: 60_000 }).toBe(String(requests));
      expect(query(`select address ${shared} group by address, scheduled_at having count(*) > 1`)).toBe("");
    } finally {
      make("stop");
    }
    expect(running()).toEqual([""]);
    const volumes = execFileSync("podman", ["volume", "ls", "-q"], { encoding: "utf8" });
    for (const name of ["kafka", "postgres"]) expect(volumes).toMatch(new RegExp(`_${name}$`, "m"));
  }, 300_000);

  it("start uses the services that env names, over mutual TLS", async () => {
    const { folder, make, compose, logs, running } = cloned();
    await using broker = await temporaryKafka();
    await using postgres = await startPostgres({ own: true });
    const { port, name, user, password } = postgres.settings;
    edit(join(folder, "env"), {
      KAFKA_BOOTSTRAP_SERVERS: broker.mtls,
      KAFKA_PARTITIONS: "3",
      KAFKA_SSL_CA_FILE: "certs/ssl_ca_file.pem",
      KAFKA_SSL_KEY_FILE: "certs/ssl_key_file.key",
      KAFKA_SSL_CERT_FILE: "certs/ssl_cert_file.cert",
      DB_HOST: "127.0.0.1",
      DB_PORT: String(port),
      DB_NAME: name,
      DB_USER: user,
    });
    writeFileSync(join(folder, "secrets/db_password"), `${password ?? "none"}\n`);
    writeFileSync(join(folder, "hosts.txt"), `http://127.0.0.1:${site.port}/ 1s (fine)\n`);
    const { caFile, keyFile, certFile } = broker.certificates;
    mkdirSync(join(folder, "certs"), { recursive: true });
    cpSync(caFile, join(folder, "certs/ssl_ca_file.pem"));
    cpSync(keyFile, join(folder, "certs/ssl_key_file.key"));
    cpSync(certFile, join(folder, "certs/ssl_cert_file.cert"));
    // docs/production.md says so for root.
    execFileSync("sh", ["-c", "chgrp 65532 certs/* && chmod 640 certs/*"], { cwd: folder });
    // docs/production.md says so for services on this machine's loopback.
    const [override] = blocksIn("yaml");
    writeFileSync(join(folder, "compose.override.yaml"), (override as NonNullable<typeof override>).text);
    make("start");
    try {
      const rows = async () =>
        (await postgres.sql`select check_id from host_metrics where is_valid`.catch(() => [])).length;
      await expect.poll(rows, { timeout: 60_000 }).toBeGreaterThan(3);
      expect(running()).toEqual(["consumer", "producer"]);
      await logs(/producer.*\(javascript, /, /consumer.*\(librdkafka, /);
      for (const service of ["producer", "consumer"]) {
        const id = compose("ps", "-q", service).trim();
        expect(spawnSync("podman", ["healthcheck", "run", id]).status, service).toBe(0);
      }
    } finally {
      make("stop");
    }
    expect(running()).toEqual([""]);
    // The stop lost no metric: every check is stored.
    const [stored] = await postgres.sql`select count(*)::int as rows from host_metrics`;
    expect(stored?.rows).toBeGreaterThan(3);
  }, 300_000);
});

/**
 * Sets variables in a file of settings, as a person would. A variable keeps its line where the file
 * has one, commented out or not.
 */
function edit(file: string, values: Readonly<Record<string, string>>): void {
  let text = readFileSync(file, "utf8");
  for (const [name, value] of Object.entries(values)) {
    const line = new RegExp(`^#?${name}=.*$`, "m");
    expect(text).toMatch(line);
    text = text.replace(line, `${name}=${value}`);
  }
  writeFileSync(file, text);
}

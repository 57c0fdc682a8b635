import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { KafkaServer } from "../tools/kafka/kafka.ts";
import { interpolate, readCompose } from "./support/compose.ts";
import { type Bind, imageConfig, startContainer } from "./support/images.ts";
import { temporaryKafka } from "./support/kafka.ts";
import { startPostgres, type TestPostgres } from "./support/postgres.ts";
import type { ProgramName } from "./support/programs.ts";
import { answer, openSite, type Site } from "./support/site.ts";

// The images that .ci/images builds. Their programs run in their file systems, with the command,
// environment and mounts of compose.yaml.

const images = process.env.HOST_CHECKER_IMAGES;
const ROOT = fileURLToPath(new URL("..", import.meta.url));

if (images === undefined) console.warn("The images are not tested here: .ci/images builds them, and does");

describe.runIf(images !== undefined)("images", () => {
  const place = images as string;
  const project = mkdtempSync(join(tmpdir(), "test-images-"));
  let broker: KafkaServer;
  let postgres: TestPostgres;
  let site: Site;

  beforeAll(async () => {
    [broker, postgres, site] = await Promise.all([
      temporaryKafka(),
      startPostgres({ own: true }),
      openSite((socket) => void socket.end(answer("200 OK", {}, "fine"))),
    ]);
    prepare();
  });
  afterAll(async () => {
    rmSync(project, { recursive: true, force: true });
    await Promise.all([broker, postgres, site].map((part) => part?.[Symbol.asyncDispose]()));
  });

  /**
   * Does what a user does: make config, then edit. certs/README.md says where the certificates go.
   */
  function prepare(): void {
    for (const file of ["Makefile", "env.example", "hosts.txt.example"]) cpSync(join(ROOT, file), join(project, file));
    execFileSync("make", ["config"], { cwd: project });
    const { port, name, user, password } = postgres.settings;
    const edits = {
      KAFKA_BOOTSTRAP_SERVERS: broker.mtls,
      KAFKA_TOPIC: "checks",
      KAFKA_PARTITIONS: "3",
      KAFKA_SSL_CA_FILE: "certs/ssl_ca_file.pem",
      KAFKA_SSL_KEY_FILE: "certs/ssl_key_file.key",
      KAFKA_SSL_CERT_FILE: "certs/ssl_cert_file.cert",
      DB_HOST: "127.0.0.1",
      DB_PORT: String(port),
      DB_NAME: name,
      DB_USER: user,
    };
    const kept = readFileSync(join(project, "env"), "utf8").split("\n").filter((line) => !/^\w/.test(line));
    writeFileSync(
      join(project, "env"),
      [...kept, ...Object.entries(edits).map(([key, value]) => `${key}=${value}`)].join("\n"),
    );
    writeFileSync(join(project, "secrets/db_password"), `${password ?? "none"}\n`);
    writeFileSync(join(project, "hosts.txt"), `http://127.0.0.1:${site.port}/ 1s (fine)\n`);
    const { caFile, keyFile, certFile } = broker.certificates;
    mkdirSync(join(project, "certs"), { recursive: true });
    cpSync(caFile, join(project, "certs/ssl_ca_file.pem"));
    cpSync(keyFile, join(project, "certs/ssl_key_file.key"));
    cpSync(certFile, join(project, "certs/ssl_cert_file.cert"));
    execFileSync("chmod", ["-R", "u=rwX,go=rX", join(project, "certs")]);
    execFileSync("chmod", ["755", project]);
  }

  /** Starts a program as its service in compose.yaml does. */
  function up(name: ProgramName, args?: readonly string[]) {
    const { services, secrets } = readCompose();
    const { env_file = "", environment = {}, volumes = [], secrets: names = [] } = services[name] ?? {};
    const file = parseEnv(readFileSync(join(project, env_file), "utf8")) as Record<string, string>;
    const own = Object.entries(environment).map(([key, value]) => [key, interpolate(value, file)]);
    // Under compose each container has a network of its own. Here both programs share the machine's
    // network.
    own.push([`${name.toUpperCase()}_LISTEN`, "127.0.0.1:0"]);
    const binds: Bind[] = [
      ...volumes.flatMap((volume) => typeof volume === "string" ? [] : [volume]).map((volume) => {
        return { ...volume, isReadOnly: volume.read_only === true };
      }),
      ...names.map((secret) => {
        return { source: secrets[secret]?.file ?? "", target: `/run/secrets/${secret}`, isReadOnly: true };
      }),
    ].map(({ source, target, isReadOnly }) => ({ source: resolve(project, source), target, isReadOnly }));
    const options = { images: place, env: { ...file, ...Object.fromEntries(own) }, binds };
    return startContainer(name, args === undefined ? options : { ...options, args });
  }

  it("the producer's image holds one program file", () => {
    expect(globSync("app/**", { cwd: join(place, "producer") }).filter((path) => path.endsWith(".js"))).toEqual([
      "app/producer.js",
    ]);
  });

  it.each(["producer", "consumer"] as const)("%s has no shell, and a user of its own", (name) => {
    expect(globSync("{usr/,}bin/{ba,da,}sh", { cwd: join(place, name) })).toEqual([]);
    expect(imageConfig(place, name)).toMatchObject({ User: "65532:65532", WorkingDir: "/app" });
  });

  it("are the whole job: every check is a row, and SIGTERM ends both with 0", async () => {
    // Makes the topic. Without it a consumer ends, and compose starts it again.
    const first = await up("producer", ["--once", "hosts.txt"]).ended;
    expect(first, first.stderr).toMatchObject({ code: 0 });
    await using producer = up("producer");
    await using consumer = up("consumer");
    const rows = async () => (await postgres.sql`select check_id from host_metrics`.catch(() => [])).length;
    await expect.poll(rows, { timeout: 60_000 }).toBeGreaterThan(3);
    producer.kill("SIGTERM");
    const { code, stderr } = await producer.ended;
    expect(code, stderr).toBe(0);
    const [, delivered = ""] = /, (\d+) metrics delivered/.exec(stderr) ?? [];
    await expect.poll(rows, { timeout: 30_000 }).toBe(Number(delivered) + 1);
    expect(site.requests.length).toBe(Number(delivered) + 1);
    consumer.kill("SIGTERM");
    const ended = await consumer.ended;
    expect(ended.code, ended.stderr).toBe(0);
    // The add-on is part of the image.
    expect(ended.stderr).toContain(`at ${broker.mtls} (librdkafka, `);
    expect(stderr).toContain(`at ${broker.mtls} (javascript, `);
  }, 120_000);

  it("end with 2 and a clear word where a setting is wrong", async () => {
    await using producer = up("producer", ["--timeout", "never", "hosts.txt"]);
    expect(await producer.ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--timeout (CHECK_TIMEOUT)"),
    });
  });
});

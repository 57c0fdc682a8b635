import { execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../tools/bundle/bundle.ts";
import type { KafkaServer } from "../tools/kafka/kafka.ts";
import { blocksIn, commandsOf } from "./support/documents.ts";
import { eventually } from "./support/eventually.ts";
import { temporaryKafka } from "./support/kafka.ts";
import { startPostgres, type TestPostgres } from "./support/postgres.ts";
import { answer, openSite, type Site } from "./support/site.ts";

// The units of deploy/systemd. The commands of docs/production.md install them, and a systemd in a
// container starts them. .ci/images makes the container's folder.

const root = process.env.HOST_CHECKER_SYSTEMD;
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const UNITS = ["host-checker-producer", "host-checker-consumer"] as const;

if (root === undefined) console.warn("The systemd units are not started here: .ci/images does");

describe.runIf(root !== undefined)("the units", () => {
  let broker: KafkaServer;
  let postgres: TestPostgres;
  let site: Site;
  let systemd = 0;
  let said = "";

  /** Runs a command in the container. */
  function inside(...command: string[]) {
    const { status, stdout, stderr } = spawnSync(
      "nsenter",
      ["-t", String(systemd), "-m", "-p", "-u", "-i", ...command],
      {
        encoding: "utf8",
      },
    );
    return { status, said: `${stdout}${stderr}`.trim() };
  }

  beforeAll(async () => {
    [broker, postgres, site] = await Promise.all([
      temporaryKafka(),
      startPostgres({ own: true }),
      openSite((socket) => void socket.end(answer("200 OK", {}, "fine"))),
    ]);
    const project = join(root as string, "srv/project");
    mkdirSync(join(project, "secrets"), { recursive: true });
    for (const path of ["deploy", "certs"]) cpSync(join(ROOT, path), join(project, path), { recursive: true });
    await bundle(join(project, "dist"));
    const { port, name, user, password } = postgres.settings;
    writeFileSync(join(project, "secrets/db_password"), `${password ?? "none"}\n`);
    writeFileSync(join(project, "hosts.txt"), `http://127.0.0.1:${site.port}/ 1s (fine)\n`);
    const { caFile, keyFile, certFile } = broker.certificates;
    cpSync(caFile, join(project, "certs/ssl_ca_file.pem"));
    cpSync(keyFile, join(project, "certs/ssl_key_file.key"));
    cpSync(certFile, join(project, "certs/ssl_cert_file.cert"));
    cpSync(join(ROOT, "env.example"), join(project, "env"));
    appendFileSync(
      join(project, "env"),
      [
        "",
        `KAFKA_BOOTSTRAP_SERVERS=${broker.mtls}`,
        "KAFKA_PARTITIONS=3",
        "KAFKA_SSL_CA_FILE=certs/ssl_ca_file.pem",
        "KAFKA_SSL_KEY_FILE=certs/ssl_key_file.key",
        "KAFKA_SSL_CERT_FILE=certs/ssl_cert_file.cert",
        `DB_HOST=127.0.0.1\nDB_PORT=${port}\nDB_NAME=${name}\nDB_USER=${user}\n`,
      ].join("\n"),
    );
    const namespaces = ["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child"];
    const container = spawn("unshare", [...namespaces, ".ci/boot", root as string], { cwd: ROOT });
    for (const stream of [container.stdout, container.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => said += text);
    }
    await eventually(
      () => {
        const [child = ""] = readFileSync(`/proc/${container.pid}/task/${container.pid}/children`, "utf8").split(" ");
        systemd = Number(child);
        return systemd > 0 && inside("systemctl", "is-system-running").said === "running";
      },
      () => `systemd does not run:\n${said}`,
      { timeout: 60_000 },
    );
  });
  afterAll(async () => {
    if (systemd > 0) process.kill(systemd, "SIGKILL");
    await Promise.all([broker, postgres, site].map((part) => part?.[Symbol.asyncDispose]()));
  });

  it("install as docs/production.md says, store rows over mutual TLS, reload and stop", async () => {
    const block = blocksIn("sh").find(({ document, text }) =>
      document === "docs/production.md" && /useradd/.test(text)
    );
    const commands = commandsOf(block as NonNullable<typeof block>);
    expect(commands.length).toBeGreaterThan(7);
    const { status, said: installed } = inside("sh", "-ec", `cd /srv/project\n${commands.join("\n")}`);
    expect(status, installed).toBe(0);

    const journal = () =>
      inside("journalctl", "--no-pager", "-o", "cat", ...UNITS.flatMap((unit) => ["-u", unit])).said;
    const rows = async () =>
      (await postgres.sql`select check_id from host_metrics where is_valid`.catch(() => [])).length;
    await eventually(async () => await rows() > 3, () => `no rows:\n${journal()}`, { timeout: 60_000 });
    for (const unit of UNITS) expect(inside("systemctl", "is-active", unit).said).toBe("active");

    // The unit's own folder holds the spool. Nobody else may look into it.
    const state = join(root as string, "var/lib/host-checker");
    expect(readdirSync(join(state, "spool")).length).toBeGreaterThan(0);
    expect(execFileSync("stat", ["-c", "%a", state], { encoding: "utf8" })).toBe("700\n");

    writeFileSync(join(root as string, "etc/host-checker/hosts.txt"), `http://127.0.0.1:${site.port}/other 1s\n`);
    expect(inside("systemctl", "reload", "host-checker-producer").status).toBe(0);
    await eventually(() => journal().includes("read again, 1 host"), () => `not read again:\n${journal()}`);

    inside("systemctl", "stop", ...UNITS);
    for (const unit of UNITS) {
      expect(inside("systemctl", "show", "-p", "Result", "-p", "ExecMainStatus", unit).said, journal()).toBe(
        "Result=success\nExecMainStatus=0",
      );
    }
  }, 180_000);
});

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { type Option, OPTIONS } from "../lib/config/options.ts";
import { bundleFlags } from "./support/bundle_flags.ts";
import { interpolate, readCompose } from "./support/compose.ts";

// The files that people get to run the programs. They fit together, and linters find no fault.

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const run = (command: string, ...args: string[]) => spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
const PROGRAMS = ["producer", "consumer"] as const;
const variables = Object.values<Option>(OPTIONS).flatMap(({ variable }) => variable ?? []);

/** The names of the consumer's secrets, which the producer must not have. */
const secretsOfTheConsumer = Object.values<Option>(OPTIONS)
  .filter(({ isSecret, programs, variable = "" }) =>
    !programs.includes("producer") && (isSecret || /PASSWORD/.test(variable))
  )
  .flatMap(({ variable }) => variable ?? []);

it("there are secrets that the consumer alone has a setting for", () => {
  expect(secretsOfTheConsumer.toSorted()).toEqual([
    "CANARY",
    "DATABASE_URL",
    "DB_PASSWORD",
    "DB_PASSWORD_FILE",
    "NOTIFY",
  ]);
});

describe.each(PROGRAMS)("Dockerfile.%s", (program) => {
  const file = `Dockerfile.${program}`;
  const text = read(file);
  const instruction = (name: string) => [...text.matchAll(new RegExp(`^${name} (.*)$`, "gm"))].map(([, rest]) => rest);

  it("passes dockerfile-utils", () => {
    expect(run("dockerfile-utils", "lint", file)).toMatchObject({ status: 0, stdout: "" });
  });

  it("takes every base image from a build argument with a public default", () => {
    const bases = instruction("FROM").map((from) => from?.split(" ")[0]);
    expect(bases.filter((base) => !/^\$\{[A-Z]+_IMAGE\}$/.test(base ?? ""))).toEqual([]);
    for (const argument of instruction("ARG")) expect(argument).toMatch(/^[A-Z]+_IMAGE=[a-z.]+\/[\w./-]+:[\w.-]+$/);
  });

  it("copies only what .dockerignore lets in", () => {
    const allowed = read(".dockerignore").split("\n").filter((line) => line.startsWith("!")).map((line) =>
      line.slice(1)
    );
    const copied = instruction("COPY").filter((rest) => !rest?.startsWith("--from"))
      .flatMap((rest) => rest?.split(" ").slice(0, -1) ?? []);
    expect(copied.filter((path) => !allowed.some((root) => path === root || path.startsWith(`${root}/`)))).toEqual([]);
    expect(copied.filter((path) => globSync(path, { cwd: ROOT }).length === 0)).toEqual([]);
  });

  it("asks the program itself whether it works, at a port of loopback", () => {
    const [health = ""] = instruction("HEALTHCHECK");
    const [entry = "[]"] = instruction("ENTRYPOINT");
    expect(JSON.parse(health.replace(/^.*CMD /, ""))).toEqual([...JSON.parse(entry) as string[], "--health"]);
    expect(instruction("ENV")).toEqual(["LISTEN=127.0.0.1:9464"]);
  });

  it("runs as a user of its own, by number, so that Kubernetes can see that it is not root", () => {
    expect(instruction("USER")).toEqual(["65532:65532"]);
  });
});

it("Dockerfile.producer gives Deno the rights that deno.json gives", () => {
  const [, entry = "[]"] = /^ENTRYPOINT (.*)$/m.exec(read("Dockerfile.producer")) ?? [];
  expect(JSON.parse(entry)).toEqual(["/usr/local/bin/deno", ...bundleFlags("producer"), "/app/producer.js"]);
});

it("the images are built with the tools' versions that the project is tested with", () => {
  const { dependencies } = JSON.parse(read("tools/runtimes/package.json")) as { dependencies: Record<string, string> };
  expect(read("Dockerfile.producer")).toContain(`denoland/deno:bin-${dependencies.deno}`);
  const major = dependencies.node?.split(".")[0];
  for (const program of PROGRAMS) expect(read(`Dockerfile.${program}`)).toContain(`library/node:${major}-bookworm`);
  const own = JSON.parse(read("tools/bundle/package.json")) as { dependencies: Record<string, string> };
  const root = JSON.parse(read("package.json")) as { devDependencies: Record<string, string> };
  expect(own.dependencies).toEqual({ rolldown: root.devDependencies.rolldown });
});

describe("compose.yaml", () => {
  const { services, secrets } = readCompose();

  it("passes dclint", () => {
    expect(run("dclint", "compose.yaml", "--max-warnings", "0")).toMatchObject({ status: 0 });
  });

  it("starts both programs by default, and the services only with the profile local", () => {
    const byDefault = Object.entries(services).filter(([, { profiles }]) => profiles === undefined).map(([name]) =>
      name
    );
    expect(byDefault.toSorted()).toEqual(PROGRAMS.toSorted());
    const others = Object.values(services).flatMap(({ profiles = [] }) => profiles);
    expect(new Set(others)).toEqual(new Set(["local"]));
  });

  it.each(PROGRAMS)(
    "%s runs without rights, from its Dockerfile, and does without the services of the profile",
    (name) => {
      expect(services[name]).toMatchObject({
        build: { context: ".", dockerfile: `Dockerfile.${name}` },
        user: "${HOST_CHECKER_USER:-65532:65532}",
        read_only: true,
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges:true"],
        env_file: "env",
      });
      for (const { required } of Object.values(services[name]?.depends_on ?? {})) expect(required).toBe(false);
    },
  );

  it("gives the password to the consumer and to PostgreSQL only", () => {
    const holders = Object.entries(services).filter(([, { secrets = [] }]) => secrets.includes("db_password"));
    expect(holders.map(([name]) => name).toSorted()).toEqual(["consumer", "postgres"]);
    expect(secrets.db_password?.file).toBe("./secrets/db_password");
  });

  it("keeps the secrets of the consumer's settings from the producer, wherever env holds them", () => {
    const { environment = {} } = services["producer"] ?? {};
    expect(secretsOfTheConsumer.filter((name) => environment[name] !== "")).toEqual([]);
  });

  it("names the services of the profile local as env.example does", () => {
    const env = read("env.example");
    const aliases = Object.values(services).flatMap(({ networks }) => networks?.default.aliases ?? []);
    expect(aliases).toHaveLength(2);
    for (const alias of aliases) expect(env).toMatch(new RegExp(`^\\w+=${alias}\\b`, "m"));
  });

  it("publishes the port of each program on loopback, or where its own variable says", () => {
    const published = (env: Readonly<Record<string, string>>) =>
      PROGRAMS.map((name) => services[name]?.ports?.map((port) => interpolate(port, env)));
    expect(published({})).toEqual([["127.0.0.1:9464:9464"], ["127.0.0.1:9465:9464"]]);
    expect(published({ LISTEN: "127.0.0.1:1", PRODUCER_LISTEN: "0.0.0.0:80", CONSUMER_LISTEN: "0.0.0.0:81" }))
      .toEqual([["0.0.0.0:80:9464"], ["0.0.0.0:81:9464"]]);
    for (const name of PROGRAMS) {
      expect(services[name]?.environment).toMatchObject({ [`${name.toUpperCase()}_LISTEN`]: "0.0.0.0:9464" });
    }
  });

  it("lets any number of producers start: no name, port or folder belongs to one of them", () => {
    const { producer } = services;
    expect(producer).toBeDefined();
    const isOfOne = (key: string) => /^(container_name|hostname|deploy|scale)$/.test(key);
    expect(Object.keys(producer ?? {}).filter(isOfOne)).toEqual([]);
    // The command of docs/production.md.
    const env = { PRODUCER_LISTEN: "127.0.0.1:9470-9472", CHECK_SPOOL: "" };
    expect(read("docs/production.md")).toContain(
      `PRODUCER_LISTEN=${env.PRODUCER_LISTEN} docker compose --env-file env up --detach --scale producer=3`,
    );
    expect(producer?.ports?.map((port) => interpolate(port, env))).toEqual(["127.0.0.1:9470-9472:9464"]);
    const spool = interpolate(producer?.environment?.CHECK_SPOOL ?? "", {});
    const written = (producer?.volumes ?? []).filter((volume) => typeof volume === "string" || !volume.read_only);
    expect(written).toMatchObject([{ target: spool }]);
    expect(interpolate(producer?.environment?.CHECK_SPOOL ?? "", env)).toBe("");
  });

  it("sets no variable that the programs do not know", () => {
    const set = PROGRAMS.flatMap((name) => Object.keys(services[name]?.environment ?? {}));
    expect(set.filter((name) => !variables.includes(name))).toEqual([]);
  });
});

describe("make config", () => {
  const project = mkdtempSync(join(tmpdir(), "test-ship-"));
  afterAll(() => rmSync(project, { recursive: true, force: true }));
  for (const file of ["Makefile", "env.example", "hosts.txt.example"]) cpSync(join(ROOT, file), join(project, file));
  const config = () => execFileSync("make", ["config"], { cwd: project, encoding: "utf8" });

  it("makes what is to be edited, and keeps secrets from others", () => {
    config();
    expect(readFileSync(join(project, "env"), "utf8")).toBe(read("env.example"));
    expect(readFileSync(join(project, "hosts.txt"), "utf8")).toBe(read("hosts.txt.example"));
    expect(readFileSync(join(project, "secrets/db_password"), "utf8")).toMatch(/^made-by-make-config-[\w-]{24}\n$/);
    const modes = ["env", "hosts.txt", "secrets", "spool"].map((path) =>
      (statSync(join(project, path)).mode & 0o077).toString(8)
    );
    // A program that root starts becomes another user, in a group of its own.
    expect(modes).toEqual(["0", process.getuid?.() === 0 ? "40" : "0", "0", "0"]);
    expect(statSync(join(project, "certs")).isDirectory()).toBe(true);
  });

  it("never writes over a file that is there", () => {
    const files = ["env", "hosts.txt", "secrets/db_password"];
    for (const file of files) writeFileSync(join(project, file), "mine\n");
    expect(config()).toBe("");
    expect(files.map((file) => readFileSync(join(project, file), "utf8"))).toEqual(files.map(() => "mine\n"));
  });

  it("makes nothing that git would take", () => {
    const made = [
      "env",
      "hosts.txt",
      "secrets/db_password",
      "certs/ssl_ca_file.pem",
      "certs/ssl_key_file.key",
      "spool/spool.sqlite",
    ];
    expect(run("git", "check-ignore", ...made).stdout.trim().split("\n")).toEqual(made);
  });
});

describe("deploy/", () => {
  const manifests = globSync("deploy/kubernetes/*.yaml", { cwd: ROOT }).filter((path) => !path.includes("kustom"));

  it("kustomization.yaml lists every manifest", () => {
    const { resources } = parse(read("deploy/kubernetes/kustomization.yaml")) as { resources: string[] };
    expect(resources.map((name) => `deploy/kubernetes/${name}`).toSorted()).toEqual(manifests.toSorted());
  });

  it("the manifests set variables that the programs know", () => {
    const { data } = parse(read("deploy/kubernetes/settings.yaml")) as { data: Record<string, string> };
    expect(Object.keys(data).filter((name) => !variables.includes(name))).toEqual([]);
    for (const path of manifests) expect(parseAllDocuments(read(path))).toHaveLength(1);
  });

  it("every way to run the producer gives it a folder for its spool that it may write to", () => {
    const target = "/app/spool";
    const { environment, volumes = [] } = readCompose().services.producer ?? {};
    expect(environment).toMatchObject({ CHECK_SPOOL: `\${CHECK_SPOOL-${target}}` });
    const mount = volumes.find((volume) => typeof volume === "object" && volume.target === target);
    expect(mount).toMatchObject({ type: "bind", source: "./spool" });
    expect(mount).not.toHaveProperty("read_only");

    const { spec } = (parse(read("deploy/kubernetes/producer.yaml")) as Deployment).spec.template;
    const [container] = spec.containers;
    expect(container?.env).toContainEqual({ name: "CHECK_SPOOL", value: target });
    expect(container?.volumeMounts).toContainEqual({ name: "spool", mountPath: target });
    expect(spec.volumes.map(({ name }) => name)).toContain("spool");
    expect(spec.securityContext).toMatchObject({ fsGroup: 65532 });

    const unit = read("deploy/systemd/host-checker-producer.service").split("\n");
    expect(unit).toContain("StateDirectory=host-checker");
    const set = unit.indexOf("Environment=CHECK_SPOOL=/var/lib/host-checker/spool");
    // The user's file stands below it, and so overrides it.
    expect(unit.findIndex((line) => line.startsWith("EnvironmentFile="))).toBeGreaterThan(set);
    expect(set).toBeGreaterThan(0);
  });

  it("no two programs of one machine listen at the same address", () => {
    const addresses = PROGRAMS.map((name) => {
      const unit = read(`deploy/systemd/host-checker-${name}.service`);
      const [line, address] = new RegExp(`^Environment=${name.toUpperCase()}_LISTEN=(.*)$`, "m").exec(unit) ?? [];
      // The user's file stands below it, and so overrides it.
      expect(unit.indexOf("EnvironmentFile=")).toBeGreaterThan(unit.indexOf(line ?? "no such line"));
      return address;
    });
    expect(addresses).toEqual(["127.0.0.1:9464", "127.0.0.1:9465"]);
    const { data } = parse(read("deploy/kubernetes/settings.yaml")) as { data: Record<string, string> };
    expect(data).toMatchObject({ PRODUCER_LISTEN: "0.0.0.0:9464", CONSUMER_LISTEN: "0.0.0.0:9464" });
    for (const path of manifests.filter((path) => /(?:producer|consumer)\.yaml$/.test(path))) {
      expect(read(path)).toContain("containerPort: 9464 }");
    }
  });

  it("the producer's pods are a group, and are taken away one at a time", () => {
    const { spec } = parse(read("deploy/kubernetes/producer.yaml")) as Deployment;
    const budget = (parse(read("deploy/kubernetes/disruption.yaml")) as Pick<Deployment, "spec">).spec;
    const { data } = parse(read("deploy/kubernetes/settings.yaml")) as { data: Record<string, string> };
    expect(spec).toMatchObject({ replicas: 3, strategy: { rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } } });
    expect(data.CHECK_GROUP).toMatch(/^[\w.-]+$/);
    expect(budget).toMatchObject({ maxUnavailable: 1, selector: spec.selector });
  });

  it("the producer's pod and unit unset the secrets of the consumer", () => {
    const { spec } = (parse(read("deploy/kubernetes/producer.yaml")) as Deployment).spec.template;
    const env = spec.containers[0]?.env ?? [];
    for (const name of secretsOfTheConsumer) expect(env).toContainEqual({ name, value: "" });
    const [, unset = ""] = /^UnsetEnvironment=(.*)$/m.exec(read("deploy/systemd/host-checker-producer.service")) ?? [];
    expect(unset.split(" ").toSorted()).toEqual(secretsOfTheConsumer.toSorted());
  });

  it("the consumer's image and its unit start Node without flags, as a user would", () => {
    const [, entry = "[]"] = /^ENTRYPOINT (.*)$/m.exec(read("Dockerfile.consumer")) ?? [];
    const [, started = ""] = /^ExecStart=(.*)$/m.exec(read("deploy/systemd/host-checker-consumer.service")) ?? [];
    const NODE = "/usr/local/bin/node";
    const flags = (words: readonly string[]) => words.filter((word) => word.startsWith("--"));
    expect([JSON.parse(entry), started.split(" ")].map((words: string[]) => words[0])).toEqual([NODE, NODE]);
    expect(flags(JSON.parse(entry) as string[])).toEqual([]);
    expect(flags(started.split(" "))).toEqual([]);
  });

  it("the documentation names the flag that the producer's unit gives Node", () => {
    const [, flag] = /^ExecStart=\S+node (--\S+) /m.exec(read("deploy/systemd/host-checker-producer.service")) ?? [];
    expect(flag).toMatch(/^--max-semi-space-size=\d$/);
    expect(read("docs/production.md")).toContain(`\`${flag}\``);
  });

  it.skipIf(run("systemd-analyze", "--version").status !== 0)("systemd finds the units well hardened", () => {
    for (const unit of globSync("deploy/systemd/*.service", { cwd: ROOT })) {
      const { stdout, stderr } = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit);
      expect(`${stdout}${stderr}`).toContain("OK");
      const complaints = run("systemd-analyze", "verify", unit).stderr.split("\n").filter((line) => line !== "");
      expect(complaints.filter((line) => !line.includes("/usr/local/bin/node is not executable"))).toEqual([]);
    }
  });
});

/** The parts of a manifest that the tests look at. */
interface Deployment {
  readonly spec: {
    readonly selector: object;
    readonly template: {
      readonly spec: {
        readonly securityContext: unknown;
        readonly containers: readonly { readonly env: unknown; readonly volumeMounts: unknown }[];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

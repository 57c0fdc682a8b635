import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, fstatSync, openSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { onStopSignal } from "../../lib/program/stop_signals.ts";
import { freePorts } from "../free_ports.ts";
import { isMade, madeOnce } from "../made_once.ts";
import { type Certificates, makeCertificates, makeServerStore } from "./certificates.ts";
import { type DataFolders, format, isFormatted, NODE_ID } from "./formatted.ts";

const run = promisify(execFile);
const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, "../..");

/** The folder of the logs, in that of the broker. */
const DATA = "data";

/** Milliseconds that a broker may take until it answers; it takes 3 s on an idle machine. */
const START_LIMIT = 90_000;
/** What a broker logs when all its listeners are open. */
const STARTED = "Kafka Server started";
/** Milliseconds that a broker may take to end by itself. */
const STOP_LIMIT = 10_000;
/** The archive with the broker's classes, and milliseconds that Java may take to write it. */
const ARCHIVE = "classes.jsa";
const ARCHIVE_LIMIT = 60_000;

export interface KafkaServerOptions {
  /** Holds data, certificates and log; made if missing, and taken up again if not. */
  readonly directory: string;
  /** 0 or absent: any free port. */
  readonly plainPort?: number;
  readonly mtlsPort?: number;
  /** Adds a listener whose certificate is for another name: clients that look must refuse it. */
  readonly misnamed?: boolean;
  /** Adds a listener whose certificate has expired. */
  readonly expired?: boolean;
  /** Adds a listener with TLS at which one logs in by name and password. */
  readonly sasl?: boolean;
  /** More who may log in with SCRAM. */
  readonly users?: Readonly<Record<string, string>>;
  /** More of the broker's settings. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * Who may log in at the listener for that, with any mechanism; what `blocked` may do is for access
 * control lists to say.
 */
export const USERS = { checker: "checkers-secret", blocked: "blockeds-secret" } as const;

/** A running broker; ends when it is disposed. The addresses stay the same over `kill` and `restart`. */
export interface KafkaServer extends AsyncDisposable {
  /** `host:port` of the listener without TLS. */
  readonly plain: string;
  /** `host:port` of the listener that wants a client certificate. */
  readonly mtls: string;
  /** `host:port` of the listener with the wrong name; empty without `misnamed`. */
  readonly misnamed: string;
  /** `host:port` of the listener with the expired certificate; empty without `expired`. */
  readonly expired: string;
  /** `host:port` of the listener for logins; empty without `sasl`. */
  readonly sasl: string;
  readonly certificates: Certificates;
  /** Where the logs of the topics are. */
  readonly data: string;
  /** What it says: the file that it logs to. */
  readonly log: string;
  /** The broker's process. */
  readonly pid: number;
  /** Resolves when the broker's process has ended, whoever ended it. */
  readonly ended: () => Promise<void>;
  /** Ends the process with no warning, as a power cut would. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, and waits until it answers. */
  restart(): Promise<void>;
}

/** What this machine lacks to run a broker, with what to install; null where it can. */
export function reasonMissing(): string | null {
  const fetching = [["mvn", "--version", "Maven (apt-get install maven)"]] as const;
  const wanted = [
    ["java", "-version", "Java 17 or newer (apt-get install openjdk-17-jre-headless)"],
    ["openssl", "version", "OpenSSL (apt-get install openssl)"],
    ...(isMade(jarsName()) ? [] : fetching),
  ] as const;
  const missing = wanted.filter(([command, flag]) => spawnSync(command, [flag]).status !== 0);
  if (missing.length === 0) return null;
  return `a Kafka broker needs ${missing.map(([, , what]) => what).join(" and ")}`;
}

/**
 * Starts one broker on loopback, with TLS and without, and waits until it answers. Rejects with its
 * log where it does not.
 */
export async function startKafka(options: KafkaServerOptions): Promise<KafkaServer> {
  const lib = await fetchJars();
  return await openBroker(options, lib, await sharingClasses(lib));
}

async function openBroker(options: KafkaServerOptions, lib: string, java: JavaOptions): Promise<KafkaServer> {
  const directory = resolve(options.directory);
  await mkdir(directory, { recursive: true });
  const certificates = await makeCertificates(join(directory, "certs"));
  const [controller, plain, mtls, misnamed, expired, sasl] = await freePorts(6);
  const ports: Ports = {
    controller: controller as number,
    plain: options.plainPort || plain as number,
    mtls: options.mtlsPort || mtls as number,
    misnamed: options.misnamed ? misnamed as number : null,
    expired: options.expired ? expired as number : null,
    sasl: options.sasl ? sasl as number : null,
  };
  for (const port of [options.plainPort, options.mtlsPort]) if (port) await assertFree(port);
  const settings = await writeSettings(directory, certificates, ports, options.settings);
  const folders = foldersOf(join(directory, DATA), options.settings);
  if (!isFormatted(folders)) {
    await format(folders, { lib, javaFlags: JAVA_FLAGS, users: { ...USERS, ...options.users } });
  }
  const broker = new Broker(directory, lib, java, settings, certificates, ports);
  await broker.restart();
  return broker;
}

/** The folders of a broker: `data`, if its settings name no others. */
function foldersOf(data: string, settings: Readonly<Record<string, string>> = {}): DataFolders {
  const logs = (settings["log.dirs"] ?? data).split(",");
  return { logs, metadata: settings["metadata.log.dir"] ?? logs[0] ?? data };
}

interface Ports {
  readonly controller: number;
  readonly plain: number;
  readonly mtls: number;
  readonly misnamed: number | null;
  readonly expired: number | null;
  readonly sasl: number | null;
}

class Broker implements KafkaServer {
  readonly plain: string;
  readonly mtls: string;
  readonly misnamed: string;
  readonly expired: string;
  readonly sasl: string;
  readonly certificates: Certificates;
  readonly data: string;
  readonly log: string;
  readonly #lib: string;
  readonly #java: JavaOptions;
  readonly #settings: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  constructor(
    directory: string,
    lib: string,
    java: JavaOptions,
    settings: string,
    certificates: Certificates,
    ports: Ports,
  ) {
    this.log = join(directory, "broker.log");
    this.data = join(directory, DATA);
    this.#lib = lib;
    this.#java = java;
    this.#settings = settings;
    this.#port = ports.plain;
    this.certificates = certificates;
    this.plain = `localhost:${ports.plain}`;
    this.mtls = `localhost:${ports.mtls}`;
    this.misnamed = ports.misnamed === null ? "" : `localhost:${ports.misnamed}`;
    this.expired = ports.expired === null ? "" : `localhost:${ports.expired}`;
    this.sasl = ports.sasl === null ? "" : `localhost:${ports.sasl}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  async restart(): Promise<void> {
    const log = openSync(this.log, "a");
    const { size: before } = fstatSync(log);
    const logging = `-Dlog4j2.configurationFile=${join(HERE, "log4j2.properties")}`;
    // A process group of its own: the terminal's Ctrl-C must not end it before its starter does, in order.
    const options = { stdio: ["ignore", log, log] as ["ignore", number, number], detached: true };
    const args = [...JAVA_FLAGS, ...this.#java.flags, logging, "-cp", `${this.#lib}/*`, "kafka.Kafka", this.#settings];
    this.#process = spawn("java", args, options);
    try {
      await untilAnswering(this.#port, this.#process);
      // Another broker may have taken the port, and have answered in the place of this one.
      await this.#untilSaid(STARTED, before);
    } catch (error) {
      await this.kill();
      const said = await readFile(this.log, "utf8");
      throw new Error(`The Kafka broker did not start:\n${said.slice(-2000)}`, { cause: error });
    }
  }

  /** Waits until the broker has logged `words` behind the first `from` bytes of the log. */
  async #untilSaid(words: string, from: number): Promise<void> {
    const child = this.#process as ChildProcess;
    while (!(await readFile(this.log)).subarray(from).includes(words)) {
      requireRunning(child);
      await delay(50);
    }
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async ended(): Promise<void> {
    if (this.#process !== undefined && isRunning(this.#process)) await once(this.#process, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end("SIGTERM");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#process === undefined || !isRunning(this.#process)) return;
    const child = this.#process;
    const exit = once(child, "exit");
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), this.#java.stopLimit);
    await exit;
    clearTimeout(late);
  }
}

/** One node for trying things out: little memory, and a quick start rather than a fast run. */
const JAVA_FLAGS = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];

interface JavaOptions {
  readonly flags: readonly string[];
  /** Milliseconds that the broker may take to end by itself. */
  readonly stopLimit: number;
}

/**
 * Lets brokers take their classes from an archive that the first one has left. Then a start takes
 * 1.8 s of a core instead of 2.9 s.
 */
async function sharingClasses(lib: string): Promise<JavaOptions> {
  const { stderr: version } = await run("java", ["-version"]);
  // Java takes an archive from the same Java and the same jars only.
  const hash = createHash("sha256").update(`${version}${lib}`).digest("hex").slice(0, 12);
  const folder = await madeOnce(`${basename(lib)}-classes-${hash}`, async (made) => {
    const directory = join(made, "broker");
    const flags = [`-XX:ArchiveClassesAtExit=${join(made, ARCHIVE)}`];
    {
      await using _broker = await openBroker({ directory }, lib, { flags, stopLimit: ARCHIVE_LIMIT });
    }
    await rm(directory, { recursive: true });
  });
  const archive = join(folder, ARCHIVE);
  return { flags: existsSync(archive) ? [`-XX:SharedArchiveFile=${archive}`] : [], stopLimit: STOP_LIMIT };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

function requireRunning(child: ChildProcess): void {
  if (!isRunning(child)) throw new Error(`The broker ended with ${child.exitCode ?? child.signalCode}`);
}

const POM = join(HERE, "pom.xml");

/** The folder of the broker's jars in `.cache/`: another version of pom.xml has another one. */
function jarsName(): string {
  return `kafka-${createHash("sha256").update(readFileSync(POM)).digest("hex").slice(0, 12)}`;
}

/** The folder with the broker's jars, fetched once for each version of pom.xml. */
export async function fetchJars(): Promise<string> {
  return await madeOnce(jarsName(), async (folder) => {
    await run("mvn", ["-q", "-B", "-f", POM, "dependency:copy-dependencies", `-DoutputDirectory=${folder}`]);
  });
}

const LOOPBACK = ["DNS:localhost", "IP:127.0.0.1"];
const ELSEWHERE = ["DNS:elsewhere.example"];

async function writeSettings(
  directory: string,
  certificates: Certificates,
  ports: Ports,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const certs = join(directory, "certs");
  const store = await makeServerStore(certs, "server", LOOPBACK);
  const listeners: [name: string, port: number][] = [["PLAIN", ports.plain], ["MTLS", ports.mtls]];
  if (ports.misnamed !== null) listeners.push(["MISNAMED", ports.misnamed]);
  if (ports.expired !== null) listeners.push(["EXPIRED", ports.expired]);
  if (ports.sasl !== null) listeners.push(["SASL", ports.sasl]);
  const settings = {
    "process.roles": "broker,controller",
    "node.id": String(NODE_ID),
    "controller.quorum.voters": `${NODE_ID}@127.0.0.1:${ports.controller}`,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    "listeners": [...listeners, ["CONTROLLER", ports.controller]].map(([n, p]) => `${n}://127.0.0.1:${p}`).join(","),
    "advertised.listeners": listeners.map(([n, p]) => `${n}://localhost:${p}`).join(","),
    "listener.security.protocol.map":
      "PLAIN:PLAINTEXT,MTLS:SSL,MISNAMED:SSL,EXPIRED:SSL,SASL:SASL_SSL,CONTROLLER:PLAINTEXT",
    "ssl.client.auth": "required",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": store,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": certificates.caFile,
    "log.dirs": join(directory, DATA),
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    // Messages may carry times of long ago, and are deleted by them: 30 s after the start, in the middle of a test.
    "log.retention.ms": "-1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    // After a kill the controller takes the broker back only when its old session is over: 9 s by default.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    ...(ports.misnamed === null ? {} : ownStore("misnamed", await makeServerStore(certs, "misnamed", ELSEWHERE))),
    ...(ports.expired === null ? {} : ownStore("expired", await makeServerStore(certs, "expired", LOOPBACK, 0))),
    ...(ports.sasl === null ? {} : saslSettings()),
    ...more,
  };
  const file = join(directory, "server.properties");
  await writeFile(file, Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join(""));
  return file;
}

function ownStore(listener: string, store: string): Record<string, string> {
  return {
    [`listener.name.${listener}.ssl.keystore.type`]: "PEM",
    [`listener.name.${listener}.ssl.keystore.location`]: store,
  };
}

function saslSettings(): Record<string, string> {
  const users = Object.entries(USERS).map(([name, password]) => `user_${name}="${password}"`).join(" ");
  const modules = "org.apache.kafka.common.security";
  return {
    "listener.name.sasl.ssl.client.auth": "none",
    "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.sasl.plain.sasl.jaas.config": `${modules}.plain.PlainLoginModule required ${users};`,
    "listener.name.sasl.scram-sha-256.sasl.jaas.config": `${modules}.scram.ScramLoginModule required;`,
    "listener.name.sasl.scram-sha-512.sasl.jaas.config": `${modules}.scram.ScramLoginModule required;`,
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
  };
}

/** Another broker on the port would answer in the place of the one that could not start. */
async function assertFree(port: number): Promise<void> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    throw new Error(
      `Port ${port} is in use: stop what listens there, or name other ports with --port and --mtls-port`,
      {
        cause: error,
      },
    );
  }
  await new Promise((closed) => server.close(closed));
}

async function untilAnswering(port: number, child: ChildProcess): Promise<void> {
  const limit = performance.now() + START_LIMIT;
  while (!await answers(port)) {
    requireRunning(child);
    if (performance.now() > limit) throw new Error(`The broker did not answer within ${START_LIMIT / 1000} s`);
    await delay(50);
  }
}

/** Asks for the API versions (key 18, version 0): an open port alone does not mean that the broker serves. */
function answers(port: number): Promise<boolean> {
  const request = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]);
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setTimeout(2000, () => socket.destroy());
    socket.on("data", () => {
      done(true);
      socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => done(false));
  });
}

/** `npm run kafka`: a broker in the foreground, until Ctrl-C. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "port": { type: "string", default: process.env.KAFKA_PORT || "9092" },
      "mtls-port": { type: "string", default: process.env.KAFKA_MTLS_PORT || "9093" },
      "directory": { type: "string", default: join(ROOT, ".kafka") },
    },
  });
  const missing = reasonMissing();
  if (missing !== null) throw new Error(missing);
  const ports = { plainPort: Number(values.port), mtlsPort: Number(values["mtls-port"]) };
  await using broker = await startKafka({ directory: values.directory, ...ports });
  const { caFile, keyFile, certFile } = broker.certificates;
  console.log(`Kafka is up. Paste this into the terminals of the producer and the consumer:

export KAFKA_BOOTSTRAP_SERVERS=${broker.mtls}
export KAFKA_TOPIC=host-metrics
export KAFKA_PARTITIONS=4
export KAFKA_SSL_CA_FILE=${caFile}
export KAFKA_SSL_KEY_FILE=${keyFile}
export KAFKA_SSL_CERT_FILE=${certFile}

Without TLS: KAFKA_BOOTSTRAP_SERVERS=${broker.plain} and none of the KAFKA_SSL_… variables.
Its data and its log (broker.log) are in ${values.directory}. Ctrl-C stops it.`);
  const stopped = new Promise<void>((resolve) => onStopSignal(() => resolve()));
  const why = await Promise.race([stopped, broker.ended().then(() => "ended")]);
  if (why === "ended") throw new Error(`The broker ended by itself: ${values.directory}/broker.log says why`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

import process from "node:process";
import { helpText, versionText } from "./help.ts";
import { nameOf, type OptionName, OPTIONS, optionsOf, type ProgramName } from "./options.ts";
import type { ColourVariables } from "./paint.ts";
import { type Environment, SettingsReader } from "./reader.ts";
import type {
  ClientChoice,
  Compression,
  ListenAddress,
  Login,
  LogLevel,
  SslMode,
  Start,
  TableName,
} from "./setting_types.ts";
import { systemTimeZone } from "./time_zone.ts";

export type { Environment, ProgramName };

/**
 * What came of a command line and an environment: settings, a text to print, a program to ask, or
 * everything that is wrong.
 */
export type Parsed<T> =
  | { readonly kind: "settings"; readonly settings: T }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "health"; readonly address: ListenAddress }
  | { readonly kind: "problems"; readonly problems: readonly string[] };

/** How to reach a Kafka topic. */
export interface KafkaSettings {
  readonly bootstrapServers: readonly string[];
  readonly topic: string;
  readonly client: ClientChoice;
  /** Enabled without a CA file: the system's CAs are trusted. */
  readonly ssl: {
    readonly enabled: boolean;
    readonly caFile: string | null;
    readonly keyFile: string | null;
    readonly certFile: string | null;
    /** What the key is encrypted with. */
    readonly keyPassword: string | null;
    /** The file that it stands in, to be read again with the others. */
    readonly keyPasswordFile: string | null;
  };
  /** Null: nobody logs in, but for a certificate. */
  readonly sasl: Login | null;
}

export interface ProducerSettings {
  /** Check on schedule, check every host once, or only print when hosts are due. */
  readonly mode: "run" | "once" | "check";
  /** Metrics go to standard output instead of Kafka. */
  readonly stdout: boolean;
  /** `-`: standard input. */
  readonly hostsFile: string;
  /** Of cron expressions: an IANA name. */
  readonly timeZone: string;
  /** Null where metrics do not go to Kafka; `partitions`: creates a missing topic with so many. */
  readonly kafka: (KafkaSettings & { readonly partitions: number | null; readonly compression: Compression }) | null;
  /** Seconds. */
  readonly timeout: number;
  readonly concurrency: number;
  readonly location: string | null;
  readonly shard: { readonly index: number; readonly count: number };
  /** Null: no HTTP port. */
  readonly listen: ListenAddress | null;
  /** The folder in which metrics wait for Kafka; null: they wait in memory only. */
  readonly spool: string | null;
  readonly blockPrivateAddresses: boolean;
  readonly logLevel: LogLevel;
}

export interface ServerSettings {
  readonly kind: "server";
  /** A name, an address, or the folder of a Unix socket (it starts with `/`). */
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly user: string;
  readonly password: string | null;
  readonly sslMode: SslMode;
  readonly sslCaFile: string | null;
}

export interface ConsumerSettings {
  readonly source: "kafka" | "stdin";
  /** Null where metrics do not come from Kafka. */
  readonly kafka: (KafkaSettings & { readonly group: string; readonly start: Start }) | null;
  /** Null only with `printSchema`. */
  readonly database: ServerSettings | { readonly kind: "embedded"; readonly directory: string } | null;
  readonly table: TableName;
  /** What `--query` asks; the program then does nothing else. */
  readonly query: string | null;
  readonly printSchema: boolean;
  readonly batchSize: number;
  /** Seconds. */
  readonly batchInterval: number;
  /** Null: no HTTP port. */
  readonly listen: ListenAddress | null;
  readonly logLevel: LogLevel;
}

/**
 * The environment variables that are a program's settings, each read by its name: Deno then needs
 * no right to all the others.
 */
export function environmentOf(program: ProgramName): Environment {
  const names = optionsOf(program).flatMap(([, { variable }]) => variable === undefined ? [] : [variable]);
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/** What the environment says of colours; nothing where Deno does not allow to look. */
export function colourVariables(): ColourVariables {
  try {
    const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
    return { NO_COLOR, FORCE_COLOR, TERM };
  } catch {
    return {};
  }
}

/**
 * The file of authorities that Deno trusts beside its own, which it tells nobody; null where there
 * is none or it may not be known.
 */
export function denoCertificatesFile(): string | null {
  try {
    return "Deno" in globalThis ? process.env.DENO_CERT || null : null;
  } catch {
    return null;
  }
}

/**
 * Reads the producer's command line (what follows the program's name) and environment. Reads secret
 * files, nothing else.
 */
export function readProducerSettings(args: readonly string[], environment: Environment): Parsed<ProducerSettings> {
  const reader = new SettingsReader("producer", args, environment);
  const told = tellOnly(reader, "producer");
  if (told !== null) return told;
  const stdout = reader.has("stdout");
  reader.refuse("once", ["check"]);
  reader.refuse("stdout", [...flagsOf("producer", "Kafka"), "spool"]);
  return finish(reader, {
    mode: reader.has("check") ? "check" : reader.has("once") ? "once" : "run",
    stdout,
    hostsFile: reader.commandLine.operands[0] ?? "",
    kafka: stdout ? null : readProducerKafka(reader),
    timeout: reader.optional("timeout"),
    concurrency: reader.optional("concurrency"),
    location: reader.optional("location"),
    shard: reader.optional("shard"),
    // To standard output nothing waits.
    spool: stdout ? null : reader.optional("spool"),
    blockPrivateAddresses: reader.has("blockPrivateAddresses") || (reader.optional("blockPrivateAddresses") ?? false),
    timeZone: reader.optional("timeZone") ?? systemTimeZone(),
    listen: readListen(reader, "producer"),
    logLevel: reader.optional("logLevel"),
  });
}

/**
 * Reads the consumer's command line (what follows the program's name) and environment. Reads secret
 * files, nothing else.
 */
export function readConsumerSettings(args: readonly string[], environment: Environment): Parsed<ConsumerSettings> {
  const reader = new SettingsReader("consumer", args, environment);
  const told = tellOnly(reader, "consumer");
  if (told !== null) return told;
  const [stdin, printSchema, asks] = [reader.has("stdin"), reader.has("printSchema"), reader.has("query")];
  reader.refuse("stdin", ["query", "printSchema", ...flagsOf("consumer", "Kafka")]);
  reader.refuse("query", ["printSchema"]);
  reader.refuse("embedded", SERVER_FLAGS);
  if (asks && !reader.has("embedded")) {
    reader.problems.push("--query asks an embedded database only: add --embedded DIR; ask a server with psql");
  }
  return finish(reader, {
    source: stdin ? "stdin" : "kafka",
    kafka: stdin || printSchema || asks ? null : readConsumerKafka(reader),
    database: printSchema || (asks && !reader.has("embedded")) ? null : readDatabase(reader),
    table: reader.optional("dbTable"),
    query: reader.optional("query"),
    printSchema,
    batchSize: reader.optional("batchSize"),
    batchInterval: reader.optional("batchInterval"),
    listen: readListen(reader, "consumer"),
    logLevel: reader.optional("logLevel"),
  });
}

/**
 * Null where the program is to do its work: --help, --version and --health answer whatever else is
 * on the command line.
 */
function tellOnly(reader: SettingsReader, program: ProgramName): Parsed<never> | null {
  if (reader.has("help")) return { kind: "text", text: helpText(program) };
  if (reader.has("version")) return { kind: "text", text: versionText() };
  if (!reader.has("health")) return null;
  const address = readListen(reader, program);
  if (address === null && reader.problems.length === 0) {
    reader.problems.push(`${listenSetting(program)} is missing: write the address at which the program listens`);
  }
  return address === null || reader.problems.length > 0
    ? { kind: "problems", problems: reader.problems }
    : { kind: "health", address };
}

const OWN_LISTEN = { producer: "producerListen", consumer: "consumerListen" } as const;

/** How messages name what says where a program listens. */
export function listenSetting(program: ProgramName): string {
  return `${nameOf(OPTIONS.listen)} or ${nameOf(OPTIONS[OWN_LISTEN[program]])}`;
}

/** The flag, else the program's own variable, else that of both. */
function readListen(reader: SettingsReader, program: ProgramName): ListenAddress | null {
  const own = OWN_LISTEN[program];
  return reader.has("listen") || reader.originOf(own) === null ? reader.optional("listen") : reader.optional(own);
}

/** Settings some of which may be null because a problem was noted. */
type Draft<T> = { readonly [K in keyof T]: T[K] | null };

/**
 * Without a problem, a setting that has a default or is required is there: null means a problem, or
 * what T says it means.
 */
function finish<T>(reader: SettingsReader, draft: Draft<T>): Parsed<T> {
  if (reader.problems.length > 0) return { kind: "problems", problems: reader.problems };
  return { kind: "settings", settings: draft as T };
}

function flagsOf(program: ProgramName, section: "Kafka" | "PostgreSQL"): OptionName[] {
  return optionsOf(program).filter(([, option]) => option.section === section).map(([name]) => name);
}

/** What an embedded database has no use for; a table and batches it has too. */
const SERVER_FLAGS = flagsOf("consumer", "PostgreSQL").filter((name) =>
  !["dbTable", "batchSize", "batchInterval"].includes(name)
);

/** --check needs no Kafka; where it is given all the same, it is read like the rest. */
function readProducerKafka(reader: SettingsReader): ProducerSettings["kafka"] {
  const isNeeded = !reader.has("check");
  const kafka = readKafka(reader, isNeeded);
  const partitions = reader.optional("partitions");
  const compression = reader.optional("compression");
  return kafka === null || compression === null ? null : { ...kafka, partitions, compression };
}

function readConsumerKafka(reader: SettingsReader): ConsumerSettings["kafka"] {
  const kafka = readKafka(reader, true);
  const [group, start] = [reader.optional("group"), reader.optional("start")];
  return kafka === null || group === null || start === null ? null : { ...kafka, group, start };
}

function readKafka(reader: SettingsReader, isNeeded: boolean): KafkaSettings | null {
  const read = <N extends "bootstrapServers" | "topic">(name: N, remedy: string) =>
    isNeeded ? reader.required(name, remedy) : reader.optional(name);
  const servers = read("bootstrapServers", "write the brokers, such as localhost:9092");
  const topic = read("topic", "write the name of the topic");
  const [client, ssl, sasl] = [reader.optional("kafkaClient"), readKafkaSsl(reader), readKafkaSasl(reader)];
  if (servers === null || topic === null || client === null) return null;
  return { bootstrapServers: servers, topic, client, ssl, sasl };
}

function readKafkaSsl(reader: SettingsReader): KafkaSettings["ssl"] {
  const caFile = reader.optional("kafkaSslCaFile");
  const keyFile = reader.optional("kafkaSslKeyFile");
  const certFile = reader.optional("kafkaSslCertFile");
  const keyPassword = reader.secret("kafkaSslKeyPassword", "kafkaSslKeyPasswordFile");
  const keyPasswordFile = reader.optional("kafkaSslKeyPasswordFile");
  const isWanted = reader.optional("kafkaSsl");
  if (keyFile !== null && certFile === null) reader.missing("kafkaSslCertFile", "a key needs its certificate");
  if (certFile !== null && keyFile === null) reader.missing("kafkaSslKeyFile", "a certificate needs its key");
  if (keyFile === null && certFile === null && (keyPassword ?? keyPasswordFile) !== null) {
    reader.missing("kafkaSslKeyFile", "a password for a key needs the key");
  }
  const enabled = isWanted ?? caFile !== null;
  if (!enabled && reader.originOf("kafkaSsl") === null && (keyFile !== null || certFile !== null)) {
    reader.problems.push(
      "a key and a certificate for Kafka need TLS: add --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), or set --kafka-ssl (KAFKA_SSL) to true",
    );
  }
  return { enabled, caFile, keyFile, certFile, keyPassword, keyPasswordFile };
}

/** All three parts or none. */
function readKafkaSasl(reader: SettingsReader): Login | null {
  const mechanism = reader.optional("kafkaSaslMechanism");
  const username = reader.optional("kafkaSaslUsername");
  const password = reader.secret("kafkaSaslPassword", "kafkaSaslPasswordFile");
  const given = SASL_OPTIONS.filter((name) => reader.originOf(name) !== null);
  if (given.length === 0) return null;
  if (!given.includes("kafkaSaslMechanism")) {
    reader.missing("kafkaSaslMechanism", "write plain, scram-sha-256 or scram-sha-512");
  }
  if (!given.includes("kafkaSaslUsername")) reader.missing("kafkaSaslUsername", "write the name to log in with");
  if (!given.includes("kafkaSaslPassword") && !given.includes("kafkaSaslPasswordFile")) {
    reader.missing("kafkaSaslPassword", "set it, or name a file in --kafka-sasl-password-file");
  }
  return mechanism === null || username === null || password === null ? null : { mechanism, username, password };
}

const SASL_OPTIONS = [
  "kafkaSaslMechanism",
  "kafkaSaslUsername",
  "kafkaSaslPassword",
  "kafkaSaslPasswordFile",
] as const satisfies readonly OptionName[];

function readDatabase(reader: SettingsReader): ConsumerSettings["database"] {
  if (!reader.has("embedded")) return readServer(reader);
  const directory = reader.optional("embedded");
  return directory === null ? null : { kind: "embedded", directory };
}

/** Each part from its own flag or variable, else from the URL. */
function readServer(reader: SettingsReader): ServerSettings | null {
  const url = reader.optional("dbUrl");
  if (reader.originOf("dbUrl") === "flag" && url?.password != null) {
    reader.problems.push(
      "--db-url holds a password, which everyone on the machine can see: use DATABASE_URL, or DB_PASSWORD",
    );
  }
  // A URL that could not be read may have named all of them: to call them missing too would mislead.
  const isTold = reader.originOf("dbUrl") !== null && url === null;
  const part = <N extends "dbHost" | "dbName" | "dbUser">(name: N, fromUrl: string | null | undefined) => {
    const value = reader.optional(name) ?? fromUrl ?? null;
    if (value === null && reader.originOf(name) === null && !isTold) {
      reader.missing(name, `${REMEDIES[name]}, or set DATABASE_URL`);
    }
    return value;
  };
  const host = part("dbHost", url?.host);
  const port = reader.optional("dbPort") ?? url?.port ?? DEFAULT_PORT;
  const name = part("dbName", url?.name);
  const user = part("dbUser", url?.user);
  const password = reader.secret("dbPassword", "dbPasswordFile") ?? url?.password ?? null;
  const sslMode = reader.optional("dbSslMode") ?? url?.sslMode ?? defaultSslMode(host ?? "");
  const sslCaFile = reader.optional("dbSslCaFile") ?? url?.sslCaFile ?? null;
  if (host === null || name === null || user === null) return null;
  return { kind: "server", host, port, name, user, password, sslMode, sslCaFile };
}

const DEFAULT_PORT = 5432;
const REMEDIES = {
  dbHost: "write the server's name",
  dbName: "write the database's name",
  dbUser: "write the role to log in as",
} as const;

/** A server on this machine is often set up without TLS; any other is not to be talked to without. */
function defaultSslMode(host: string): SslMode {
  if (host.startsWith("/")) return "disable";
  return /^(localhost\.?|127\.[\d.]+|::1)$/i.test(host) ? "prefer" : "require";
}

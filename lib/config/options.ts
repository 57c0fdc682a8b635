import type * as v from "valibot";
import { PARTITIONS } from "./setting_types.ts";
import {
  anyText,
  anything,
  databaseHost,
  databaseUrl,
  groupName,
  kafkaStart,
  keep,
  listenAddress,
  logLevel,
  oneOf,
  seconds,
  servers,
  shard,
  shortText,
  sslMode,
  tableName,
  type TextSchema,
  timeZone,
  topic,
  trueOrFalse,
  wholeNumber,
} from "./values.ts";

/** The names of the two programs. */
export type ProgramName = "producer" | "consumer";

/** A setting or a mode of a program, as a user sees it. */
export interface Option {
  /** Under which heading the help lists it. */
  readonly section: "Kafka" | "PostgreSQL" | "Checks" | "Modes" | "Other";
  readonly programs: readonly ProgramName[];
  /** Without the two dashes. */
  readonly flag?: string;
  readonly variable?: string;
  /** Stands for the value in the help; without it the flag takes none. */
  readonly placeholder?: string;
  /** What it is, for a person: follows "give" in a message. */
  readonly help: string;
  /** The text that counts where nothing is given. */
  readonly default?: string;
  /** For the help, where there is no `default`: what applies where nothing is given. */
  readonly otherwise?: string;
  readonly schema?: TextSchema;
  /** Its text never gets into a message. */
  readonly isSecret?: true;
}

const both = ["producer", "consumer"] as const;
const producer = ["producer"] as const;
const consumer = ["consumer"] as const;

/** Every option of both programs, in the order of the help. */
export const OPTIONS = {
  bootstrapServers: {
    section: "Kafka",
    programs: both,
    flag: "kafka-bootstrap-servers",
    variable: "KAFKA_BOOTSTRAP_SERVERS",
    placeholder: "HOST:PORT,...",
    help: "brokers to begin with",
    otherwise: "required",
    schema: servers,
  },
  topic: {
    section: "Kafka",
    programs: both,
    flag: "kafka-topic",
    variable: "KAFKA_TOPIC",
    placeholder: "NAME",
    help: "topic of the metrics",
    otherwise: "required",
    schema: topic,
  },
  partitions: {
    section: "Kafka",
    programs: producer,
    flag: "kafka-partitions",
    variable: "KAFKA_PARTITIONS",
    placeholder: "N",
    help: "creates the topic with N partitions if it is missing",
    otherwise: "the topic must exist",
    schema: wholeNumber(1, 10_000),
  },
  compression: {
    section: "Kafka",
    programs: producer,
    flag: "kafka-compression",
    variable: "KAFKA_COMPRESSION",
    placeholder: "NAME",
    help: "none, gzip, snappy, lz4 or zstd: what every consumer of the topic must be able to unpack",
    default: "lz4",
    schema: oneOf(["none", "gzip", "snappy", "lz4", "zstd"]),
  },
  group: {
    section: "Kafka",
    programs: consumer,
    flag: "kafka-group",
    variable: "KAFKA_GROUP",
    placeholder: "NAME",
    help: "consumers of one group share the topic's partitions",
    default: "host-checker",
    schema: anyText,
  },
  start: {
    section: "Kafka",
    programs: consumer,
    flag: "kafka-start",
    variable: "KAFKA_START",
    placeholder: "WHERE",
    help: "earliest, latest, or an ISO 8601 time: where a topic is begun of whose name the database has no mark yet",
    default: "earliest",
    schema: kafkaStart,
  },
  kafkaSslCaFile: {
    section: "Kafka",
    programs: both,
    flag: "kafka-ssl-ca-file",
    variable: "KAFKA_SSL_CA_FILE",
    placeholder: "FILE",
    help: "PEM certificate of the brokers' CA; turns TLS on",
    otherwise: "plain TCP",
    schema: anything,
  },
  kafkaSslKeyFile: {
    section: "Kafka",
    programs: both,
    flag: "kafka-ssl-key-file",
    variable: "KAFKA_SSL_KEY_FILE",
    placeholder: "FILE",
    help: "PEM private key for mutual TLS",
    schema: anything,
  },
  kafkaSslCertFile: {
    section: "Kafka",
    programs: both,
    flag: "kafka-ssl-cert-file",
    variable: "KAFKA_SSL_CERT_FILE",
    placeholder: "FILE",
    help: "PEM certificate that belongs to the key",
    schema: anything,
  },
  kafkaSslKeyPassword: {
    section: "Kafka",
    programs: both,
    variable: "KAFKA_SSL_KEY_PASSWORD",
    help: "what the key is encrypted with; no flag, which everyone on the machine could see",
    schema: anything,
    isSecret: true,
  },
  kafkaSslKeyPasswordFile: {
    section: "Kafka",
    programs: both,
    flag: "kafka-ssl-key-password-file",
    variable: "KAFKA_SSL_KEY_PASSWORD_FILE",
    placeholder: "FILE",
    help: "file that holds this password instead",
    schema: anything,
  },
  kafkaSsl: {
    section: "Kafka",
    programs: both,
    flag: "kafka-ssl",
    variable: "KAFKA_SSL",
    placeholder: "true|false",
    help: "TLS; without a CA file the system's CAs are trusted",
    otherwise: "true where a CA file is given",
    schema: trueOrFalse,
  },
  kafkaSaslMechanism: {
    section: "Kafka",
    programs: both,
    flag: "kafka-sasl-mechanism",
    variable: "KAFKA_SASL_MECHANISM",
    placeholder: "NAME",
    help: "logs in by name and password: plain, scram-sha-256 or scram-sha-512",
    schema: oneOf(["plain", "scram-sha-256", "scram-sha-512"]),
  },
  kafkaSaslUsername: {
    section: "Kafka",
    programs: both,
    flag: "kafka-sasl-username",
    variable: "KAFKA_SASL_USERNAME",
    placeholder: "NAME",
    help: "the name to log in with",
    schema: anyText,
  },
  kafkaSaslPassword: {
    section: "Kafka",
    programs: both,
    variable: "KAFKA_SASL_PASSWORD",
    help: "its password; no flag, which everyone on the machine could see",
    schema: anything,
    isSecret: true,
  },
  kafkaSaslPasswordFile: {
    section: "Kafka",
    programs: both,
    flag: "kafka-sasl-password-file",
    variable: "KAFKA_SASL_PASSWORD_FILE",
    placeholder: "FILE",
    help: "file that holds the password instead",
    schema: anything,
  },
  kafkaClient: {
    section: "Kafka",
    programs: both,
    flag: "kafka-client",
    variable: "KAFKA_CLIENT",
    placeholder: "NAME",
    help: "librdkafka (Node only), javascript, or auto: librdkafka where its add-on loads",
    default: "auto",
    schema: oneOf(["auto", "librdkafka", "javascript"]),
  },
  dbUrl: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-url",
    variable: "DATABASE_URL",
    placeholder: "URL",
    help: "postgres://user@host:port/name, for what the next four do not say; a password only in the variable",
    schema: databaseUrl,
    isSecret: true,
  },
  dbHost: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-host",
    variable: "DB_HOST",
    placeholder: "HOST",
    help: "the server, or the folder of its Unix socket",
    otherwise: "required",
    schema: databaseHost,
  },
  dbPort: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-port",
    variable: "DB_PORT",
    placeholder: "PORT",
    help: "its port",
    otherwise: "5432",
    schema: wholeNumber(1, 65_535),
  },
  dbName: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-name",
    variable: "DB_NAME",
    placeholder: "NAME",
    help: "the database",
    otherwise: "required",
    schema: anyText,
  },
  dbUser: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-user",
    variable: "DB_USER",
    placeholder: "ROLE",
    help: "the role to log in as",
    otherwise: "required",
    schema: anyText,
  },
  dbPassword: {
    section: "PostgreSQL",
    programs: consumer,
    variable: "DB_PASSWORD",
    help: "the role's password; no flag, which everyone on the machine could see",
    schema: anything,
    isSecret: true,
  },
  dbPasswordFile: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-password-file",
    variable: "DB_PASSWORD_FILE",
    placeholder: "FILE",
    help: "file that holds the password instead",
    schema: anything,
  },
  dbTable: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-table",
    variable: "DB_TABLE",
    placeholder: "TABLE",
    help: "table or schema.table, read as SQL reads a name",
    default: "host_metrics",
    schema: tableName,
  },
  dbPartition: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-partition",
    variable: "DB_PARTITION",
    placeholder: "LENGTH",
    help: "month, day or none: the parts of a table that is created; a table that exists stays as it is",
    default: "month",
    schema: oneOf(PARTITIONS),
  },
  dbKeep: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-keep",
    variable: "DB_KEEP",
    placeholder: "TIME",
    help: "how long rows are kept, such as 30days, 13months or 5years; older ones go, and older metrics are rejected",
    default: "all",
    schema: keep,
  },
  dbKeepRejected: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-keep-rejected",
    variable: "DB_KEEP_REJECTED",
    placeholder: "TIME",
    help: "how long rejected messages are kept",
    default: "all",
    schema: keep,
  },
  dbKeepDaily: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-keep-daily",
    variable: "DB_KEEP_DAILY",
    placeholder: "TIME",
    help: "how long the days that are rolled up are kept",
    default: "all",
    schema: keep,
  },
  dbKeepNow: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-keep-now",
    help: "a time to keep that was shortened counts at once; else it waits one day, and the log says what would go",
  },
  dbSslMode: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-ssl-mode",
    variable: "DB_SSL_MODE",
    placeholder: "MODE",
    help: "disable, prefer, require, verify-ca or verify-full, with their meaning in libpq",
    otherwise: "require; on loopback prefer",
    schema: sslMode,
  },
  dbSslCaFile: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "db-ssl-ca-file",
    variable: "DB_SSL_CA_FILE",
    placeholder: "FILE",
    help: "PEM certificate of the server's CA",
    otherwise: "the system's CAs",
    schema: anything,
  },
  batchSize: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "batch-size",
    variable: "DB_BATCH_SIZE",
    placeholder: "N",
    help: "writes when so many metrics wait; if set, also the most of one statement",
    default: "500",
    schema: wholeNumber(1, 100_000),
  },
  batchInterval: {
    section: "PostgreSQL",
    programs: consumer,
    flag: "batch-interval",
    variable: "DB_BATCH_INTERVAL",
    placeholder: "SECONDS",
    help: "or when the oldest metric has waited so long",
    default: "1",
    schema: seconds(0.001, 3600),
  },
  timeout: {
    section: "Checks",
    programs: producer,
    flag: "timeout",
    variable: "CHECK_TIMEOUT",
    placeholder: "SECONDS",
    help: "one deadline for a whole check: DNS, connect, TLS, every redirect, and the body",
    default: "10",
    schema: seconds(0.001, 3600),
  },
  concurrency: {
    section: "Checks",
    programs: producer,
    flag: "concurrency",
    variable: "CHECK_CONCURRENCY",
    placeholder: "N",
    help: "checks under way at the same time, at most; hosts that never answer get three quarters of it",
    // Measured by bench/fairness.ts: of 5,000 hosts every 10 s, 1,000 that never answer hold as
    // many slots for good. With 1,000 slots a quarter of their checks is missed, with 500 those of
    // live hosts are late until it is known who is dead; with 2,000 hardly any is; 4,000 made no
    // clear difference. A check under way takes 30 KB and one open file, of which many a system
    // allows 4,096.
    default: "2000",
    schema: wholeNumber(1, 100_000),
  },
  threads: {
    section: "Checks",
    programs: producer,
    flag: "threads",
    variable: "CHECK_THREADS",
    placeholder: "N",
    help: "threads that make the checks; cores are those that the program may use",
    otherwise: "cores less one, at least 1",
    schema: wholeNumber(1, 256),
  },
  location: {
    section: "Checks",
    programs: producer,
    flag: "location",
    variable: "CHECK_LOCATION",
    placeholder: "TEXT",
    help: "where the checks are made from, for the column of that name",
    schema: anyText,
  },
  shard: {
    section: "Checks",
    programs: producer,
    flag: "shard",
    variable: "CHECK_SHARD",
    placeholder: "I/N",
    help: "checks part I of N of the hosts, so that N producers share one file",
    default: "1/1",
    schema: shard,
  },
  producerGroup: {
    section: "Checks",
    programs: producer,
    flag: "group",
    variable: "CHECK_GROUP",
    placeholder: "NAME",
    help:
      "producers of one group divide the hosts among them, by the topic's partitions, and take over from one that dies",
    schema: groupName,
  },
  producerName: {
    section: "Checks",
    programs: producer,
    flag: "producer-name",
    variable: "CHECK_PRODUCER_NAME",
    placeholder: "TEXT",
    help: "who makes the checks, for the column producer",
    otherwise: "the machine's name",
    schema: shortText,
  },
  spool: {
    section: "Checks",
    programs: producer,
    flag: "spool",
    variable: "CHECK_SPOOL",
    placeholder: "DIR",
    help: "keeps the metrics that Kafka does not have yet in DIR, so that they outlive the producer",
    otherwise: "they wait in memory only",
    schema: anything,
  },
  blockPrivateAddresses: {
    section: "Checks",
    programs: producer,
    flag: "block-private-addresses",
    variable: "CHECK_BLOCK_PRIVATE_ADDRESSES",
    help: "connects to public addresses only, whatever a name or a redirect leads to; the variable: true or false",
    otherwise: "off",
    schema: trueOrFalse,
  },
  timeZone: {
    section: "Checks",
    programs: producer,
    variable: "TZ",
    help: "time zone of cron expressions, such as Europe/Berlin",
    otherwise: "the system's",
    schema: timeZone,
  },
  stdout: {
    section: "Modes",
    programs: producer,
    flag: "stdout",
    help: "writes the metrics to standard output, one JSON document a line, instead of Kafka",
  },
  once: {
    section: "Modes",
    programs: producer,
    flag: "once",
    help: "checks every host once, sends the metrics, and ends",
  },
  check: {
    section: "Modes",
    programs: producer,
    flag: "check",
    help: "reads settings and hosts file, prints each host with its next three due times, and ends",
  },
  stdin: {
    section: "Modes",
    programs: consumer,
    flag: "stdin",
    help: "reads metrics from standard input, one JSON document a line, instead of Kafka",
  },
  embedded: {
    section: "Modes",
    programs: consumer,
    flag: "embedded",
    placeholder: "DIR",
    help: "keeps the rows in an embedded PostgreSQL in DIR instead of a server",
    schema: anything,
  },
  query: {
    section: "Modes",
    programs: consumer,
    flag: "query",
    placeholder: "SQL",
    help: "with --embedded: prints what the query gives, and ends; it only reads",
    schema: anything,
  },
  printSchema: {
    section: "Modes",
    programs: consumer,
    flag: "print-schema",
    help: "prints the SQL that creates the tables, and the grants a role needs that may not, and ends",
  },
  listen: {
    section: "Other",
    programs: both,
    flag: "listen",
    variable: "LISTEN",
    placeholder: "HOST:PORT",
    help: "answers /healthz, /readyz and /metrics (Prometheus) over HTTP there",
    otherwise: "no HTTP port",
    schema: listenAddress,
  },
  // No two programs can listen at one address.
  producerListen: {
    section: "Other",
    programs: producer,
    variable: "PRODUCER_LISTEN",
    help: "where the producer alone listens; wins over LISTEN",
    otherwise: "LISTEN",
    schema: listenAddress,
  },
  consumerListen: {
    section: "Other",
    programs: consumer,
    variable: "CONSUMER_LISTEN",
    help: "where the consumer alone listens; wins over LISTEN",
    otherwise: "LISTEN",
    schema: listenAddress,
  },
  health: {
    section: "Modes",
    programs: both,
    flag: "health",
    help: "asks the program that listens there (--listen) whether it works, and ends with 0 or 1",
  },
  logLevel: {
    section: "Other",
    programs: both,
    flag: "log-level",
    variable: "LOG_LEVEL",
    placeholder: "LEVEL",
    help: "ERROR, WARN, INFO or DEBUG",
    default: "INFO",
    schema: logLevel,
  },
  help: { section: "Other", programs: both, flag: "help", help: "prints this, and ends" },
  version: { section: "Other", programs: both, flag: "version", help: "prints the version, and ends" },
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof OPTIONS;

/** The value of an option. */
export type ValueOf<N extends OptionName> = (typeof OPTIONS)[N] extends { readonly schema: infer S }
  ? S extends v.GenericSchema<string, infer T> ? T : never
  : never;

/** The options of a program, in order. */
export function optionsOf(program: ProgramName): readonly (readonly [OptionName, Option])[] {
  const all = Object.entries(OPTIONS) as [OptionName, Option][];
  return all.filter(([, { programs }]) => programs.includes(program));
}

/** How messages name an option: `--flag (VARIABLE)`, or the one that it has. */
export function nameOf({ flag, variable }: Option): string {
  if (flag === undefined) return variable ?? "";
  return variable === undefined ? `--${flag}` : `--${flag} (${variable})`;
}

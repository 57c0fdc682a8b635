import { type EmbeddedSettings, readDatabase, type ServerSettings } from "./database_settings.ts";
import { type Environment, machineName, threadsOfThisMachine } from "./environment.ts";
import { helpText, versionText } from "./help.ts";
import { type KafkaSettings, readKafka } from "./kafka_settings.ts";
import type { Keep } from "./keep.ts";
import { type NotifyTarget, parseTargets } from "./notify_targets.ts";
import { nameOf, type OptionName, OPTIONS, optionsOf, type ProgramName } from "./options.ts";
import { SettingsReader } from "./reader.ts";
import type { Compression, ListenAddress, LogLevel, Partition, Start, TableName } from "./setting_types.ts";
import { systemTimeZone } from "./time_zone.ts";

export type { ProgramName };

/**
 * The outcome of a command line and an environment: settings, a text to print, a program to ask, or
 * problems.
 */
export type Parsed<T> =
  | { readonly kind: "settings"; readonly settings: T }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "health"; readonly address: ListenAddress }
  | {
    readonly kind: "problems";
    readonly problems: readonly string[];
    /** What could be read all the same. */
    readonly draft?: Draft<T>;
  };

/** Settings, some of which may be null because a problem was noted. */
export type Draft<T> = { readonly [K in keyof T]: T[K] | null };

/** The files of which `--from` makes a hosts file; `-`: standard input. */
export interface HostsFromFiles {
  /** An Uptime Kuma backup, a Gatus configuration, or targets of Prometheus. */
  readonly file: string;
  /** The configuration of the blackbox_exporter with the modules of the targets; null: none is named. */
  readonly modules: string | null;
}

export interface ProducerSettings {
  /** Check on schedule, check every host once, or only print when hosts are due. */
  readonly mode: "run" | "once" | "check";
  /** `-`: standard input. */
  readonly hostsFile: string;
  /** The files of `--from`; the program then does nothing else. */
  readonly from: HostsFromFiles | null;
  /** Time zone of cron expressions: an IANA name. */
  readonly timeZone: string;
  /**
   * Null where metrics do not go to Kafka. With `partitions` a missing topic is created with so
   * many.
   */
  readonly kafka: (KafkaSettings & { readonly partitions: number | null; readonly compression: Compression }) | null;
  /** Seconds. */
  readonly timeout: number;
  readonly concurrency: number;
  /** How many threads make the checks. */
  readonly threads: number;
  readonly location: string | null;
  /** Who makes the checks; null: the machine's name cannot be read. */
  readonly producer: string | null;
  readonly shard: { readonly index: number; readonly count: number };
  /** The name of the group of producers that share the hosts; null: this one checks them all. */
  readonly group: string | null;
  /** Null: no HTTP port. */
  readonly listen: ListenAddress | null;
  /** The folder in which metrics wait for Kafka; null: they wait in memory only. */
  readonly spool: string | null;
  readonly blockPrivateAddresses: boolean;
  /** The first failed check of a row of them tells what the site answered. */
  readonly evidence: boolean;
  readonly logLevel: LogLevel;
}

/** How long the consumer keeps what it has stored. */
export interface RetentionSettings {
  readonly rows: Keep;
  readonly rejected: Keep;
  /** The days that are rolled up. */
  readonly daily: Keep;
  /** What sites answered when checks failed. */
  readonly evidence: Keep;
  /** True: a time that was shortened counts at once. */
  readonly isNow: boolean;
}

/** When an address counts as down, and when its certificate is told. */
export interface IncidentSettings {
  /** Checks in a row at a place that must not be up. */
  readonly downAfter: number;
  /** Checks in a row that must be up again. */
  readonly upAfter: number;
  /** The places that must agree, of those that report; fewer than these: all of them. */
  readonly places: number | "majority";
  /** Days. A certificate with fewer left is an incident. */
  readonly certificateDays: number;
}

/** Where incidents are told. */
export interface NotifySettings {
  readonly targets: readonly NotifyTarget[];
  /** Seconds. What happens within them is told in one message. */
  readonly wait: number;
  /** Seconds after which what lasts is told again; null: never. */
  readonly again: number | null;
}

/** What the page shows, and where it is. */
export interface PageSettings {
  /** The folder into which it is written; null: none. */
  readonly directory: string | null;
  /** Null: it is called as the product is. */
  readonly title: string | null;
  /** Patterns of the addresses that it may show; null: all of them. */
  readonly hosts: readonly string[] | null;
  /** The address by which people know it, with a slash at its end; null: nobody has said. */
  readonly url: string | null;
}

export interface ConsumerSettings {
  readonly source: "kafka" | "stdin";
  /** Null where metrics do not come from Kafka. */
  readonly kafka: (KafkaSettings & { readonly group: string; readonly start: Start }) | null;
  /** Null only with `printSchema` and `notifyTest`. */
  readonly database: ServerSettings | EmbeddedSettings | null;
  readonly table: TableName;
  /** The parts of a table that is created. */
  readonly partition: Partition;
  readonly retention: RetentionSettings;
  readonly incidents: IncidentSettings;
  /** Addresses that are up as long as a place has a network; empty: nobody has named any. */
  readonly canaries: readonly string[];
  readonly notify: NotifySettings;
  /** True: each target gets a message, and nothing else is done. */
  readonly notifyTest: boolean;
  /** The query of `--query`; the program then does nothing else. */
  readonly query: string | null;
  readonly printSchema: boolean;
  readonly batchSize: number;
  /** The most metrics of one statement. */
  readonly statementSize: number;
  /** Seconds. */
  readonly batchInterval: number;
  /** Null: no HTTP port. */
  readonly listen: ListenAddress | null;
  /** True: the figures of the port name the hosts. */
  readonly metricsHosts: boolean;
  readonly page: PageSettings;
  readonly logLevel: LogLevel;
}

/**
 * Reads the producer's environment and its command line without the program's name. Reads secret
 * files, and no other files.
 */
export function readProducerSettings(args: readonly string[], environment: Environment): Parsed<ProducerSettings> {
  const reader = new SettingsReader("producer", args, environment);
  const told = tellOnly(reader, "producer");
  if (told !== null) return told;
  const stdout = reader.has("stdout");
  reader.refuse("once", ["check"]);
  reader.refuse("stdout", [...flagsOf("producer", "Kafka"), "spool", "producerGroup"]);
  reader.refuse("once", ["producerGroup"]);
  reader.refuse("from", ["stdout", "once", "check"]);
  const from = readFrom(reader);
  return finish(reader, {
    mode: reader.has("check") ? "check" : reader.has("once") ? "once" : "run",
    hostsFile: from === null ? reader.commandLine.operands[0] ?? "" : "",
    from,
    kafka: stdout ? null : readProducerKafka(reader),
    timeout: reader.optional("timeout"),
    concurrency: reader.optional("concurrency"),
    threads: reader.optional("threads") ?? threadsOfThisMachine(),
    location: reader.optional("location"),
    producer: reader.optional("producerName") ?? machineName(),
    shard: reader.optional("shard"),
    group: readGroup(reader),
    // Metrics for the standard output do not wait.
    spool: stdout ? null : reader.optional("spool"),
    blockPrivateAddresses: reader.has("blockPrivateAddresses") || (reader.optional("blockPrivateAddresses") ?? false),
    evidence: reader.has("evidence") || (reader.optional("evidence") ?? false),
    timeZone: reader.optional("timeZone") ?? systemTimeZone(),
    listen: readListen(reader, "producer"),
    logLevel: reader.optional("logLevel"),
  });
}

/**
 * The most metrics of a statement where nobody has set a batch size. What a consumer that is behind
 * reads ahead fits into one, and costs less a row than in several (docs/measurements.md).
 */
const LARGE_STATEMENT = 2500;

/**
 * Reads the consumer's environment and its command line without the program's name. Reads secret
 * files, and no other files.
 */
export function readConsumerSettings(args: readonly string[], environment: Environment): Parsed<ConsumerSettings> {
  const reader = new SettingsReader("consumer", args, environment);
  const told = tellOnly(reader, "consumer");
  if (told !== null) return told;
  const [stdin, printSchema, asks] = [reader.has("stdin"), reader.has("printSchema"), reader.has("query")];
  const isTest = reader.has("notifyTest");
  reader.refuse("stdin", ["query", "printSchema", ...flagsOf("consumer", "Kafka")]);
  reader.refuse("query", ["printSchema"]);
  reader.refuse("notifyTest", ["stdin", "query", "printSchema"]);
  reader.refuse("embedded", SERVER_FLAGS);
  if (asks && !reader.has("embedded")) {
    reader.problems.push("--query asks an embedded database only: add --embedded DIR; ask a server with psql");
  }
  return finish(reader, {
    source: stdin ? "stdin" : "kafka",
    kafka: stdin || printSchema || asks || isTest ? null : readConsumerKafka(reader),
    database: printSchema || isTest || (asks && !reader.has("embedded")) ? null : readDatabase(reader),
    table: reader.optional("dbTable"),
    partition: reader.optional("dbPartition"),
    retention: readRetention(reader),
    incidents: readIncidents(reader),
    canaries: reader.optional("canary") ?? [],
    notify: readNotify(reader),
    notifyTest: isTest,
    query: reader.optional("query"),
    printSchema,
    metricsHosts: reader.has("metricsHosts") || (reader.optional("metricsHosts") ?? false),
    ...readSizes(reader),
    batchInterval: reader.optional("batchInterval"),
    ...readPage(reader),
    logLevel: reader.optional("logLevel"),
  });
}

/**
 * The answer to --help, --version and --health, whatever else stands on the command line. Null
 * where the program is to do its work.
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

/** How messages name the settings of the address where a program listens. */
export function listenSetting(program: ProgramName): string {
  return `${nameOf(OPTIONS.listen)} or ${nameOf(OPTIONS[OWN_LISTEN[program]])}`;
}

/** The value of the flag, else of the program's own variable, else of the variable for both. */
function readListen(reader: SettingsReader, program: ProgramName): ListenAddress | null {
  const own = OWN_LISTEN[program];
  return reader.has("listen") || reader.originOf(own) === null ? reader.optional("listen") : reader.optional(own);
}

/**
 * Without a problem, a setting that is required or has a default has a value. A null then means
 * what T says.
 */
function finish<T>(reader: SettingsReader, draft: Draft<T>): Parsed<T> {
  if (reader.problems.length > 0) return { kind: "problems", problems: reader.problems, draft };
  return { kind: "settings", settings: draft as T };
}

function flagsOf(program: ProgramName, section: "Kafka" | "PostgreSQL"): OptionName[] {
  return optionsOf(program).filter(([, option]) => option.section === section).map(([name]) => name);
}

/** Flags that an embedded database has too: those of the table, and of batches. */
const TABLE_FLAGS: readonly OptionName[] = [
  "dbTable",
  "dbPartition",
  "dbKeep",
  "dbKeepRejected",
  "dbKeepDaily",
  "dbKeepEvidence",
  "dbKeepNow",
  "batchSize",
  "batchInterval",
];

/** Flags that make no sense for an embedded database. */
const SERVER_FLAGS = flagsOf("consumer", "PostgreSQL").filter((name) => !TABLE_FLAGS.includes(name));

/** The port, and the page that is shown there or written. */
function readPage(reader: SettingsReader): Draft<Pick<ConsumerSettings, "listen" | "page">> {
  const listen = readListen(reader, "consumer");
  const page = {
    directory: reader.optional("page"),
    title: reader.optional("pageTitle"),
    hosts: reader.optional("pageHosts"),
    url: reader.optional("pageUrl"),
  };
  const isShown = page.directory !== null || reader.has("listen") || reader.originOf("listen") !== null ||
    reader.originOf("consumerListen") !== null;
  const shaping = (["pageTitle", "pageHosts", "pageUrl"] as const).filter((name) => reader.has(name));
  for (const name of isShown ? [] : shaping) {
    reader.problems.push(`--${OPTIONS[name].flag} changes a page, and there is none: add --listen or --page`);
  }
  return { listen, page };
}

function readRetention(reader: SettingsReader): RetentionSettings | null {
  const [rows, rejected, daily, evidence] = [
    reader.optional("dbKeep"),
    reader.optional("dbKeepRejected"),
    reader.optional("dbKeepDaily"),
    reader.optional("dbKeepEvidence"),
  ];
  const isNow = reader.has("dbKeepNow");
  if (isNow && rows === "all" && rejected === "all" && daily === "all") {
    reader.problems.push("--db-keep-now shortens nothing: say how long with DB_KEEP (--db-keep), or leave it out");
  }
  if (rows === null || rejected === null || daily === null || evidence === null) return null;
  return { rows, rejected, daily, evidence, isNow };
}

function readIncidents(reader: SettingsReader): IncidentSettings | null {
  const [downAfter, upAfter] = [reader.optional("downAfter"), reader.optional("upAfter")];
  const [places, certificateDays] = [reader.optional("places"), reader.optional("certificateDays")];
  if (downAfter === null || upAfter === null || places === null || certificateDays === null) return null;
  return { downAfter, upAfter, places, certificateDays };
}

function readNotify(reader: SettingsReader): NotifySettings | null {
  const [wait, again] = [reader.optional("notifyWait"), reader.optional("notifyAgain")];
  const isFile = reader.originOf("notifyFile") !== null;
  const { targets, problems } = parseTargets(reader.secret("notify", "notifyFile") ?? "", isFile);
  const name = nameOf(OPTIONS[isFile ? "notifyFile" : "notify"]);
  reader.problems.push(...problems.map((problem) => `${name}, ${problem}`));
  if (reader.has("notifyTest") && targets.length === 0 && problems.length === 0) {
    reader.missing("notify", "write where incidents are told, as docs/alerts.md says");
  }
  return wait === null ? null : { targets, wait, again };
}

function readSizes(reader: SettingsReader): Draft<Pick<ConsumerSettings, "batchSize" | "statementSize">> {
  const batchSize = reader.optional("batchSize");
  return { batchSize, statementSize: reader.originOf("batchSize") === "default" ? LARGE_STATEMENT : batchSize };
}

function readFrom(reader: SettingsReader): HostsFromFiles | null {
  const file = reader.optional("from");
  return file === null ? null : { file, modules: reader.commandLine.operands[0] ?? null };
}

/** The group of producers, where the mode has one. Null beside --stdout and --once. */
function readGroup(reader: SettingsReader): string | null {
  const group = reader.optional("producerGroup");
  if (reader.originOf("producerGroup") !== null && reader.originOf("shard") !== "default") {
    const [shard, name] = [nameOf(OPTIONS.shard), nameOf(OPTIONS.producerGroup)];
    reader.problems.push(`${shard} contradicts ${name}, which shares the hosts by itself: leave out one of them`);
  }
  return reader.has("stdout") || reader.has("once") || reader.has("check") || reader.has("from") ? null : group;
}

/** --check and --from need no Kafka. Where it is given all the same, it is read like the rest. */
function readProducerKafka(reader: SettingsReader): ProducerSettings["kafka"] {
  const isNeeded = !reader.has("check") && !reader.has("from");
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

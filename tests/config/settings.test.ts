import { availableParallelism, hostname } from "node:os";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import {
  nameOf,
  type Option,
  type OptionName,
  OPTIONS,
  optionsOf,
  type ProgramName,
} from "../../lib/config/options.ts";
import { type Environment, environmentOf } from "../../lib/config/environment.ts";
import {
  type ConsumerSettings,
  type Parsed,
  type ProducerSettings,
  readConsumerSettings,
  readProducerSettings,
} from "../../lib/config/settings.ts";

const KAFKA = { KAFKA_BOOTSTRAP_SERVERS: "kafka.example:9093", KAFKA_TOPIC: "metrics" };
const SERVER = { DB_HOST: "db.example", DB_NAME: "monitoring", DB_USER: "checker" };
const NO_FILES = { caFile: null, keyFile: null, certFile: null, keyPassword: null, keyPasswordFile: null };
/** With these settings, and a hosts file for the producer, no setting is missing. */
const ENOUGH = { ...KAFKA, ...SERVER };

function settingsOf<T>(parsed: Parsed<T>): T {
  expect(parsed).toEqual({ kind: "settings", settings: expect.anything() });
  return (parsed as { settings: T }).settings;
}

function problemsOf(parsed: Parsed<unknown>): readonly string[] {
  return parsed.kind === "problems" ? parsed.problems : [];
}

const producer = (args: readonly string[], environment: Environment = KAFKA) =>
  settingsOf(readProducerSettings([...args, "hosts.txt"], environment));
const consumer = (args: readonly string[], environment: Environment = ENOUGH) =>
  settingsOf(readConsumerSettings(args, environment));
const server = (args: readonly string[], environment: Environment) => {
  const { database } = consumer(args, { ...KAFKA, ...environment });
  return database?.kind === "server" ? database : null;
};

/** The problems of a command line that begins with the program's name. */
function problems(commandLine: string | readonly string[], environment: Environment): readonly string[] {
  const [program, ...args] = typeof commandLine === "string" ? commandLine.split(" ") : commandLine;
  const read = program === "producer" ? readProducerSettings : readConsumerSettings;
  return problemsOf(read(args, environment));
}

const directory = mkdtempSync(join(tmpdir(), "host-checker-settings-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The path of a new file. */
function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

it("readProducerSettings gives the defaults where only the required settings are given", () => {
  expect(producer([], { ...KAFKA, TZ: "Europe/Berlin" })).toEqual({
    mode: "run",
    hostsFile: "hosts.txt",
    from: null,
    timeZone: "Europe/Berlin",
    kafka: {
      bootstrapServers: ["kafka.example:9093"],
      topic: "metrics",
      client: "auto",
      ssl: { enabled: false, ...NO_FILES },
      sasl: null,
      partitions: null,
      compression: "lz4",
    },
    timeout: 10,
    concurrency: 2000,
    threads: Math.max(1, availableParallelism() - 1),
    location: null,
    producer: hostname(),
    shard: { index: 1, count: 1 },
    group: null,
    listen: null,
    spool: null,
    blockPrivateAddresses: false,
    evidence: false,
    logLevel: "INFO",
  });
});

it("readConsumerSettings gives the defaults where only the required settings are given", () => {
  expect(consumer([])).toEqual({
    source: "kafka",
    kafka: {
      bootstrapServers: ["kafka.example:9093"],
      topic: "metrics",
      client: "auto",
      ssl: { enabled: false, ...NO_FILES },
      sasl: null,
      group: "host-checker",
      start: "earliest",
    },
    database: {
      kind: "server",
      host: "db.example",
      port: 5432,
      name: "monitoring",
      user: "checker",
      password: null,
      sslMode: "require",
      sslCaFile: null,
    },
    table: { schema: null, name: "host_metrics" },
    partition: "month",
    retention: { rows: "all", rejected: "all", daily: "all", evidence: { count: 30, unit: "day" }, isNow: false },
    incidents: { downAfter: 2, upAfter: 1, places: 1, certificateDays: 21 },
    canaries: [],
    notify: { targets: [], wait: 30, again: null },
    notifyTest: false,
    query: null,
    printSchema: false,
    batchSize: 500,
    statementSize: 2500,
    batchInterval: 1,
    listen: null,
    metricsHosts: false,
    page: { directory: null, title: null, hosts: null, url: null },
    logLevel: "INFO",
  });
});

/** What changes a page, for a consumer that has one. */
const PAGE = ["pageTitle", "pageHosts", "pageUrl"] as const;

describe("a setting is its flag, else its variable, else its default", () => {
  /**
   * A text for the flag, and one for the variable. Then the values with the flag, with the variable
   * and with neither.
   */
  type Case<T> = readonly [
    OptionName,
    (settings: T) => unknown,
    readonly [flag: string, variable: string],
    readonly [flag: unknown, variable: unknown, neither: unknown],
  ];
  /** An empty variable is a problem for a required setting. */
  const MISSING = Symbol("missing");

  const kafkaCases = <T extends ProducerSettings | ConsumerSettings>(): readonly Case<T>[] => [
    ["bootstrapServers", (s) => s.kafka?.bootstrapServers, ["a:1", "b:2,c:3"], [["a:1"], ["b:2", "c:3"], MISSING]],
    ["topic", (s) => s.kafka?.topic, ["a", "b"], ["a", "b", MISSING]],
    ["kafkaSslCaFile", (s) => s.kafka?.ssl.caFile, ["a.pem", "b.pem"], ["a.pem", "b.pem", null]],
    ["kafkaSsl", (s) => s.kafka?.ssl.enabled, ["true", "false"], [true, false, false]],
    ["kafkaClient", (s) => s.kafka?.client, ["javascript", "librdkafka"], ["javascript", "librdkafka", "auto"]],
    ["listen", (s) => s.listen?.port, ["127.0.0.1:1", "[::1]:2"], [1, 2, undefined]],
    ["logLevel", (s) => s.logLevel, ["DEBUG", "ERROR"], ["DEBUG", "ERROR", "INFO"]],
  ];
  const producerCases: readonly Case<ProducerSettings>[] = [
    ...kafkaCases<ProducerSettings>(),
    ["partitions", (s) => s.kafka?.partitions, ["3", "6"], [3, 6, null]],
    ["compression", (s) => s.kafka?.compression, ["gzip", "none"], ["gzip", "none", "lz4"]],
    ["timeout", (s) => s.timeout, ["2.5", "3"], [2.5, 3, 10]],
    ["concurrency", (s) => s.concurrency, ["5", "6"], [5, 6, 2000]],
    ["threads", (s) => s.threads, ["3", "4"], [3, 4, Math.max(1, availableParallelism() - 1)]],
    ["producerName", (s) => s.producer, ["Ulm 1", "ü"], ["Ulm 1", "ü", hostname()]],
    ["location", (s) => s.location, ["Ulm", "Bonn, 2nd floor"], ["Ulm", "Bonn, 2nd floor", null]],
    ["shard", (s) => s.shard, ["2/3", "3/3"], [{ index: 2, count: 3 }, { index: 3, count: 3 }, { index: 1, count: 1 }]],
    ["producerGroup", (s) => s.group, ["a", "b-2"], ["a", "b-2", null]],
    ["spool", (s) => s.spool, ["a b", "/var/b"], ["a b", "/var/b", null]],
  ];
  const database = (s: ConsumerSettings) => s.database?.kind === "server" ? s.database : null;
  const consumerCases: readonly Case<ConsumerSettings>[] = [
    ...kafkaCases<ConsumerSettings>(),
    ["group", (s) => s.kafka?.group, ["a", "b"], ["a", "b", "host-checker"]],
    ["start", (s) => s.kafka?.start, ["latest", "2026-01-31"], ["latest", { time: Date.UTC(2026, 0, 31) }, "earliest"]],
    ["dbHost", (s) => database(s)?.host, ["a", "b"], ["a", "b", MISSING]],
    ["dbPort", (s) => database(s)?.port, ["1", "65535"], [1, 65535, 5432]],
    ["dbName", (s) => database(s)?.name, ["a", "b"], ["a", "b", MISSING]],
    ["dbUser", (s) => database(s)?.user, ["a", "b"], ["a", "b", MISSING]],
    ["dbTable", (s) => s.table.name, ["a", "b"], ["a", "b", "host_metrics"]],
    ["dbPartition", (s) => s.partition, ["day", "none"], ["day", "none", "month"]],
    ["dbKeep", (s) => s.retention.rows, ["all", "30days"], ["all", { count: 30, unit: "day" }, "all"]],
    ["dbKeepRejected", (s) => s.retention.rejected, ["2years", "1month"], [
      { count: 2, unit: "year" },
      { count: 1, unit: "month" },
      "all",
    ]],
    ["downAfter", (s) => s.incidents.downAfter, ["3", "1"], [3, 1, 2]],
    ["upAfter", (s) => s.incidents.upAfter, ["3", "2"], [3, 2, 1]],
    ["places", (s) => s.incidents.places, ["Majority", "3"], ["majority", 3, 1]],
    ["certificateDays", (s) => s.incidents.certificateDays, ["0", "30"], [0, 30, 21]],
    ["canary", (s) => s.canaries, ["a.example, https://me:pw@b.example/", "A.example"], [
      ["a.example", "https://b.example/"],
      ["A.example"],
      [],
    ]],
    ["dbKeepDaily", (s) => s.retention.daily, ["10years", "all"], [{ count: 10, unit: "year" }, "all", "all"]],
    ["notifyAgain", (s) => s.notify.again, ["4h", "Never"], [14_400, null, null]],
    ["notifyWait", (s) => s.notify.wait, ["5m", "0"], [300, 0, 30]],
    ["dbKeepEvidence", (s) => s.retention.evidence, ["all", "2months"], ["all", { count: 2, unit: "month" }, {
      count: 30,
      unit: "day",
    }]],
    ["dbSslMode", (s) => database(s)?.sslMode, ["verify-full", "disable"], ["verify-full", "disable", "require"]],
    ["dbSslCaFile", (s) => database(s)?.sslCaFile, ["a.pem", "b.pem"], ["a.pem", "b.pem", null]],
    // Whoever sets it, to whatever, sets the largest statement too.
    ["batchSize", (s) => [s.batchSize, s.statementSize], ["7", "500"], [[7, 7], [500, 500], [500, 2500]]],
    ["batchInterval", (s) => s.batchInterval, ["0.5", "2"], [0.5, 2, 1]],
    ["page", (s) => s.page.directory, ["a", "b"], ["a", "b", null]],
  ];

  function check<T>(
    read: (args: readonly string[], environment: Environment) => Parsed<T>,
    operands: readonly string[],
    [name, pick, [flagText, variableText], [fromFlag, fromVariable, fromNeither]]: Case<T>,
  ) {
    const { flag, variable }: Option = OPTIONS[name];
    const get = (args: readonly string[], text: string) => {
      const parsed = read([...args, ...operands], { ...ENOUGH, [variable ?? ""]: text });
      const isMissing = problemsOf(parsed).some((problem) =>
        problem.startsWith(`--${flag} (${variable}) is missing: `)
      );
      return isMissing ? MISSING : pick(settingsOf(parsed));
    };
    expect(get([`--${flag}`, flagText], variableText)).toEqual(fromFlag);
    expect(get([`--${flag}=${flagText}`], "")).toEqual(fromFlag);
    expect(get([], variableText)).toEqual(fromVariable);
    expect(get([], "")).toEqual(fromNeither);
  }

  it.each(producerCases.map((each) => ({ name: each[0], each })))(
    "readProducerSettings prefers the flag of $name to its variable, and takes an empty variable for none",
    ({ each }) => check(readProducerSettings, ["hosts.txt"], each),
  );

  it.each(consumerCases.map((each) => ({ name: each[0], each })))(
    "readConsumerSettings prefers the flag of $name to its variable, and takes an empty variable for none",
    ({ each }) => check(readConsumerSettings, [], each),
  );

  const SASL = ["kafkaSaslMechanism", "kafkaSaslUsername", "kafkaSaslPasswordFile"] as const;
  it.each<[ProgramName, readonly OptionName[], readonly OptionName[]]>([
    [
      "producer",
      producerCases.map(([name]) => name),
      ["kafkaSslKeyFile", "kafkaSslCertFile", "kafkaSslKeyPasswordFile", ...SASL, "blockPrivateAddresses", "evidence"],
    ],
    [
      "consumer",
      consumerCases.map(([name]) => name),
      [
        "kafkaSslKeyFile",
        "kafkaSslCertFile",
        "kafkaSslKeyPasswordFile",
        ...SASL,
        "dbUrl",
        "dbPasswordFile",
        ...PAGE,
        "metricsHosts",
      ],
    ],
  ])(
    "OPTIONS of the %s with a flag and a variable are all tried here, or depend on others and are below",
    (program, tried, others) => {
      const want = optionsOf(program).filter(([, option]) =>
        option.flag !== undefined && option.variable !== undefined
      );
      expect([...tried, ...others].sort()).toEqual(want.map(([name]) => name).sort());
    },
  );
});

it.each<readonly [args: readonly string[], variable: string, expected: boolean]>([
  [[], "", false],
  [[], "true", true],
  [[], "false", false],
  [["--metrics-hosts"], "", true],
  [["--metrics-hosts"], "false", true],
])("readConsumerSettings takes %j beside METRICS_HOSTS=%j for metricsHosts: %s", (args, variable, expected) => {
  expect(consumer(args, { ...ENOUGH, METRICS_HOSTS: variable }).metricsHosts).toBe(expected);
});

it.each<readonly [args: readonly string[], variable: string, expected: boolean]>([
  [[], "", false],
  [[], "true", true],
  [[], "false", false],
  [["--evidence"], "", true],
  [["--evidence"], "false", true],
])("readProducerSettings takes %j beside CHECK_EVIDENCE=%j for evidence: %s", (args, variable, expected) => {
  expect(producer(args, { ...KAFKA, CHECK_EVIDENCE: variable }).evidence).toBe(expected);
});

it.each<readonly [args: readonly string[], variable: string, expected: boolean]>([
  [[], "", false],
  [[], "true", true],
  [[], "FALSE", false],
  [["--block-private-addresses"], "", true],
  [["--block-private-addresses"], "false", true],
])(
  "readProducerSettings takes %j beside CHECK_BLOCK_PRIVATE_ADDRESSES=%j for blockPrivateAddresses: %s",
  (args, variable, expected) => {
    expect(producer(args, { ...KAFKA, CHECK_BLOCK_PRIVATE_ADDRESSES: variable }).blockPrivateAddresses).toBe(expected);
  },
);

it.each<readonly [OptionName, string, string]>([
  ["bootstrapServers", "kafka.example", "write host:port, several with commas between them"],
  ["bootstrapServers", ",", "write host:port, several with commas between them"],
  ["bootstrapServers", "a:1,b", "write host:port, several with commas between them"],
  ["bootstrapServers", "a:0", "write host:port, several with commas between them"],
  ["bootstrapServers", "a:65536", "write host:port, several with commas between them"],
  ["bootstrapServers", "::1:9092", "write host:port, several with commas between them"],
  ["bootstrapServers", "kafka://a:1", "write host:port, several with commas between them"],
  ["listen", "9464", "write HOST:PORT, such as 127.0.0.1:9464"],
  ["listen", "::1:9464", "write HOST:PORT, such as 127.0.0.1:9464"],
  ["listen", "a:65536", "write HOST:PORT, such as 127.0.0.1:9464"],
  ["topic", "host metrics", "write 1 to 249 letters, digits, dots, dashes or underscores"],
  ["topic", "..", "write 1 to 249 letters, digits, dots, dashes or underscores"],
  ["topic", "x".repeat(250), "write 1 to 249 letters, digits, dots, dashes or underscores"],
  ["topic", "metrics\r", "write 1 to 249 letters, digits, dots, dashes or underscores"],
  ["partitions", "0", "write a whole number from 1 to 10000"],
  ["partitions", "-1", "write a whole number from 1 to 10000"],
  ["partitions", "1.5", "write a whole number from 1 to 10000"],
  ["partitions", "six", "write a whole number from 1 to 10000"],
  ["group", "a\tb", "leave out the control character in it"],
  ["start", "yesterday", "write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z"],
  ["start", "2026-01-31T12:00:00", "write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z"],
  ["start", "2026-02-30", "write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z"],
  ["start", "2026-13-01", "write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z"],
  ["start", "1969-12-31", "write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z"],
  ["kafkaSsl", "yes", "write true or false"],
  ["kafkaClient", "kafkajs", "write auto, librdkafka or javascript"],
  ["dbHost", "a\n", "leave out the control character in it"],
  ["dbHost", "db.example:5432", "write the host alone, and the port in DB_PORT (--db-port)"],
  ["dbHost", "[::1]:5432", "write the host alone, and the port in DB_PORT (--db-port)"],
  ["dbPort", "65536", "write a whole number from 1 to 65535"],
  ["dbName", "\u007F", "leave out the control character in it"],
  ["dbUser", "\uD800", "leave out the control character in it"],
  ["dbPartition", "week", "write month, day or none"],
  ["dbKeep", "13", "write so many days, months or years, such as 30days, 13months or 5years, or all"],
  ["dbKeepRejected", "90d", "write so many days, months or years, such as 30days, 13months or 5years, or all"],
  ["dbKeepDaily", "10", "write so many days, months or years, such as 30days, 13months or 5years, or all"],
  ["dbTable", "a.b.c", 'write a name as in SQL: metrics, monitoring.metrics or "My Table"'],
  ["dbSslMode", "allow", "write disable, prefer, require, verify-ca or verify-full"],
  ["batchSize", "0", "write a whole number from 1 to 100000"],
  ["batchSize", "100001", "write a whole number from 1 to 100000"],
  ["batchInterval", "0", "write seconds, from 0.001 to 3600"],
  ["batchInterval", "1s", "write seconds, from 0.001 to 3600"],
  ["batchInterval", "3600.1", "write seconds, from 0.001 to 3600"],
  ["timeout", "1e1", "write seconds, from 0.001 to 3600"],
  ["timeout", "-1", "write seconds, from 0.001 to 3600"],
  ["timeout", "Infinity", "write seconds, from 0.001 to 3600"],
  ["concurrency", "100001", "write a whole number from 1 to 100000"],
  ["threads", "0", "write a whole number from 1 to 256"],
  ["producerName", "x".repeat(254), "write 253 characters at most"],
  ["location", "a\u0000", "leave out the control character in it"],
  ["shard", "0/2", "write I/N, such as 2/3 for the second of three"],
  ["shard", "3/2", "write I/N, such as 2/3 for the second of three"],
  ["shard", "2", "write I/N, such as 2/3 for the second of three"],
  ["producerGroup", "a b", "write letters, digits, dots, dashes and underscores, 100 at most"],
  ["timeZone", "Mars/Olympus", "no such time zone is known here: write a name such as Europe/Berlin or UTC"],
  ["logLevel", "LOUD", "write ERROR, WARN, INFO or DEBUG"],
])("OPTIONS.%s refuses %j: %s", (name, text, message) => {
  const option: Option = OPTIONS[name];
  const [program] = option.programs;
  const command = program === "producer" ? ["producer", "hosts.txt"] : ["consumer"];
  const want = [`${nameOf(option)} is ${JSON.stringify(text)}: ${message}`];
  if (option.variable !== undefined) {
    expect(problems(command, { ...ENOUGH, [option.variable]: text })).toEqual(want);
  }
  if (option.flag !== undefined) expect(problems([...command, `--${option.flag}=${text}`], ENOUGH)).toEqual(want);
});

it.each([
  ["ERROR", "ERROR"],
  ["error", "ERROR"],
  ["CRITICAL", "ERROR"],
  ["Critical", "ERROR"],
  ["WARN", "WARN"],
  ["WARNING", "WARN"],
  ["warning", "WARN"],
  ["Info", "INFO"],
  ["debug", "DEBUG"],
])("OPTIONS.logLevel takes %s for %s", (text, level) => {
  expect(producer([], { ...KAFKA, LOG_LEVEL: text }).logLevel).toBe(level);
});

it.each([
  ["a:1, b:2 ,", ["a:1", "b:2"]],
  ["[::1]:9092", ["[::1]:9092"]],
  ["10.0.0.1:65535\r", ["10.0.0.1:65535"]],
])("OPTIONS.bootstrapServers takes %j for %j", (text, servers) => {
  expect(producer([`--kafka-bootstrap-servers=${text}`]).kafka?.bootstrapServers).toEqual(servers);
});

it.each([
  ["1970-01-01", 0],
  ["2024-02-29T12:00Z", Date.UTC(2024, 1, 29, 12)],
  ["2026-01-31T12:00:00.25+01:00", Date.UTC(2026, 0, 31, 11, 0, 0, 250)],
  ["2026-01-01T01:00:00+02:00", Date.UTC(2025, 11, 31, 23)],
])("OPTIONS.start takes %s for a time", (text, time) => {
  expect(consumer([`--kafka-start=${text}`]).kafka?.start).toEqual({ time });
});

it.each([
  ["JavaScript", "verify-FULL", "TRUE"],
  ["javascript", "verify-full", "true"],
])("OPTIONS takes the words %s, %s and %s in any case", (client, mode, ssl) => {
  const settings = consumer([`--kafka-client=${client}`, `--db-ssl-mode=${mode}`, `--kafka-ssl=${ssl}`]);
  expect(settings).toMatchObject({
    kafka: { client: "javascript", ssl: { enabled: true } },
    database: { sslMode: "verify-full" },
  });
});

it.each([
  ["europe/berlin", "Europe/Berlin"],
  [":UTC", "UTC"],
])("OPTIONS.timeZone takes %s for %s", (text, timeZone) => {
  expect(producer([], { ...KAFKA, TZ: text }).timeZone).toBe(timeZone);
});

it("readProducerSettings takes the system's time zone where TZ is empty", () => {
  const { timeZone } = producer([], { ...KAFKA, TZ: "" });
  expect(() => new Intl.DateTimeFormat("en-US", { timeZone })).not.toThrow();
});

const NO_SERVERS =
  "--kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS) is missing: write the brokers, such as localhost:9092";
const NO_TOPIC = "--kafka-topic (KAFKA_TOPIC) is missing: write the name of the topic";
const UNREADABLE = "that file cannot be read (ENOENT): check the path and the rights of the file";
const NO_HOST = "--db-host (DB_HOST) is missing: write the server's name, or set DATABASE_URL";
const NO_NAME = "--db-name (DB_NAME) is missing: write the database's name, or set DATABASE_URL";
const NO_USER = "--db-user (DB_USER) is missing: write the role to log in as, or set DATABASE_URL";
const NO_HOSTS_FILE = "HOSTS_FILE is missing: name the file that lists the hosts, or - for standard input";

describe("everything that is missing is said at once, and only what the mode needs", () => {
  it.each<readonly [string, readonly string[]]>([
    ["producer", [NO_HOSTS_FILE, NO_SERVERS, NO_TOPIC]],
    ["producer hosts.txt", [NO_SERVERS, NO_TOPIC]],
    ["producer hosts.txt --once", [NO_SERVERS, NO_TOPIC]],
    ["producer hosts.txt --kafka-topic a", [NO_SERVERS]],
    ["producer hosts.txt --stdout", []],
    ["producer hosts.txt --stdout --once", []],
    ["producer hosts.txt --check", []],
    ["producer --from a.json", []],
    ["producer hosts.txt --check --stdout", []],
    ["producer --stdout", [NO_HOSTS_FILE]],
    ["producer --check", [NO_HOSTS_FILE]],
    ["consumer", [NO_SERVERS, NO_TOPIC, NO_HOST, NO_NAME, NO_USER]],
    ["consumer --stdin", [NO_HOST, NO_NAME, NO_USER]],
    ["consumer --stdin --db-name a", [NO_HOST, NO_USER]],
    ["consumer --embedded data", [NO_SERVERS, NO_TOPIC]],
    ["consumer --stdin --embedded data", []],
    ["consumer --embedded data --query select", []],
    ["consumer --print-schema", []],
    ["consumer --print-schema --embedded data", []],
    ["consumer --print-schema --db-table a", []],
  ])("%s lacks %j", (commandLine, missing) => {
    expect(problems(commandLine, {})).toEqual(missing);
    const empty = Object.fromEntries(Object.keys(ENOUGH).map((name) => [name, ""]));
    expect(problems(commandLine, empty)).toEqual(missing);
  });

  it("readConsumerSettings asks DATABASE_URL before it calls a part missing", () => {
    const said = (url: string) => problems("consumer --stdin", { DATABASE_URL: url });
    expect(said("postgres://checker@db.example/monitoring")).toEqual([]);
    expect(said("postgres://db.example/monitoring")).toEqual([NO_USER]);
    expect(said("postgres://checker@db.example")).toEqual([NO_NAME]);
    expect(said("postgres:///monitoring")).toEqual([NO_HOST, NO_USER]);
  });
});

it("readProducerSettings says everything that is wrong at once", () => {
  const environment = {
    KAFKA_BOOTSTRAP_SERVERS: "kafka",
    KAFKA_SSL_KEY_FILE: "key.pem",
    LOG_LEVEL: "LOUD",
    TZ: "Mars",
  };
  expect(problems("producer --shard 3/2 --timeout 0 --tiemout 5", environment)).toEqual([
    "--tiemout is no flag of producer.ts: did you mean --timeout?",
    '--kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS) is "kafka": write host:port, several with commas between them',
    NO_TOPIC,
    "--kafka-ssl-cert-file (KAFKA_SSL_CERT_FILE) is missing: a key needs its certificate",
    "a key and a certificate for Kafka need TLS: add --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), or set --kafka-ssl " +
    "(KAFKA_SSL) to true",
    '--timeout (CHECK_TIMEOUT) is "0": write seconds, from 0.001 to 3600',
    '--shard (CHECK_SHARD) is "3/2": write I/N, such as 2/3 for the second of three',
    'TZ is "Mars": no such time zone is known here: write a name such as Europe/Berlin or UTC',
    '--log-level (LOG_LEVEL) is "LOUD": write ERROR, WARN, INFO or DEBUG',
  ]);
});

it("readConsumerSettings says everything that is wrong at once", () => {
  const environment = { KAFKA_TOPIC: "a b", DB_PORT: "x", DB_PASSWORD: "secret", DB_PASSWORD_FILE: "x", DB_USER: "u" };
  expect(problems("consumer --batch-size 0 --db-table 1 extra", environment)).toEqual([
    '"extra" is not understood: consumer.ts takes flags only',
    NO_SERVERS,
    '--kafka-topic (KAFKA_TOPIC) is "a b": write 1 to 249 letters, digits, dots, dashes or underscores',
    NO_HOST,
    '--db-port (DB_PORT) is "x": write a whole number from 1 to 65535',
    NO_NAME,
    "DB_PASSWORD and --db-password-file (DB_PASSWORD_FILE) are both set: unset one of them",
    '--db-table (DB_TABLE) is "1": write a name as in SQL: metrics, monitoring.metrics or "My Table"',
    '--batch-size (DB_BATCH_SIZE) is "0": write a whole number from 1 to 100000',
  ]);
});

it.each([
  ["producer hosts.txt --kafka-topic", "--kafka-topic needs a value: write --kafka-topic NAME"],
  ["producer hosts.txt --stdout=yes", "--stdout takes no value: write --stdout alone"],
  ["consumer --stdin --embedded", "--embedded needs a value: write --embedded DIR"],
  ["consumer --stdin --db-url=", "--db-url needs a value: write --db-url URL"],
])("%s: a flag that is given wrongly is not called missing as well", (commandLine, problem) => {
  expect(problems(commandLine, { KAFKA_BOOTSTRAP_SERVERS: "a:1" })).toEqual([problem]);
});

it.each<readonly [string, readonly string[]]>([
  ["producer --from a.json --check --once --stdout", [
    "--check contradicts --once: leave out one of them",
    ...["--stdout", "--once", "--check"].map((flag) => `${flag} contradicts --from: leave out one of them`),
  ]],
  ["producer --from a.yml b.yml c.yml", ['"c.yml" is one file of modules too many: "b.yml" is one already']],
  ["producer --from", ["--from needs a value: write --from FILE"]],
  ["producer hosts.txt --once --check", ["--check contradicts --once: leave out one of them"]],
  ["producer hosts.txt --stdout --kafka-topic a --kafka-partitions 1", [
    "--kafka-topic (KAFKA_TOPIC) contradicts --stdout: leave out one of them",
    "--kafka-partitions (KAFKA_PARTITIONS) contradicts --stdout: leave out one of them",
  ]],
  ["producer hosts.txt --stdout --spool a", ["--spool (CHECK_SPOOL) contradicts --stdout: leave out one of them"]],
  ["producer hosts.txt --stdout --group a", ["--group (CHECK_GROUP) contradicts --stdout: leave out one of them"]],
  ["producer hosts.txt --once --group a", ["--group (CHECK_GROUP) contradicts --once: leave out one of them"]],
  ["producer hosts.txt --shard 1/2 --group a", [
    "--shard (CHECK_SHARD) contradicts --group (CHECK_GROUP), which shares the hosts by itself: leave out one of them",
  ]],
  ["consumer --stdin --kafka-group a", ["--kafka-group (KAFKA_GROUP) contradicts --stdin: leave out one of them"]],
  ["consumer --stdin --print-schema", ["--print-schema contradicts --stdin: leave out one of them"]],
  ["consumer --stdin --embedded data --query q", ["--query contradicts --stdin: leave out one of them"]],
  ["consumer --embedded data --query q --print-schema", ["--print-schema contradicts --query: leave out one of them"]],
  ["consumer --embedded data --db-host a --db-password-file b", [
    "--db-host (DB_HOST) contradicts --embedded: leave out one of them",
    "--db-password-file (DB_PASSWORD_FILE) contradicts --embedded: leave out one of them",
  ]],
  ["consumer --db-keep-now", [
    "--db-keep-now shortens nothing: say how long with DB_KEEP (--db-keep), or leave it out",
  ]],
  ["consumer --notify-test", ["NOTIFY is missing: write where incidents are told, as docs/alerts.md says"]],
  ["consumer --notify-test --stdin --notify-wait 2h", [
    "--stdin contradicts --notify-test: leave out one of them",
    '--notify-wait (NOTIFY_WAIT) is "2h": write a time such as 30s, 5m or 4h, from 0 to 3600 seconds',
    "NOTIFY is missing: write where incidents are told, as docs/alerts.md says",
  ]],
  ["consumer --stdin --notify-again 1s", [
    '--notify-again (NOTIFY_AGAIN) is "1s": write never, or a time such as 30m or 4h, from 60 to 2592000 seconds',
  ]],
  ["consumer --stdin --canary https://me:pw@one.example,ftp://two.example", [
    "--canary (CANARY): ftp://two.example is no address of a host: write them as the hosts file has them, such as " +
    "https://one.example,two.example",
  ]],
  ["consumer --stdin --canary ,", [
    "--canary (CANARY): it names no host: write them as the hosts file has them, such as https://one.example,two.example",
  ]],
  ["consumer --query q", ["--query asks an embedded database only: add --embedded DIR; ask a server with psql"]],
])("%s is refused: %j", (commandLine, want) => {
  expect(problems(commandLine, ENOUGH)).toEqual(want);
});

it.each([
  ["producer hosts.txt --stdout", { kafka: null, mode: "run" }],
  ["producer hosts.txt --stdout --once", { kafka: null, mode: "once", spool: null }],
  ["producer --from a.json", { from: { file: "a.json", modules: null }, hostsFile: "" }],
  ["producer --from - blackbox.yml", { from: { file: "-", modules: "blackbox.yml" }, hostsFile: "" }],
  ["producer - --check", { hostsFile: "-", mode: "check", kafka: { topic: "metrics" } }],
  ["consumer --stdin", { source: "stdin", kafka: null, database: { kind: "server" } }],
  ["consumer --stdin --embedded data", { kafka: null, database: { kind: "embedded", directory: "data" } }],
  ["consumer --embedded data", { source: "kafka", kafka: { topic: "metrics" }, database: { kind: "embedded" } }],
  ["consumer --embedded data --query q", { kafka: null, database: { kind: "embedded" }, query: "q" }],
  ["consumer --embedded data --db-table a --batch-size 9", { table: { schema: null, name: "a" }, batchSize: 9 }],
  [
    "consumer --stdin --embedded data --db-keep 1day --db-keep-rejected 2days --db-keep-daily 3days --db-keep-evidence all --db-keep-now",
    {
      retention: {
        rows: { count: 1, unit: "day" },
        rejected: { count: 2, unit: "day" },
        daily: { count: 3, unit: "day" },
        evidence: "all",
        isNow: true,
      },
    },
  ],
  ["consumer --print-schema --db-table a.b", {
    kafka: null,
    database: null,
    printSchema: true,
    table: { schema: "a", name: "b" },
  }],
])("%s is a mode, and variables that it has no use for are left alone", (commandLine, settings) => {
  const [program, ...args] = commandLine.split(" ");
  const read = program === "producer" ? readProducerSettings : readConsumerSettings;
  expect(settingsOf<object>(read(args, ENOUGH))).toMatchObject(settings);
});

describe("TLS to Kafka", () => {
  const [CA, KEY, CERT] = [
    { KAFKA_SSL_CA_FILE: "ca.pem" },
    { KAFKA_SSL_KEY_FILE: "key.pem" },
    { KAFKA_SSL_CERT_FILE: "cert.pem" },
  ];
  const NEEDS_TLS =
    "a key and a certificate for Kafka need TLS: add --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), or set --kafka-ssl " +
    "(KAFKA_SSL) to true";
  const NEEDS_CERT = "--kafka-ssl-cert-file (KAFKA_SSL_CERT_FILE) is missing: a key needs its certificate";
  const NEEDS_KEY = "--kafka-ssl-key-file (KAFKA_SSL_KEY_FILE) is missing: a certificate needs its key";

  it.each<readonly [Environment, boolean]>([
    [{}, false],
    [CA, true],
    [{ KAFKA_SSL: "true" }, true],
    [{ KAFKA_SSL: "false" }, false],
    [{ ...CA, KAFKA_SSL: "false" }, false],
    [{ ...CA, ...KEY, ...CERT }, true],
    [{ ...KEY, ...CERT, KAFKA_SSL: "true" }, true],
    [{ ...CA, ...KEY, ...CERT, KAFKA_SSL: "false" }, false],
    [{ KAFKA_SSL_CA_FILE: "", KAFKA_SSL: "" }, false],
  ])("readProducerSettings takes %j for TLS: %s", (environment, enabled) => {
    expect(producer([], { ...KAFKA, ...environment }).kafka?.ssl).toEqual({
      enabled,
      caFile: environment.KAFKA_SSL_CA_FILE || null,
      keyFile: environment.KAFKA_SSL_KEY_FILE ?? null,
      certFile: environment.KAFKA_SSL_CERT_FILE ?? null,
      keyPassword: null,
      keyPasswordFile: null,
    });
  });

  it.each<readonly [Environment, readonly string[]]>([
    [{ ...CA, ...KEY }, [NEEDS_CERT]],
    [{ ...CA, ...CERT }, [NEEDS_KEY]],
    [{ ...CA, ...CERT, KAFKA_SSL_KEY_FILE: "" }, [NEEDS_KEY]],
    [{ ...KEY, KAFKA_SSL: "true" }, [NEEDS_CERT]],
    [{ ...KEY, KAFKA_SSL: "false" }, [NEEDS_CERT]],
    [KEY, [NEEDS_CERT, NEEDS_TLS]],
    [{ ...KEY, ...CERT }, [NEEDS_TLS]],
    [{ ...KEY, ...CERT, KAFKA_SSL: "on" }, ['--kafka-ssl (KAFKA_SSL) is "on": write true or false']],
  ])("readConsumerSettings refuses %j: %j", (environment, want) => {
    expect(problems("consumer", { ...ENOUGH, ...environment })).toEqual(want);
    expect(problems("producer hosts.txt", { ...ENOUGH, ...environment })).toEqual(want);
  });

  it("readProducerSettings pairs a key's flag with a certificate's variable", () => {
    const { kafka } = producer(["--kafka-ssl-key-file", "other.pem"], { ...KAFKA, ...CA, ...KEY, ...CERT });
    expect(kafka?.ssl).toMatchObject({ enabled: true, caFile: "ca.pem", keyFile: "other.pem", certFile: "cert.pem" });
  });

  const PASSWORD = { KAFKA_SSL_KEY_PASSWORD: "s3cret" };

  it("readProducerSettings takes the key's password from the variable", () => {
    const { kafka } = producer([], { ...KAFKA, ...CA, ...KEY, ...CERT, ...PASSWORD });
    expect(kafka?.ssl).toMatchObject({ keyPassword: "s3cret", keyPasswordFile: null });
  });

  it.each(["flag", "variable"])(
    "readProducerSettings takes it from the file that a %s names, without one newline",
    (by) => {
      const path = file("key_password", "s3 cret\n\n");
      const args = by === "flag" ? ["--kafka-ssl-key-password-file", path] : [];
      const variable = by === "flag" ? {} : { KAFKA_SSL_KEY_PASSWORD_FILE: path };
      const { kafka } = producer(args, { ...KAFKA, ...CA, ...KEY, ...CERT, ...variable });
      expect(kafka?.ssl).toMatchObject({ keyPassword: "s3 cret\n", keyPasswordFile: path });
    },
  );

  it.each<readonly [Environment, readonly string[]]>([
    [
      { ...KEY, ...CERT, ...PASSWORD, KAFKA_SSL_KEY_PASSWORD_FILE: "/nowhere" },
      [
        "KAFKA_SSL_KEY_PASSWORD and --kafka-ssl-key-password-file (KAFKA_SSL_KEY_PASSWORD_FILE) are both set: unset one of them",
      ],
    ],
    [
      { ...KEY, ...CERT, KAFKA_SSL_KEY_PASSWORD_FILE: "/nowhere" },
      [`--kafka-ssl-key-password-file (KAFKA_SSL_KEY_PASSWORD_FILE) is "/nowhere": ${UNREADABLE}`],
    ],
    [PASSWORD, ["--kafka-ssl-key-file (KAFKA_SSL_KEY_FILE) is missing: a password for a key needs the key"]],
  ])("readConsumerSettings refuses a key's password in %j: %j", (environment, want) => {
    expect(problems("consumer", { ...ENOUGH, ...CA, ...environment })).toEqual(want);
    expect(problems("producer hosts.txt", { ...ENOUGH, ...CA, ...environment })).toEqual(want);
  });
});

describe("the password", () => {
  it.each([
    ["secret", "secret"],
    ["secret\n", "secret"],
    ["secret\r\n", "secret"],
    ["secret\n\n", "secret\n"],
    ["\nse cret \n", "\nse cret "],
    ["pässwort€\n", "pässwort€"],
  ])("readConsumerSettings reads a file of %j as %j", (content, password) => {
    const path = file("password", content);
    expect(server([], { ...ENOUGH, DB_PASSWORD_FILE: path })?.password).toBe(password);
    expect(server(["--db-password-file", path], { ...ENOUGH, DB_PASSWORD_FILE: "nowhere" })?.password)
      .toBe(password);
  });

  it("readConsumerSettings takes DB_PASSWORD as it is, and an empty one for none", () => {
    expect(server([], { ...ENOUGH, DB_PASSWORD: " $'\"#\n" })?.password).toBe(" $'\"#\n");
    expect(server([], { ...ENOUGH, DB_PASSWORD: "" })?.password).toBeNull();
    const path = file("password", "from file");
    expect(server([], { ...ENOUGH, DB_PASSWORD: "", DB_PASSWORD_FILE: path })?.password).toBe("from file");
    expect(server([], { ...ENOUGH, DB_PASSWORD: "from variable", DB_PASSWORD_FILE: "" })?.password)
      .toBe("from variable");
  });

  it.each<readonly [string, Environment]>([
    ["consumer", { DB_PASSWORD: "secret", DB_PASSWORD_FILE: "nowhere" }],
    ["consumer --db-password-file nowhere", { DB_PASSWORD: "secret" }],
  ])("readConsumerSettings refuses a password and its file: %s with %j", (commandLine, set) => {
    expect(problems(commandLine, { ...ENOUGH, ...set })).toEqual([
      "DB_PASSWORD and --db-password-file (DB_PASSWORD_FILE) are both set: unset one of them",
    ]);
  });

  it("readConsumerSettings refuses a password file that is missing, a folder or empty", () => {
    const said = (path: string) => problems("consumer", { ...ENOUGH, DB_PASSWORD_FILE: path });
    const name = "--db-password-file (DB_PASSWORD_FILE) is";
    expect(said("/nowhere/at/all")).toEqual([`${name} "/nowhere/at/all": ${UNREADABLE}`]);
    expect(said(directory)).toEqual([
      `${name} ${JSON.stringify(directory)}: ${UNREADABLE.replace("ENOENT", "EISDIR")}`,
    ]);
    const path = file("empty", "\n");
    expect(said(path)).toEqual([`${name} ${JSON.stringify(path)}: that file is empty`]);
  });

  it.each(["--db-password secret", "--db-password=secret"])("readConsumerSettings knows no flag %s", (flag) => {
    expect(problems(`consumer ${flag}`, ENOUGH)).toEqual([
      "--db-password is no flag of consumer.ts: did you mean --db-password-file?",
    ]);
  });
});

describe("DATABASE_URL", () => {
  const DATABASE_URL = "postgres://url-user:url-secret@url.example:7777/url-name?sslmode=verify-ca&sslrootcert=url.pem";
  const fromUrl = {
    kind: "server",
    host: "url.example",
    port: 7777,
    name: "url-name",
    user: "url-user",
    password: "url-secret",
    sslMode: "verify-ca",
    sslCaFile: "url.pem",
  };

  it("readConsumerSettings takes every part from the URL", () => {
    expect(server([], { DATABASE_URL })).toEqual(fromUrl);
  });

  it.each<readonly [Environment, object]>([
    [{ DB_HOST: "variable.example" }, { host: "variable.example" }],
    [{ DB_PORT: "1111" }, { port: 1111 }],
    [{ DB_NAME: "variable-name" }, { name: "variable-name" }],
    [{ DB_USER: "variable-user" }, { user: "variable-user" }],
    [{ DB_PASSWORD: "variable-secret" }, { password: "variable-secret" }],
    [{ DB_SSL_MODE: "disable" }, { sslMode: "disable" }],
    [{ DB_SSL_CA_FILE: "variable.pem" }, { sslCaFile: "variable.pem" }],
    [{ DB_HOST: "", DB_PORT: "", DB_NAME: "", DB_USER: "", DB_PASSWORD: "", DB_SSL_MODE: "" }, {}],
  ])("readConsumerSettings prefers %j to that part of the URL", (environment, part) => {
    expect(server([], { DATABASE_URL, ...environment })).toEqual({ ...fromUrl, ...part });
  });

  it.each([
    ["--db-host=flag.example", { host: "flag.example" }],
    ["--db-port=1111", { port: 1111 }],
    ["--db-name=flag-name", { name: "flag-name" }],
    ["--db-user=flag-user", { user: "flag-user" }],
    ["--db-ssl-mode=prefer", { sslMode: "prefer" }],
    ["--db-ssl-ca-file=flag.pem", { sslCaFile: "flag.pem" }],
  ])("readConsumerSettings prefers %s to that part of the URL, and to the variable", (flag, part) => {
    expect(server([flag], { DATABASE_URL })).toEqual({ ...fromUrl, ...part });
    const variables = { DB_HOST: "v", DB_PORT: "1", DB_NAME: "v", DB_USER: "v", DB_SSL_MODE: "disable" };
    expect(server([flag], { DATABASE_URL, ...variables })).toMatchObject(part);
  });

  it("readConsumerSettings prefers the password in a file to that of the URL", () => {
    const DB_PASSWORD_FILE = file("password", "file-secret\n");
    expect(server([], { DATABASE_URL, DB_PASSWORD_FILE })?.password).toBe("file-secret");
  });

  it("readConsumerSettings prefers --db-url to DATABASE_URL as a whole", () => {
    expect(server(["--db-url", "postgres://flag-user@flag.example/flag-name"], { DATABASE_URL })).toEqual({
      ...fromUrl,
      host: "flag.example",
      port: 5432,
      name: "flag-name",
      user: "flag-user",
      password: null,
      sslMode: "require",
      sslCaFile: null,
    });
  });

  it("readConsumerSettings leaves the port and the table to their defaults where nothing names them", () => {
    const settings = consumer([], { ...KAFKA, DATABASE_URL: "postgres://u@h/n" });
    expect(settings).toMatchObject({ database: { port: 5432 }, table: { schema: null, name: "host_metrics" } });
  });

  it("readConsumerSettings refuses a password in the flag, which is fine in the variable", () => {
    expect(problems(["consumer", "--db-url", DATABASE_URL], KAFKA)).toEqual([
      "--db-url holds a password, which everyone on the machine can see: use DATABASE_URL, or DB_PASSWORD",
    ]);
    expect(problems("consumer", { ...KAFKA, DATABASE_URL })).toEqual([]);
    expect(problems(["consumer", "--db-url", "postgres://u:@h/n"], KAFKA)).toEqual([]);
  });

  it.each([
    "url-secret",
    "postgres://u:url-secret@h:x/n",
    "postgres://u:12?url-secret@h/n",
    "postgres://u:12?sslmode=url-secret@h/n",
    "postgres://u:12/url-secret@h",
    "postgres://u:12#url-secret@h/n",
    "postgres://u:url-secret%@h/n",
    "postgres://u:url-secret@h/n/m",
    "postgres://u:url-secret@h/n?wonder=x",
    "postgres://u:url-secret@h,i/n",
    "postgresql+asyncpg://u:url-secret@h/n",
    "postgres://u:url-secret@h/n?sslpassword=url-secret&options=url-secret",
    "mysql://u:url-secret@h/n",
  ])("readConsumerSettings never says what stands in a wrong URL's password: %s", (url) => {
    const name = "--db-url (DATABASE_URL): ";
    const said = [
      problems("consumer", { ...KAFKA, DATABASE_URL: url }),
      problems(["consumer", "--db-url", url], KAFKA),
      problems(["consumer", `--db-url=${url}`], KAFKA),
    ];
    for (const [only, ...others] of said) {
      expect(only).toMatch(name);
      expect(only).not.toMatch("secret");
      expect(others).toEqual([]);
    }
  });
});

describe("DB_SSL_MODE", () => {
  it.each([
    ["db.example", "require"],
    ["10.0.0.1", "require"],
    ["127.example.com", "require"],
    ["localhost.example", "require"],
    ["localhost", "prefer"],
    ["LocalHost", "prefer"],
    ["127.0.0.1", "prefer"],
    ["127.0.1.1", "prefer"],
    ["::1", "prefer"],
    ["/var/run/postgresql", "disable"],
  ])("readConsumerSettings takes a server at %s without DB_SSL_MODE for one of mode %s", (host, mode) => {
    expect(server([], { ...SERVER, DB_HOST: host })?.sslMode).toBe(mode);
    expect(server([`--db-host=${host}`], SERVER)?.sslMode).toBe(mode);
    const inUrl = host.includes(":") ? `[${host}]` : encodeURIComponent(host);
    expect(server([], { DATABASE_URL: `postgres://u@${inUrl}:5432/n` })?.sslMode).toBe(mode);
  });

  it.each(["disable", "prefer", "require", "verify-ca", "verify-full"])(
    "readConsumerSettings takes %s for any server",
    (mode) => {
      for (const DB_HOST of ["db.example", "localhost"]) {
        expect(server([], { ...SERVER, DB_HOST, DB_SSL_MODE: mode })?.sslMode).toBe(mode);
      }
    },
  );
});

it.each(["--help", "-h", "--version"])(
  "readProducerSettings and readConsumerSettings answer %s whatever else is wrong",
  (flag) => {
    for (const read of [readProducerSettings, readConsumerSettings]) {
      expect(read(["--unknown", "--log-level=LOUD", "a", "b", flag], { KAFKA_TOPIC: "a b" })).toEqual({
        kind: "text",
        text: expect.stringMatching(flag === "--version" ? /^host-checker \d/ : /^Usage: /),
      });
    }
  },
);

it.each<ProgramName>(["producer", "consumer"])(
  "environmentOf gives the variables of the %s, and no others",
  (program) => {
    vi.stubEnv("LOG_LEVEL", "DEBUG");
    try {
      const environment = environmentOf(program);
      const variables = optionsOf(program).flatMap(([, { variable }]) => variable === undefined ? [] : [variable]);
      expect(Object.keys(environment).sort()).toEqual(variables.sort());
      expect(environment.LOG_LEVEL).toBe("DEBUG");
    } finally {
      vi.unstubAllEnvs();
    }
  },
);

describe("SASL", () => {
  const login = {
    KAFKA_SASL_MECHANISM: "SCRAM-SHA-256",
    KAFKA_SASL_USERNAME: "checker",
    KAFKA_SASL_PASSWORD: "s3cret",
  };
  const read = (environment: Environment) => readConsumerSettings([], { ...ENOUGH, ...environment });

  it("readConsumerSettings takes a login of three parts", () => {
    const expected = { mechanism: "scram-sha-256", username: "checker", password: "s3cret" };
    expect(settingsOf(read(login)).kafka?.sasl).toEqual(expected);
  });

  it.each([
    [
      "KAFKA_SASL_MECHANISM",
      "--kafka-sasl-mechanism (KAFKA_SASL_MECHANISM) is missing: write plain, scram-sha-256 or scram-sha-512",
    ],
    ["KAFKA_SASL_USERNAME", "--kafka-sasl-username (KAFKA_SASL_USERNAME) is missing: write the name to log in with"],
    ["KAFKA_SASL_PASSWORD", "KAFKA_SASL_PASSWORD is missing: set it, or name a file in --kafka-sasl-password-file"],
  ])("readConsumerSettings asks for %s where the other parts are given", (variable, problem) => {
    expect(problemsOf(read({ ...login, [variable]: "" }))).toEqual([problem]);
  });

  it("readConsumerSettings names the mechanisms that it knows", () => {
    expect(problemsOf(read({ ...login, KAFKA_SASL_MECHANISM: "gssapi" }))).toEqual([
      '--kafka-sasl-mechanism (KAFKA_SASL_MECHANISM) is "gssapi": write plain, scram-sha-256 or scram-sha-512',
    ]);
  });

  it("readConsumerSettings refuses a password and a file of one", () => {
    expect(problemsOf(read({ ...login, KAFKA_SASL_PASSWORD_FILE: "/nowhere" }))).toEqual([
      "KAFKA_SASL_PASSWORD and --kafka-sasl-password-file (KAFKA_SASL_PASSWORD_FILE) are both set: unset one of them",
    ]);
  });
});

describe("--health", () => {
  it.each(
    [
      ["producer", (args: string[], env: Environment) => readProducerSettings(args, env)],
      ["consumer", (args: string[], env: Environment) => readConsumerSettings(args, env)],
    ] as const,
  )("read%sSettings wants nothing but the address of the program to ask", (_, read) => {
    expect(read(["--health"], { LISTEN: "127.0.0.1:9464" })).toEqual({
      kind: "health",
      address: { host: "127.0.0.1", port: 9464 },
    });
    expect(problemsOf(read(["--health"], {}))).toEqual([
      expect.stringMatching(
        /^--listen \(LISTEN\) or (PRODUCER|CONSUMER)_LISTEN is missing: write the address at which the program listens$/,
      ),
    ]);
  });

  it("readProducerSettings and readConsumerSettings prefer the flag to the own variable, and that to LISTEN", () => {
    const environment = { ...ENOUGH, LISTEN: "a:1", PRODUCER_LISTEN: "b:2", CONSUMER_LISTEN: "c:3" };
    const ports = (args: string[], environment: Environment) => [
      settingsOf(readProducerSettings([...args, "hosts.txt"], environment)).listen?.port,
      settingsOf(readConsumerSettings(args, environment)).listen?.port,
    ];
    expect(ports([], environment)).toEqual([2, 3]);
    expect(ports(["--listen", "d:4"], environment)).toEqual([4, 4]);
    expect(ports([], { ...environment, PRODUCER_LISTEN: "", CONSUMER_LISTEN: "" })).toEqual([1, 1]);
    expect(problemsOf(readConsumerSettings([], { ...environment, CONSUMER_LISTEN: "c" }))).toEqual([
      expect.stringMatching(/^CONSUMER_LISTEN is "c": /),
    ]);
  });
});

describe("the page", () => {
  const read = (args: readonly string[], environment: Environment = {}) =>
    readConsumerSettings(args, { ...ENOUGH, ...environment });

  it("is called, limited and known by its flags, else by its variables", () => {
    const environment = { LISTEN: "a:1", PAGE_TITLE: "Sites", PAGE_HOSTS: " b*  c? ", PAGE_URL: "https://a.example" };
    expect(settingsOf(read([], environment)).page).toEqual({
      directory: null,
      title: "Sites",
      hosts: ["b*", "c?"],
      url: "https://a.example/",
    });
    const flags = ["--page-title", "Ours", "--page-hosts", "*", "--page-url", "http://b.example:81/checks"];
    expect(settingsOf(read(flags, environment)).page).toEqual({
      directory: null,
      title: "Ours",
      hosts: ["*"],
      url: "http://b.example:81/checks/",
    });
  });

  it.each([
    ["--page-title", "a\nb", "control character"],
    ["--page-hosts", " ", "addresses"],
    ["--page-url", "status.example", "such as https://status.example/"],
    ["--page-url", "ftp://a.example", "such as https://status.example/"],
    ["--page-url", "https://me:secret@a.example", "such as https://status.example/"],
    ["--page-url", "https://a.example/?x=1", "such as https://status.example/"],
  ])("%s is refused where it is %j", (flag, text, message) => {
    expect(problemsOf(read([flag, text, "--page", "x"]))).toEqual([expect.stringContaining(message)]);
  });

  it.each(PAGE)("%s needs a page, where it is a flag", (name) => {
    const { flag } = OPTIONS[name];
    expect(problemsOf(read([`--${flag}`, "https://a.example/"]))).toEqual([
      `--${flag} changes a page, and there is none: add --listen or --page`,
    ]);
    expect(problemsOf(read([`--${flag}`, "https://a.example/"], { CONSUMER_LISTEN: "a:1" }))).toEqual([]);
  });
});

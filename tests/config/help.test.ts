import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fallback, helpText, versionText } from "../../lib/config/help.ts";
import { type Option, OPTIONS, optionsOf, type ProgramName } from "../../lib/config/options.ts";

/** The promise to users: flag, variable, and the default or its stand-in. */
const BOTH = [
  ["--kafka-bootstrap-servers HOST:PORT,...", "KAFKA_BOOTSTRAP_SERVERS; required"],
  ["--kafka-topic NAME", "KAFKA_TOPIC; required"],
  ["--kafka-ssl-ca-file FILE", "KAFKA_SSL_CA_FILE; default: plain TCP"],
  ["--kafka-ssl-key-file FILE", "KAFKA_SSL_KEY_FILE; default: none"],
  ["--kafka-ssl-cert-file FILE", "KAFKA_SSL_CERT_FILE; default: none"],
  ["KAFKA_SSL_KEY_PASSWORD", "default: none"],
  ["--kafka-ssl-key-password-file FILE", "KAFKA_SSL_KEY_PASSWORD_FILE; default: none"],
  ["--kafka-ssl true|false", "KAFKA_SSL; default: true where a CA file is given"],
  ["--kafka-sasl-mechanism NAME", "KAFKA_SASL_MECHANISM; default: none"],
  ["--kafka-sasl-username NAME", "KAFKA_SASL_USERNAME; default: none"],
  ["KAFKA_SASL_PASSWORD", "default: none"],
  ["--kafka-sasl-password-file FILE", "KAFKA_SASL_PASSWORD_FILE; default: none"],
  ["--listen HOST:PORT", "LISTEN; default: no HTTP port"],
  ["--health"],
  ["--kafka-client NAME", "KAFKA_CLIENT; default: auto"],
  ["--log-level LEVEL", "LOG_LEVEL; default: INFO"],
  ["--help"],
  ["--version"],
] as const;
const PROMISED: Readonly<Record<ProgramName, readonly (readonly [left: string, right?: string])[]>> = {
  producer: [
    ...BOTH,
    ["--kafka-partitions N", "KAFKA_PARTITIONS; default: the topic must exist"],
    ["--kafka-compression NAME", "KAFKA_COMPRESSION; default: lz4"],
    ["--timeout SECONDS", "CHECK_TIMEOUT; default: 10"],
    ["--concurrency N", `CHECK_CONCURRENCY; default: ${OPTIONS.concurrency.default}`],
    ["--threads N", "CHECK_THREADS; default: cores less one, at least 1"],
    ["--location TEXT", "CHECK_LOCATION; default: none"],
    ["--producer-name TEXT", "CHECK_PRODUCER_NAME; default: the machine's name"],
    ["--shard I/N", "CHECK_SHARD; default: 1/1"],
    ["--group NAME", "CHECK_GROUP; default: none"],
    ["--spool DIR", "CHECK_SPOOL; default: they wait in memory only"],
    ["--block-private-addresses", "CHECK_BLOCK_PRIVATE_ADDRESSES; default: off"],
    ["--evidence", "CHECK_EVIDENCE; default: off"],
    ["TZ", "default: the system's"],
    ["PRODUCER_LISTEN", "default: LISTEN"],
    ["--stdout"],
    ["--once"],
    ["--check"],
    ["--from FILE"],
  ],
  consumer: [
    ...BOTH,
    ["--kafka-group NAME", "KAFKA_GROUP; default: host-checker"],
    ["--kafka-start WHERE", "KAFKA_START; default: earliest"],
    ["--db-url URL", "DATABASE_URL; default: none"],
    ["--db-host HOST", "DB_HOST; required"],
    ["--db-port PORT", "DB_PORT; default: 5432"],
    ["--db-name NAME", "DB_NAME; required"],
    ["--db-user ROLE", "DB_USER; required"],
    ["DB_PASSWORD", "default: none"],
    ["--db-password-file FILE", "DB_PASSWORD_FILE; default: none"],
    ["--db-table TABLE", "DB_TABLE; default: host_metrics"],
    ["--db-partition LENGTH", "DB_PARTITION; default: month"],
    ["--db-keep TIME", "DB_KEEP; default: all"],
    ["--db-keep-rejected TIME", "DB_KEEP_REJECTED; default: all"],
    ["--db-keep-daily TIME", "DB_KEEP_DAILY; default: all"],
    ["--db-keep-evidence TIME", "DB_KEEP_EVIDENCE; default: 30days"],
    ["--db-keep-now"],
    ["--db-ssl-mode MODE", "DB_SSL_MODE; default: require; on loopback prefer"],
    ["--db-ssl-ca-file FILE", "DB_SSL_CA_FILE; default: the system's CAs"],
    ["--batch-size N", "DB_BATCH_SIZE; default: 500"],
    ["--batch-interval SECONDS", "DB_BATCH_INTERVAL; default: 1"],
    ["--down-after N", "DOWN_AFTER; default: 2"],
    ["--up-after N", "UP_AFTER; default: 1"],
    ["--places N|majority", "PLACES; default: 1"],
    ["--canary URL,...", "CANARY; default: none"],
    ["--certificate-days DAYS", "CERTIFICATE_DAYS; default: 21"],
    ["NOTIFY", "default: none"],
    ["NOTIFY_FILE", "default: none"],
    ["--notify-wait TIME", "NOTIFY_WAIT; default: 30s"],
    ["--notify-again TIME", "NOTIFY_AGAIN; default: never"],
    ["--notify-test"],
    ["CONSUMER_LISTEN", "default: LISTEN"],
    ["--metrics-hosts", "METRICS_HOSTS; default: off"],
    ["--page DIR", "PAGE; default: no files"],
    ["--page-title TEXT", "PAGE_TITLE; default: Host Checker"],
    ["--page-hosts GLOB", "PAGE_HOSTS; default: all hosts"],
    ["--page-url URL", "PAGE_URL; default: none"],
    ["--stdin"],
    ["--embedded DIR"],
    ["--query SQL"],
    ["--print-schema"],
  ],
};

/** The entries of a help text: the left part, and the part in brackets, on one line each. */
function entriesOf(text: string): [string, string?][] {
  const entries = text.split(/\n(?= {2}\S)/).slice(1);
  return entries.map((entry) => {
    const [left = "", ...rest] = entry.trim().split(/ {2,}|\n\n/);
    const origin = /\[(.+?)\]/.exec(rest.join(" ").replaceAll("\n", ""))?.[1];
    return origin === undefined ? [left.trim()] : [left.trim(), origin];
  });
}

describe.each<ProgramName>(["producer", "consumer"])("helpText of the %s", (program) => {
  it("lists every option that was promised, with its variable and its default, and no other", () => {
    expect(entriesOf(helpText(program)).sort()).toEqual([...PROMISED[program]].sort());
  });

  it("keeps to 100 columns, and ends with a line break", () => {
    const lines = helpText(program).split("\n");
    expect(lines.filter((line) => line.length > 100 && !line.startsWith("A setting is "))).toEqual([]);
    expect(lines.at(-1)).toBe("");
  });

  it("says what each option is, in the words of OPTIONS", () => {
    const text = helpText(program).replace(/\s+/g, " ");
    const silent = optionsOf(program).filter(([, { help }]) => !text.includes(help)).map(([name]) => name);
    expect(silent).toEqual([]);
  });
});

it("helpText says how each program is called", () => {
  expect(helpText("producer")).toMatch(/^Usage: producer\.ts \[options\] HOSTS_FILE\n/);
  expect(helpText("consumer")).toMatch(/^Usage: consumer\.ts \[options\]\n/);
});

it("versionText gives the version of package.json", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(versionText()).toBe(`host-checker ${version}\n`);
});

it.each<readonly [Partial<Option>, string | undefined]>([
  [{ variable: "A", otherwise: "required" }, "required"],
  [{ variable: "A", default: "5" }, "default: 5"],
  [{ variable: "A", otherwise: "the system's" }, "default: the system's"],
  [{ variable: "A" }, "default: none"],
  [{ flag: "a" }, undefined],
])("fallback of %j is %s", (part, text) => {
  expect(fallback({ section: "Other", programs: ["producer"], help: "", ...part })).toBe(text);
});

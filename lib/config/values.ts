import * as v from "valibot";
import { type DatabaseUrl, parseDatabaseUrl } from "./database_url.ts";
import { parseInstant } from "./instant.ts";
import {
  type ListenAddress,
  type LogLevel,
  SSL_MODES,
  type SslMode,
  type Start,
  type TableName,
} from "./setting_types.ts";
import { parseTableName } from "./table_name.ts";
import { parseTimeZone } from "./time_zone.ts";

// Schemas from the text of a setting to its value. Each message completes the sentence `--flag
// (VARIABLE) is "text": …`.

/** What every schema here is: a text goes in. */
export type TextSchema<T = unknown> = v.GenericSchema<string, T>;

function numberFrom(pattern: RegExp, least: number, most: number, message: string): TextSchema<number> {
  return v.pipe(
    v.string(),
    v.regex(pattern, message),
    v.transform(Number),
    v.minValue(least, message),
    v.maxValue(most, message),
  );
}

export const wholeNumber = (least: number, most: number) =>
  numberFrom(/^\d+$/, least, most, `write a whole number from ${least} to ${most}`);

export const seconds = (least: number, most: number) =>
  numberFrom(/^\d+(\.\d+)?$/, least, most, `write seconds, from ${least} to ${most}`);

/** A schema around a function that throws what is wrong with a text. */
function parsedBy<T>(parse: (text: string) => T): TextSchema<T> {
  return v.pipe(
    v.string(),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return parse(dataset.value);
      } catch (error) {
        addIssue({ message: (error as Error).message });
        return NEVER;
      }
    }),
  );
}

/** PostgreSQL and Kafka take neither control characters in a name nor half a character. */
export const anyText: TextSchema<string> = v.pipe(
  v.string(),
  v.check((text) => !/\p{Cc}/u.test(text) && text.isWellFormed(), "leave out the control character in it"),
);

/** A host's name or address, or a folder. A port behind it is told apart from an IPv6 address. */
export const databaseHost: TextSchema<string> = v.pipe(
  anyText,
  v.check(
    (text) => !/^(?:[^/:]+|\[.*\]):\d*$/.test(text),
    "write the host alone, and the port in DB_PORT (--db-port)",
  ),
);

/** As it is: what a file or a query may be called is for others to judge. */
export const anything: TextSchema<string> = v.string();

const list = (words: readonly string[]) => `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;

/** One of some words, in any case. */
export function oneOf<const T extends readonly string[]>(words: T): TextSchema<T[number]> {
  return v.pipe(
    v.string(),
    v.transform((text) => text.toLowerCase()),
    v.picklist(words, `write ${list(words)}`),
  );
}

export const trueOrFalse: TextSchema<boolean> = v.pipe(
  oneOf(["true", "false"]),
  v.transform((word) => word === "true"),
);

export const sslMode: TextSchema<SslMode> = oneOf(SSL_MODES);

/** `host:port`, several with commas between them. */
export const servers: TextSchema<readonly string[]> = parsedBy((text) => {
  const found = text.split(",").map((server) => server.trim()).filter((server) => server !== "");
  if (found.length === 0 || !found.every(isServer)) {
    throw new SyntaxError("write host:port, several with commas between them");
  }
  return found;
});

function isServer(text: string): boolean {
  const port = Number(/^(?:[^\s:/@[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(text)?.[1]);
  return port >= 1 && port <= 65_535;
}

/** `host:port`; an IPv6 address in brackets. */
export const listenAddress: TextSchema<ListenAddress> = parsedBy((text) => {
  const [, name, ipv6, port] = /^(?:([^\s:/@[\]]+)|\[([0-9a-fA-F:.]+)\]):(\d{1,5})$/.exec(text) ?? [];
  const host = name ?? ipv6;
  if (host === undefined || Number(port) > 65_535) throw new SyntaxError("write HOST:PORT, such as 127.0.0.1:9464");
  return { host, port: Number(port) };
});

/** Kafka's own rule (org.apache.kafka.common.internals.Topic). */
export const topic: TextSchema<string> = v.pipe(
  v.string(),
  v.regex(/^(?!\.{1,2}$)[\w.-]{1,249}$/, "write 1 to 249 letters, digits, dots, dashes or underscores"),
);

/** A date alone is midnight UTC: without the zone it would mean another time elsewhere. */
const DAY = /^\d{4}-\d\d-\d\d$/;

export const start: TextSchema<Start> = parsedBy((text) => {
  if (text === "earliest" || text === "latest") return text;
  const time = parseInstant(DAY.test(text) ? `${text}T00:00:00Z` : text);
  // To Kafka a negative time is no time but a command.
  if (typeof time !== "number" || time < 0) {
    throw new SyntaxError("write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z");
  }
  return { time };
});

export const tableName: TextSchema<TableName> = parsedBy(parseTableName);

export const databaseUrl: TextSchema<DatabaseUrl> = parsedBy(parseDatabaseUrl);

/** Part I of N. */
export const shard: TextSchema<{ readonly index: number; readonly count: number }> = parsedBy((text) => {
  const [, index, count] = /^(\d{1,4})\/(\d{1,4})$/.exec(text)?.map(Number) ?? [];
  if (index === undefined || count === undefined || index < 1 || index > count) {
    throw new SyntaxError("write I/N, such as 2/3 for the second of three");
  }
  return { index, count };
});

/** Python's logging has other names for two of them, which its users have in their settings. */
const LEVELS: ReadonlyMap<string, LogLevel> = new Map([
  ["ERROR", "ERROR"],
  ["CRITICAL", "ERROR"],
  ["WARN", "WARN"],
  ["WARNING", "WARN"],
  ["INFO", "INFO"],
  ["DEBUG", "DEBUG"],
]);

export const logLevel: TextSchema<LogLevel> = parsedBy((text) => {
  const level = LEVELS.get(text.toUpperCase());
  if (level === undefined) throw new SyntaxError("write ERROR, WARN, INFO or DEBUG");
  return level;
});

export const timeZone: TextSchema<string> = parsedBy(parseTimeZone);

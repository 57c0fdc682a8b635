import * as v from "valibot";
import { type DatabaseUrl, parseDatabaseUrl } from "./database_url.ts";
import { parseHostAndPort } from "./host_and_port.ts";
import { parseInstant } from "./instant.ts";
import { type Keep, parseKeep } from "./keep.ts";
import {
  type ListenAddress,
  type LogLevel,
  LONGEST_COMPANION,
  MAX_TABLE_NAME_BYTES,
  SSL_MODES,
  type SslMode,
  type Start,
  type TableName,
} from "./setting_types.ts";
import { parseTimeZone } from "./time_zone.ts";

// Schemas from the text of a setting to its value. Each message completes the sentence `--flag
// (VARIABLE) is "text": …`.

/** The type of every schema here: its input is a text. */
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

/** Makes a schema of a function that throws an error with the problem of a text. */
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

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** A time in seconds, as a number of them or with a unit. */
export const timeSpan = (least: number, most: number): TextSchema<number> =>
  parsedBy((text) => {
    const [, number = "", unit = "s"] = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text) ?? [];
    const seconds = Number(number) * UNITS[(unit || "s") as keyof typeof UNITS];
    if (number === "" || seconds < least || seconds > most) {
      throw new RangeError(`write a time such as 30s, 5m or 4h, from ${least} to ${most} seconds`);
    }
    return seconds;
  });

/** A time in seconds, or never: null. */
export const timeSpanOrNever = (least: number, most: number): TextSchema<number | null> =>
  v.union([
    v.pipe(v.string(), v.toLowerCase(), v.literal("never"), v.transform(() => null)),
    timeSpan(least, most),
  ], `write never, or a time such as 30m or 4h, from ${least} to ${most} seconds`);

const PLACES = "write a whole number from 1 to 100, or majority";

/** How many places must agree. */
export const placeCount: TextSchema<number | "majority"> = v.union([
  v.pipe(v.string(), v.toLowerCase(), v.literal("majority", PLACES)),
  numberFrom(/^\d+$/, 1, 100, PLACES),
], PLACES);

/** In names, PostgreSQL and Kafka take neither control characters nor half a character. */
export const anyText: TextSchema<string> = v.pipe(
  v.string(),
  v.check((text) => !/\p{Cc}/u.test(text) && text.isWellFormed(), "leave out the control character in it"),
);

/** A text that stands in every metric. */
export const shortText: TextSchema<string> = v.pipe(
  anyText,
  v.check((text) => text.length <= 253, "write 253 characters at most"),
);

/** A part of a name in Kafka. */
export const groupName: TextSchema<string> = v.pipe(
  v.string(),
  v.regex(/^[\w.-]{1,100}$/, "write letters, digits, dots, dashes and underscores, 100 at most"),
);

/** A host's name or address, or a folder. A port behind it is told apart from an IPv6 address. */
export const databaseHost: TextSchema<string> = v.pipe(
  anyText,
  v.check(
    (text) => !/^(?:[^/:]+|\[.*\]):\d*$/.test(text),
    "write the host alone, and the port in DB_PORT (--db-port)",
  ),
);

/** Any text as it is: the name of a file or a query is not judged here. */
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

/** `HOST:PORT`, several with commas between them. */
export const servers: TextSchema<readonly string[]> = parsedBy((text) => {
  const found = text.split(",").map((server) => server.trim()).filter((server) => server !== "");
  const isServer = (server: string) => (parseHostAndPort(server)?.port ?? 0) > 0;
  if (found.length === 0 || !found.every(isServer)) {
    throw new SyntaxError("write host:port, several with commas between them");
  }
  return found;
});

export const listenAddress: TextSchema<ListenAddress> = parsedBy((text) => {
  const address = parseHostAndPort(text);
  if (address === null) throw new SyntaxError("write HOST:PORT, such as 127.0.0.1:9464");
  return address;
});

/** Kafka's own rule for the name of a topic. */
export const topic: TextSchema<string> = v.pipe(
  v.string(),
  v.regex(/^(?!\.{1,2}$)[\w.-]{1,249}$/, "write 1 to 249 letters, digits, dots, dashes or underscores"),
);

/** A date alone is midnight UTC: without the zone it would mean another time elsewhere. */
const DAY = /^\d{4}-\d\d-\d\d$/;

export const kafkaStart: TextSchema<Start> = parsedBy((text) => {
  if (text === "earliest" || text === "latest") return text;
  const time = parseInstant(DAY.test(text) ? `${text}T00:00:00Z` : text);
  // To Kafka a negative time is a command, not a time.
  if (typeof time !== "number" || time < 0) {
    throw new SyntaxError("write earliest, latest, or a time with its zone, such as 2026-01-31T12:00:00Z");
  }
  return { time };
});

/** The most bytes of a name in PostgreSQL. */
const LONGEST_NAME = 63;

/** One part of a name: quoted, where "" stands for a quote, or plain. */
const PART = String.raw`"(?:[^"]|"")+"|[\p{L}_][\p{L}\p{M}\p{N}_$]*`;
const NAME = new RegExp(`^(?:(${PART})\\.)?(${PART})$`, "u");

/**
 * Reads `table` or `schema.table` as SQL does: folded to lower case unless quoted. Throws a
 * SyntaxError or RangeError.
 */
export function parseTableName(text: string): TableName {
  const [, schemaPart, namePart] = NAME.exec(text) ?? [];
  if (namePart === undefined || text.includes("\0")) {
    throw new SyntaxError('write a name as in SQL: metrics, monitoring.metrics or "My Table"');
  }
  const [schema, name] = [schemaPart === undefined ? null : readPart(schemaPart), readPart(namePart)];
  const [schemaSize, size] = [Buffer.byteLength(schema ?? ""), Buffer.byteLength(name)];
  if (schemaSize > LONGEST_NAME) {
    throw new RangeError(`its schema has ${schemaSize} bytes: write one of at most ${LONGEST_NAME}`);
  }
  if (size > MAX_TABLE_NAME_BYTES) {
    throw new RangeError(
      `its ${size} bytes leave no room for ${
        name.slice(0, 10)
      }…${LONGEST_COMPANION} beside it: write a name of at most ` +
        `${MAX_TABLE_NAME_BYTES} bytes`,
    );
  }
  return { schema, name };
}

/** Where the encoding is UTF-8, PostgreSQL folds the letters A to Z only. */
function readPart(part: string): string {
  if (part.startsWith('"')) return part.slice(1, -1).replaceAll('""', '"');
  return part.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

export const tableName: TextSchema<TableName> = parsedBy(parseTableName);

export const keep: TextSchema<Keep> = parsedBy(parseKeep);

/** Patterns of addresses, with blanks between them: no address has a blank. */
export const globs: TextSchema<readonly string[]> = parsedBy((text) => {
  const found = text.split(/\s+/).filter((glob) => glob !== "");
  if (found.length === 0) throw new SyntaxError("write addresses in which * stands for any characters");
  return found;
});

/** Addresses as metrics name them: as the hosts file has them, without a login. */
export const canaries: TextSchema<readonly string[]> = parsedBy((text) => {
  const found = text.split(",").map((address) => address.trim().replace(LOGIN, "$1")).filter((part) => part !== "");
  const wrong = found.find((address) => !isHostAddress(address));
  if (wrong !== undefined || found.length === 0) {
    const what = wrong === undefined ? "it names no host" : `${wrong} is no address of a host`;
    throw new SyntaxError(`${what}: write them as the hosts file has them, such as https://one.example,two.example`);
  }
  return [...new Set(found)];
});

/** `user:password@` in front of a host. */
const LOGIN = /^(https?:\/\/)?[^/?#]*@/i;

function isHostAddress(text: string): boolean {
  if (/\s/.test(text) || /^https?:(?!\/\/)/i.test(text)) return false;
  const url = URL.parse(/^[^/?#]*:\/\//.test(text) ? text : `https://${text}`);
  return url !== null && /^https?:$/.test(url.protocol);
}

/** The address of a folder on the web: it ends with a slash. */
export const pageUrl: TextSchema<string> = parsedBy((text) => {
  const url = URL.parse(text);
  const isPlain = url !== null && url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new SyntaxError("write where people find the page, such as https://status.example/");
  }
  return url.href.endsWith("/") ? url.href : `${url.href}/`;
});

export const databaseUrl: TextSchema<DatabaseUrl> = parsedBy(parseDatabaseUrl);

/** Part I of N. */
export const shard: TextSchema<{ readonly index: number; readonly count: number }> = parsedBy((text) => {
  const [, index, count] = /^(\d{1,4})\/(\d{1,4})$/.exec(text)?.map(Number) ?? [];
  if (index === undefined || count === undefined || index < 1 || index > count) {
    throw new SyntaxError("write I/N, such as 2/3 for the second of three");
  }
  return { index, count };
});

/** Python's logging has other names for two of them, and its users have those in their settings. */
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

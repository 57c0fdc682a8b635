import type { HostAndPort } from "./host_and_port.ts";

/** A name and a password for the login at the brokers (SASL, RFC 4422; SCRAM, RFC 5802). */
export interface Login {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  readonly username: string;
  readonly password: string;
}

/** How a producer compresses its batches. A consumer finds the compression in each batch. */
export const COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
export type Compression = typeof COMPRESSIONS[number];

/**
 * Where a topic is read from while there is no mark for its name. `earliest` is each partition's
 * first message, `latest` its end, a time is in milliseconds since 1970.
 */
export type Start = "earliest" | "latest" | { readonly time: number };

/** The values of `--kafka-client`. */
export type ClientChoice = "auto" | "librdkafka" | "javascript";

/** From the gravest on. A log writes its own level and the graver ones. */
export const LOG_LEVELS = ["ERROR", "WARN", "INFO", "DEBUG"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

/** Where to listen; port 0: any free one. */
export type ListenAddress = HostAndPort;

/** How strictly to secure a connection, with the names and the meaning of libpq. */
export const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = typeof SSL_MODES[number];

/**
 * A table as `DB_TABLE` names it. It is read as SQL reads a name: lower case unless quoted. A null
 * schema stands for the first one that the role sees.
 */
export interface TableName {
  readonly schema: string | null;
  readonly name: string;
}

/** How a new table is parted by time: a part for each month or day (UTC), or none. */
export const PARTITIONS = ["month", "day", "none"] as const;
export type Partition = typeof PARTITIONS[number];

/** PostgreSQL cuts longer names silently, so that two tables could share their companions. */
const MAX_NAME_BYTES = 63;
/** The endings of the names of the tables that belong to the table of the metrics. */
export const COMPANIONS = {
  offsets: "_offsets",
  rejected: "_rejected",
  keep: "_keep",
  daily: "_daily",
  days: "_days",
  incidents: "_incidents",
  leases: "_leases",
  maintenance: "_maintenance",
  notifications: "_notifications",
  evidence: "_evidence",
} as const;
/** The longest of these endings. */
export const LONGEST_COMPANION = Object.values(COMPANIONS).reduce((a, b) => b.length > a.length ? b : a);

/**
 * The longest name of a table, in bytes of UTF-8, that leaves room for the names of its companions.
 * A part's name is no longer than these: it ends like `_20261130` or `_202611`.
 */
export const MAX_TABLE_NAME_BYTES = MAX_NAME_BYTES - LONGEST_COMPANION.length;

import type { SettingsReader } from "./reader.ts";
import type { SslMode } from "./setting_types.ts";

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

/** An embedded database, in a folder. */
export interface EmbeddedSettings {
  readonly kind: "embedded";
  readonly directory: string;
}

/** The settings of the database; null where one is missing or wrong. */
export function readDatabase(reader: SettingsReader): ServerSettings | EmbeddedSettings | null {
  if (!reader.has("embedded")) return readServer(reader);
  const directory = reader.optional("embedded");
  return directory === null ? null : { kind: "embedded", directory };
}

/** Each part comes from its own flag or variable, else from the URL. */
function readServer(reader: SettingsReader): ServerSettings | null {
  const url = reader.optional("dbUrl");
  if (reader.originOf("dbUrl") === "flag" && url?.password != null) {
    reader.problems.push(
      "--db-url holds a password, which everyone on the machine can see: use DATABASE_URL, or DB_PASSWORD",
    );
  }
  // A URL that could not be read may have named all of them: calling them missing too would
  // mislead.
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

/** A server on this machine is often set up without TLS. With any other server TLS is a must. */
function defaultSslMode(host: string): SslMode {
  if (host.startsWith("/")) return "disable";
  return /^(localhost\.?|127\.[\d.]+|::1)$/i.test(host) ? "prefer" : "require";
}

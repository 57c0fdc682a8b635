import { SSL_MODES, type SslMode } from "../ssl_mode.ts";

/** What a database's URL says; null: it does not say. */
export interface DatabaseUrl {
  readonly host: string | null;
  readonly port: number | null;
  readonly name: string | null;
  readonly user: string | null;
  readonly password: string | null;
  readonly sslMode: SslMode | null;
}

/** Reads `postgres://user:password@host:port/name?sslmode=…`. Throws a SyntaxError that never holds the URL: it has a password. */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  // First of all: such a sign in a password would make a part of it look like something that may be quoted.
  if (/^[^/]*\/\/[^/?#]*[/?#].*@/s.test(text)) {
    throw new SyntaxError("it has an @ behind a / ? or #: write %40, %2F, %3F or %23 for that sign inside a part");
  }
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:\/\//.test(url.href) || url.port === "0") {
    throw new SyntaxError("write postgres://user@host:5432/name, with %XX for signs such as @ / : # % inside a part");
  }
  if (url.hash !== "") throw new SyntaxError("it has a #: write %23 for that sign inside a part");
  const path = url.pathname.replace(/^\//, "");
  if (path.includes("/")) {
    throw new SyntaxError("its name of a database has a /: write %2F for that sign inside a part");
  }
  const [host, name, user, password] = [url.hostname, path, url.username, url.password].map(decode);
  return {
    host: host?.replace(/^\[(.*)\]$/, "$1") || null,
    port: url.port === "" ? null : Number(url.port),
    name: name || null,
    user: user || null,
    password: password || null,
    sslMode: readSslMode(url.searchParams),
  };
}

function readSslMode(parameters: URLSearchParams): SslMode | null {
  let found: SslMode | null = null;
  for (const [name, value] of parameters) {
    if (name === "sslrootcert") {
      throw new SyntaxError("its sslrootcert is not read here: use DB_SSL_CA_FILE (--db-ssl-ca-file)");
    }
    if (name !== "sslmode") throw new SyntaxError(`its parameter "${name}" is not known: only sslmode is read`);
    found = SSL_MODES.find((mode) => mode === value) ?? null;
    if (found === null) throw new SyntaxError(`its sslmode is "${value}": write one of ${SSL_MODES.join(", ")}`);
  }
  return found;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new SyntaxError("a % in it is not followed by two hexadecimal digits: write %25 for the sign itself");
  }
}

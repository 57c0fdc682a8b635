import { withoutBrackets } from "./host_and_port.ts";
import { SSL_MODES, type SslMode } from "./setting_types.ts";
import { type Destination, judgeParameter } from "./url_parameters.ts";

/** The parts of a database's URL; null: the URL does not name that part. */
export interface DatabaseUrl {
  readonly host: string | null;
  readonly port: number | null;
  readonly name: string | null;
  readonly user: string | null;
  readonly password: string | null;
  readonly sslMode: SslMode | null;
  readonly sslCaFile: string | null;
}

/**
 * Reads `postgres://user:password@host:port/name?sslmode=…&sslrootcert=…`. The other parameters of
 * the usual services and clients are obeyed, or are known to change nothing. Throws a SyntaxError
 * that never quotes the URL, which holds a password.
 */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  // First of all: with such a sign, a part of a password would look like something that may be
  // quoted.
  if (/^[^/]*\/\/[^/?#]*[/?#].*@/s.test(text)) {
    throw new SyntaxError("it has an @ behind a / ? or #: write %40, %2F, %3F or %23 for that sign inside a part");
  }
  const driver = /^\s*((?:jdbc:)?postgres(?:ql)?(?:\+\w+)?):\/\//i.exec(text)?.[1];
  if (driver !== undefined && /[:+]/.test(driver)) {
    throw new SyntaxError(`it begins with ${driver}, which names a driver: write postgres:// in its place`);
  }
  if (/^[^/]*\/\/(?:[^/?#]*@)?[^/?#@,]*,[^/?#@]*(?:[/?#]|$)/.test(text)) throw new SyntaxError(SEVERAL_HOSTS);
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
  const parameters = readParameters(url.searchParams);
  const part = (parameter: PartName, ofUrl: string | undefined) =>
    eitherOf(parameter, ofUrl, parameters.get(parameter));
  const place = { host: part("host", host && withoutBrackets(host)), user: part("user", user) };
  if (place.host?.includes(",") === true) throw new SyntaxError(SEVERAL_HOSTS);
  judgeOthers(parameters, place);
  return {
    ...place,
    port: readPort(part("port", url.port)),
    name: part("dbname", name),
    password: part("password", password),
    ...withoutChannelBinding(
      readTrust(readSslMode(parameters.get("sslmode")), parameters.get("sslrootcert") ?? null),
      parameters.get("channel_binding") ?? null,
    ),
  };
}

const SEVERAL_HOSTS = "it names several hosts: write the one that takes writes, or a name that always leads to it";

/** Parts of the URL that libpq takes as parameters too: `postgres:///name?host=/run/postgresql`. */
const PARTS = ["host", "port", "user", "password", "dbname"] as const;
type PartName = typeof PARTS[number];
/** Every parameter that has a setting. */
const PARAMETERS: readonly string[] = ["sslmode", "sslrootcert", ...PARTS];

function readParameters(search: URLSearchParams): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of search) {
    if (value === "") throw new SyntaxError(`its parameter "${name}" has no value: write one, or leave it out`);
    if (found.has(name)) throw new SyntaxError(`its parameter "${name}" stands there twice: leave out one of them`);
    found.set(name, value);
  }
  return found;
}

/** Throws where parameters cannot be obeyed as they stand, and names each of them. */
function judgeOthers(parameters: ReadonlyMap<string, string>, place: Destination): void {
  const problems = [...parameters].filter(([name]) => !PARAMETERS.includes(name)).flatMap(([name, value]) => {
    const remedy = judgeParameter(name, value, place);
    if (remedy === null) return [];
    if (remedy !== undefined) return [`its parameter "${name}": ${remedy}`];
    return [`its parameter "${name}" is not understood here: leave it out; ${PARAMETERS.join(", ")} are`];
  });
  if (problems.length > 0) throw new SyntaxError(problems.join("; "));
}

function eitherOf(name: PartName, ofUrl: string | undefined, parameter: string | undefined): string | null {
  if (ofUrl && parameter !== undefined) {
    throw new SyntaxError(
      `its parameter "${name}" says once more what stands in front of the ?: leave out one of them`,
    );
  }
  return ofUrl || (parameter ?? null);
}

function readPort(text: string | null): number | null {
  if (text === null) return null;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new SyntaxError("its port is none: write a number from 1 to 65535");
  return port;
}

function readSslMode(value: string | undefined): SslMode | null {
  if (value === undefined) return null;
  const found = SSL_MODES.find((mode) => mode === value);
  if (found === undefined) throw new SyntaxError(`its sslmode is "${value}": write one of ${SSL_MODES.join(", ")}`);
  return found;
}

/**
 * As in libpq, `sslrootcert=system` names no file. It demands a check of the name, since anybody
 * can get a certificate.
 */
function readTrust(sslMode: SslMode | null, root: string | null): SslChoice {
  if (root !== "system") return { sslMode, sslCaFile: root };
  if (sslMode !== null && sslMode !== "verify-full") {
    throw new SyntaxError(`its sslrootcert=system goes with sslmode=verify-full only, not with ${sslMode}`);
  }
  return { sslMode: "verify-full", sslCaFile: null };
}

type SslChoice = Pick<DatabaseUrl, "sslMode" | "sslCaFile">;

/**
 * `channel_binding=require` demands a proof that nobody stands between, which SCRAM cannot give
 * here. The server's certificate can give it: its name is checked, or a CA that the URL names has
 * signed it.
 */
function withoutChannelBinding(trust: SslChoice, binding: string | null): SslChoice {
  if (binding !== "require") return trust;
  if (trust.sslMode === "disable" || trust.sslMode === "prefer") {
    throw new SyntaxError("its channel_binding=require goes with TLS only: write sslmode=require, or stricter");
  }
  return trust.sslCaFile === null
    ? { ...trust, sslMode: "verify-full" }
    : { ...trust, sslMode: trust.sslMode ?? "require" };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new SyntaxError("a % in it is not followed by two hexadecimal digits: write %25 for the sign itself");
  }
}

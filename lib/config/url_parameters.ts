/**
 * Parameters of a database's URL that change nothing here. Some ask for what is so anyway. Others
 * are for a pool of connections, for prepared statements, or for another program. They come from
 * libpq, JDBC, node-postgres, Prisma, pgx, SQLAlchemy, Rails and Vercel.
 */
const HARMLESS: ReadonlySet<string> = new Set([
  ...["application_name", "fallback_application_name", "ApplicationName"],
  ...["connect_timeout", "connectTimeout", "loginTimeout", "socket_timeout", "socketTimeout", "timeout"],
  ...["keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "tcpKeepAlive"],
  ...["load_balance_hosts", "sslcompression", "krbsrvname", "gsslib", "gssdelegation"],
  ...["min_protocol_version", "max_protocol_version"],
  ...["pgbouncer", "connection_limit", "pool_timeout", "pool", "pool_size", "max_pool_size", "conn_max_age"],
  ...["pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time"],
  ...["pool_health_check_period", "single_use_connections", "idle_timeout", "max_lifetime", "max"],
  ...["statement_cache_size", "statement_cache_mode", "statement_cache_capacity", "description_cache_capacity"],
  ...["default_query_exec_mode", "prepared_statements", "prepared_statement_cache_size", "prepareThreshold"],
  ...["preparedStatementCacheQueries", "preparedStatementCacheSizeMiB", "binary_parameters", "prepare"],
  ...["prefer_simple_protocol", "reWriteBatchedInserts", "uselibpqcompat", "supa", "workaround"],
]);

/** Values in lower case that change nothing here, and the remedy for any other value. */
const HARMLESS_VALUES: ReadonlyMap<string, readonly [values: readonly string[], remedy: string]> = new Map([
  ["channel_binding", [["disable", "prefer", "require"], "write disable, prefer or require"]],
  ["client_encoding", [["utf8", "utf-8", "unicode", "auto"], "it is always UTF8: leave it out"]],
  ["encoding", [["utf8", "utf-8", "unicode"], "it is always UTF8: leave it out"]],
  ["gssencmode", [
    ["disable", "prefer"],
    "there is no Kerberos here: leave it out, and set DB_SSL_MODE (--db-ssl-mode)",
  ]],
  ["replication", [["false", "off", "no", "0"], "leave it out"]],
  ["ssl_min_protocol_version", [["tlsv1", "tlsv1.1", "tlsv1.2"], "it is TLSv1.2 here: leave it out"]],
  ["sslcertmode", [["disable", "allow"], "no client certificate is sent here: leave it out"]],
  // Direct TLS saves a round trip. A server that takes it takes the other way too.
  ["sslnegotiation", [["postgres", "direct"], "leave it out"]],
  ["sslsni", [["1"], "the server's name is always sent: leave it out"]],
  [
    "target_session_attrs",
    [["any", "read-write", "primary", "prefer-standby"], "the consumer writes: name the primary, and leave it out"],
  ],
  ["targetServerType", [["any", "primary", "master"], "the consumer writes: name the primary, and leave it out"]],
]);

const TABLE = "write the schema into DB_TABLE (--db-table), as schema.table, and leave it out";
const OWN_LIMITS = "the consumer has limits of its own: leave it out";
const CLIENT_CERTIFICATE =
  "no client certificate is sent here: leave it out, and log in with DB_PASSWORD (or --db-password-file)";
const SSL_MODE = "write sslmode=require or sslmode=verify-full for it, or set DB_SSL_MODE (--db-ssl-mode)";
const VERIFY = "it is not obeyed here: leave it out; sslmode=verify-full makes the server prove its name";

/** Remedies for parameters that have a setting of their own, or that cannot be obeyed. */
const ANSWERS: ReadonlyMap<string, string> = new Map([
  ["schema", TABLE],
  ["currentSchema", TABLE],
  ["search_path", TABLE],
  ["hostaddr", "write the address as the host, or in DB_HOST (--db-host)"],
  ["passfile", "put the password alone into a file, and name that in DB_PASSWORD_FILE (--db-password-file)"],
  ["service", "write what the service file says into the URL, or into the DB_ variables"],
  ["servicefile", "write what the service file says into the URL, or into the DB_ variables"],
  ...["sslcert", "sslkey", "sslpassword", "sslidentity"].map((name) => [name, CLIENT_CERTIFICATE] as const),
  ...["ssl", "sslaccept", "requiressl", "sslfactory"].map((name) => [name, SSL_MODE] as const),
  ...["require_auth", "requirepeer", "sslcrl", "sslcrldir"].map((name) => [name, VERIFY] as const),
  ...["statement_timeout", "lock_timeout", "command_timeout", "query_timeout"].map((name) =>
    [name, OWN_LIMITS] as const
  ),
]);

/** The destination of a URL; null: the URL does not name that part. */
export interface Destination {
  readonly host: string | null;
  readonly user: string | null;
}

/**
 * Judges a parameter without a setting. Null: it changes nothing here. A text: it cannot be obeyed
 * as it stands, and this is the remedy. Undefined: its name is not known. No value is quoted: it
 * may hold a secret.
 */
export function judgeParameter(name: string, value: string, destination: Destination): string | null | undefined {
  if (HARMLESS.has(name)) return null;
  if (name === "options") return judgeOptions(value, destination);
  const [values, remedy] = HARMLESS_VALUES.get(name) ?? [];
  if (values !== undefined) return values.includes(value.toLowerCase()) ? null : remedy;
  return ANSWERS.get(name);
}

/**
 * `options` is a command line for the server's process. Services use it to choose one of their
 * servers.
 */
function judgeOptions(value: string, destination: Destination): string | null {
  const words = value.trim().replaceAll(/-c\s+/g, "-c").split(/\s+/);
  return words.map((word) => judgeOption(word, destination)).find((remedy) => remedy !== null) ?? null;
}

function judgeOption(word: string, { host, user }: Destination): string | null {
  const [, name = "", value = ""] = /^(?:--|-c)?([\w.-]+)=(.*)$/s.exec(word) ?? [];
  switch (name.toLowerCase()) {
    // Neon reads it from the name that TLS tells it.
    case "endpoint":
    case "project":
      return host?.startsWith(value) === true
        ? null
        : "connect by the host name that begins with the endpoint's (DB_HOST), and leave it out";
    // Supabase reads it from the role's name.
    case "reference":
      return user?.endsWith(`.${value}`) === true
        ? null
        : "write the user as NAME.REFERENCE, or so in DB_USER (--db-user), and leave it out";
    // CockroachDB reads it from the host's name, or from the database's.
    case "cluster":
      return host?.startsWith(value.replace(/-\d+$/, "")) === true
        ? null
        : "write the database as CLUSTER.NAME, or so in DB_NAME (--db-name), and leave it out";
    case "search_path":
      return TABLE;
    case "statement_timeout":
    case "lock_timeout":
    case "timezone":
    case "synchronous_commit":
      return OWN_LIMITS.replace("limits", "settings");
    case "":
      return "leave it out";
    default:
      return "let the role have what they set (alter role … set …), and leave it out";
  }
}

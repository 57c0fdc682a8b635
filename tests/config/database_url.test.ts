import { expect, it } from "vitest";
import { type DatabaseUrl, parseDatabaseUrl } from "../../lib/config/database_url.ts";

const nothing: DatabaseUrl = {
  host: null,
  port: null,
  name: null,
  user: null,
  password: null,
  sslMode: null,
  sslCaFile: null,
};

it.each<readonly [string, Partial<DatabaseUrl>]>([
  ["postgres://", {}],
  ["postgres://u@h:5432/n", { user: "u", host: "h", port: 5432, name: "n" }],
  ["postgresql://u@h:1/n", { user: "u", host: "h", port: 1, name: "n" }],
  ["POSTGRES://U@H/N", { user: "U", host: "H", name: "N" }],
  [" postgres://u@h/n\n", { user: "u", host: "h", name: "n" }],
  ["postgres://h", { host: "h" }],
  ["postgres://h/", { host: "h" }],
  ["postgres:///n", { name: "n" }],
  ["postgres://u:p@h/n", { user: "u", password: "p", host: "h", name: "n" }],
  ["postgres://u:@h/n", { user: "u", host: "h", name: "n" }],
  ["postgres://u:p:w@h/n", { user: "u", password: "p:w", host: "h", name: "n" }],
  ["postgres://u:p@w@h/n", { user: "u", password: "p@w", host: "h", name: "n" }],
  ["postgres://u%40x:%2F%3F%23%25%3A%40@h/a%2Fb%20c", {
    user: "u@x",
    password: "/?#%:@",
    host: "h",
    name: "a/b c",
  }],
  ["postgres://ü:é@h/ß", { user: "ü", password: "é", host: "h", name: "ß" }],
  ["postgres://u@10.0.0.1:65535/n", { user: "u", host: "10.0.0.1", port: 65_535, name: "n" }],
  ["postgres://u@[::1]:5432/n", { user: "u", host: "::1", port: 5432, name: "n" }],
  ["postgres://u@%2Fvar%2Frun%2Fpostgresql/n", { user: "u", host: "/var/run/postgresql", name: "n" }],
  ["postgres://u@h/n?sslmode=disable", { user: "u", host: "h", name: "n", sslMode: "disable" }],
  ["postgres://u@h/n?sslmode=verify-full", { user: "u", host: "h", name: "n", sslMode: "verify-full" }],
  ["postgres://u@h/n?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem", {
    user: "u",
    host: "h",
    name: "n",
    sslMode: "verify-ca",
    sslCaFile: "/etc/ca.pem",
  }],
  ["postgres://h?sslrootcert=system", { host: "h", sslMode: "verify-full" }],
  ["postgres:///n?host=/run/postgresql&port=5433&user=u", {
    host: "/run/postgresql",
    port: 5433,
    user: "u",
    name: "n",
  }],
  ...[
    "application_name=a&connect_timeout=5&keepalives_idle=30&client_encoding=UTF8&gssencmode=prefer&sslnegotiation=direct",
    // Supabase and Vercel, Prisma, pgx, SQLAlchemy, Rails, JDBC, node-postgres
    "pgbouncer=true&supa=base-pooler.x&workaround=supabase-pooler.vercel",
    "pgbouncer=true&connection_limit=1&pool_timeout=0&statement_cache_size=0",
    "pool_max_conns=10&default_query_exec_mode=simple_protocol&statement_cache_capacity=0",
    "prepared_statement_cache_size=0",
    "pool=5&prepared_statements=false&encoding=utf8",
    "prepareThreshold=0&ApplicationName=a&tcpKeepAlive=true",
    "uselibpqcompat=true",
    "channel_binding=prefer&target_session_attrs=read-write",
    "channel_binding=disable&target_session_attrs=any&sslcertmode=disable&sslsni=1&ssl_min_protocol_version=TLSv1.2",
  ].map((search): [string, Partial<DatabaseUrl>] => [`postgres://h?${search}`, { host: "h" }]),
  // Neon: the host's name begins with the endpoint. Where the URL wants channel binding, the
  // certificate must prove it.
  [
    "postgresql://u:p@ep-cool-1234-pooler.eu.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
    { user: "u", password: "p", host: "ep-cool-1234-pooler.eu.aws.neon.tech", name: "neondb", sslMode: "verify-full" },
  ],
  [
    "postgres://u@ep-cool-1234.neon.tech/n?options=endpoint%3Dep-cool-1234&sslmode=require",
    { user: "u", host: "ep-cool-1234.neon.tech", name: "n", sslMode: "require" },
  ],
  ["postgres://h?channel_binding=require", { host: "h", sslMode: "verify-full" }],
  ["postgres://h?channel_binding=require&sslmode=verify-ca&sslrootcert=a", {
    host: "h",
    sslMode: "verify-ca",
    sslCaFile: "a",
  }],
  ["postgres://h?channel_binding=require&sslrootcert=a", { host: "h", sslMode: "require", sslCaFile: "a" }],
  // Supabase: the role's name holds the project.
  ["postgres://postgres.abc@h/n?options=reference%3Dabc", { user: "postgres.abc", host: "h", name: "n" }],
  // CockroachDB: the host's name holds the cluster.
  ["postgres://u@wild-cat-123.x.cockroachlabs.cloud:26257/n?options=--cluster%3Dwild-cat-123&sslmode=verify-full", {
    user: "u",
    host: "wild-cat-123.x.cockroachlabs.cloud",
    port: 26_257,
    name: "n",
    sslMode: "verify-full",
  }],
  ["postgres://u:p,w@h/n", { user: "u", password: "p,w", host: "h", name: "n" }],
  ["postgres://h?dbname=n&password=a%2Fb+c", { host: "h", name: "n", password: "a/b c" }],
])("parseDatabaseUrl reads %s", (text, parts) => {
  expect(parseDatabaseUrl(text)).toEqual({ ...nothing, ...parts });
});

const FORM = "write postgres://user@host:5432/name, with %XX for signs such as @ / : # % inside a part";
const SEVERAL = "it names several hosts: write the one that takes writes, or a name that always leads to it";
const TABLE = "write the schema into DB_TABLE (--db-table), as schema.table, and leave it out";
const AT = "it has an @ behind a / ? or #: write %40, %2F, %3F or %23 for that sign inside a part";

it.each([
  ["", FORM],
  ["db.example", FORM],
  ["mysql://u@h/n", FORM],
  ["postgres:n", FORM],
  ["postgres:/h/n", FORM],
  ["postgres://u@h:x/n", FORM],
  ["postgres://u@h:0/n", FORM],
  ["postgres://u@h:65536/n", FORM],
  ["postgres://u@a b/n", FORM],
  ["postgres://u:p/w@h/n", AT],
  ["postgres://u:p?w@h/n", AT],
  ["postgres://u:p#w@h/n", AT],
  ["postgres://u:1/w@h", AT],
  ["postgres://u:1?w@h/n", AT],
  ["postgres://u:1?sslmode=w@h/n", AT],
  ["postgres://u:1#w@h/n", AT],
  ["postgres://u:1?w\n@h/n", AT],
  ["postgres://u@h/n#x", "it has a #: write %23 for that sign inside a part"],
  ["postgres://u@h/n/m", "its name of a database has a /: write %2F for that sign inside a part"],
  [
    "postgres://u:100%@h/n",
    "a % in it is not followed by two hexadecimal digits: write %25 for the sign itself",
  ],
  [
    "postgres://u:%FF@h/n",
    "a % in it is not followed by two hexadecimal digits: write %25 for the sign itself",
  ],
  [
    "postgres://u@h/n?sslmode=allow",
    'its sslmode is "allow": write one of disable, prefer, require, verify-ca, verify-full',
  ],
  [
    "postgres://u@h/n?wonder=a",
    'its parameter "wonder" is not understood here: leave it out; sslmode, sslrootcert, host, port, user, ' +
    "password, dbname are",
  ],
  [
    "postgres://u@h/n?sslmode=require&sslrootcert=system",
    "its sslrootcert=system goes with sslmode=verify-full only, not with require",
  ],
  ["postgres://u@h/n?sslmode=", 'its parameter "sslmode" has no value: write one, or leave it out'],
  [
    "postgres://u@h/n?sslmode=require&sslmode=disable",
    'its parameter "sslmode" stands there twice: leave out one of them',
  ],
  [
    "postgres://u@h/n?host=other",
    'its parameter "host" says once more what stands in front of the ?: leave out one of them',
  ],
  ["postgres://u@h/n?port=0", "its port is none: write a number from 1 to 65535"],
  ["postgres://u@h/n?port=65536", "its port is none: write a number from 1 to 65535"],
  ["postgres://u@a,b/n", SEVERAL],
  ["postgres://u:p,w@a:5432,b:5432/n?target_session_attrs=read-write", SEVERAL],
  ["postgres://u@a:5432,b", SEVERAL],
  ["postgres:///n?host=a,b", SEVERAL],
  [
    "postgresql+asyncpg://u@h/n",
    "it begins with postgresql+asyncpg, which names a driver: write postgres:// in its place",
  ],
  [
    "jdbc:postgresql://h/n?user=u",
    "it begins with jdbc:postgresql, which names a driver: write postgres:// in its place",
  ],
  ["postgres://h?schema=public", `its parameter "schema": ${TABLE}`],
  ["postgres://h?currentSchema=app", `its parameter "currentSchema": ${TABLE}`],
  ["postgres://h?options=-c%20search_path%3Dapp", `its parameter "options": ${TABLE}`],
  ["postgres://h?options=-csearch_path%3Dapp", `its parameter "options": ${TABLE}`],
  ["postgres://h?options=--search_path%3Dapp", `its parameter "options": ${TABLE}`],
  [
    "postgres://h?options=-c%20statement_timeout%3D5min",
    'its parameter "options": the consumer has settings of its own: leave it out',
  ],
  [
    "postgres://h?options=-c%20TimeZone%3DUTC%20-c%20work_mem%3D1MB",
    'its parameter "options": the consumer has settings of its own: leave it out',
  ],
  [
    "postgres://h?options=-c%20work_mem%3D1MB",
    'its parameter "options": let the role have what they set (alter role … set …), and leave it out',
  ],
  ["postgres://h?options=-e", 'its parameter "options": leave it out'],
  [
    "postgres://10.0.0.1/n?options=endpoint%3Dep-cool-1234",
    `its parameter "options": connect by the host name that begins with the endpoint's (DB_HOST), and leave it out`,
  ],
  [
    "postgres://postgres@h/n?options=reference%3Dabc",
    'its parameter "options": write the user as NAME.REFERENCE, or so in DB_USER (--db-user), and leave it out',
  ],
  [
    "postgres://u@free.cockroachlabs.cloud/n?options=--cluster%3Dwild-cat-123",
    'its parameter "options": write the database as CLUSTER.NAME, or so in DB_NAME (--db-name), and leave it out',
  ],
  [
    "postgres://h?target_session_attrs=standby",
    'its parameter "target_session_attrs": the consumer writes: name the primary, and leave it out',
  ],
  [
    "postgres://h?channel_binding=require&sslmode=prefer",
    "its channel_binding=require goes with TLS only: write sslmode=require, or stricter",
  ],
  ["postgres://h?channel_binding=maybe", 'its parameter "channel_binding": write disable, prefer or require'],
  [
    "postgres://h?gssencmode=require",
    'its parameter "gssencmode": there is no Kerberos here: leave it out, and set DB_SSL_MODE (--db-ssl-mode)',
  ],
  [
    "postgres://h?ssl=true",
    'its parameter "ssl": write sslmode=require or sslmode=verify-full for it, or set DB_SSL_MODE (--db-ssl-mode)',
  ],
  [
    "postgres://h?sslkey=k&require_auth=scram-sha-256",
    'its parameter "sslkey": no client certificate is sent here: leave it out, and log in with DB_PASSWORD (or ' +
    '--db-password-file); its parameter "require_auth": it is not obeyed here: leave it out; sslmode=verify-full makes the ' +
    "server prove its name",
  ],
  ["postgres://h?application_name=", 'its parameter "application_name" has no value: write one, or leave it out'],
])("parseDatabaseUrl refuses %j", (text, message) => {
  expect(() => parseDatabaseUrl(text)).toThrow(new SyntaxError(message));
});

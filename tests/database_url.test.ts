import { expect, it } from "vitest";
import { type DatabaseUrl, parseDatabaseUrl } from "../lib/settings/database_url.ts";

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
  ["postgres://h?dbname=n&password=a%2Fb+c", { host: "h", name: "n", password: "a/b c" }],
])("parseDatabaseUrl reads %s", (text, parts) => {
  expect(parseDatabaseUrl(text)).toEqual({ ...nothing, ...parts });
});

const FORM = "write postgres://user@host:5432/name, with %XX for signs such as @ / : # % inside a part";
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
    "postgres://u@h/n?application_name=a",
    'its parameter "application_name" is not understood here: leave it out; sslmode, sslrootcert, host, port, user, ' +
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
])("parseDatabaseUrl refuses %j", (text, message) => {
  expect(() => parseDatabaseUrl(text)).toThrow(new SyntaxError(message));
});

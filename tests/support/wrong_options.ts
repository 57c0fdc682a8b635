import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certificates } from "./certificates.ts";

// The values to which the wrong options refer are in none of the messages.

export const SECRET = "s3cret";

/** What the options refer to. */
export const VARIABLES: Readonly<Record<string, string>> = {
  HOSTS_TOKEN: SECRET,
  HOSTS_EMPTY: "",
  HOSTS_LINES: `${SECRET}\nX-Evil: 1`,
  HOSTS_NESTED: "${HOSTS_TOKEN}",
};
export const FILES: Readonly<Record<string, string>> = {
  "token": `${SECRET}\n`,
  "lines": "one\ntwo\n\n",
  "empty": "\n",
  "long": "x".repeat(65_537),
};

/** An option at a host without a REGEX, the column of its problem, and how the message begins. */
export type WrongOption = readonly [line: string, column: number, message: string];

const wrong = (...option: WrongOption): WrongOption => option;

export const WRONG_OPTIONS: readonly WrongOption[] = [
  ["| timeuot 5s", 3, '"timeuot" is no option: write | timeout'],
  ["| Timeout 5s", 3, '"Timeout" is no option: write | timeout'],
  ["| max 5", 3, '"max" is no option: write | max-body'],
  ["| nonsense 5", 3, '"nonsense" is no option: write one of method, header, body, status, timeout'],
  ["| Authorization: Bearer x", 3, '"Authorization:" is no option: write | header Authorization: and its value'],
  ["|", 2, "| names no option: write one such as | timeout 5s"],
  ["| timeout", 10, "| timeout lacks its value: write | timeout and, behind it, the value"],
  ["| timeout soon", 11, '"soon" is no time: write seconds, or a number with a unit (5s, 500ms)'],
  ["| timeout 0", 11, '"0" is no time for a check: write from 0.001 to 3600 seconds'],
  ["| timeout 2h", 11, '"2h" is no time for a check: write from 0.001 to 3600 seconds'],
  ["| method post", 10, '"post" is no method that a check sends: write POST'],
  ["| method PSOT", 10, '"PSOT" is no method that a check sends: write POST'],
  ["| method CONNECT", 10, '"CONNECT" is no method that a check sends: write GET, HEAD'],
  ["| redirects many", 13, '"many" is no number of redirects: write 0, which makes the redirect the answer, to 50'],
  ["| redirects 51", 13, '"51" is no number of redirects'],
  ["| status 2xx", 10, '"2xx" is no status: write 200-299'],
  ["| status 200,401", 10, '"200,401" is no status: write blanks instead of commas (200 401)'],
  ["| status 299-200", 10, '"299-200" is a range from more to less: write 200-299'],
  ["| status 100", 10, '"100" is no status: write numbers from 200 to 999 and ranges, such as 200-299 401'],
  [
    "| max-body 5MiB",
    12,
    '"5MiB" is more or less than is read of a page: write bytes, or a number with a unit (64KiB), up to 4MiB',
  ],
  ["| max-body 0", 12, '"0" is more or less than is read of a page'],
  ["| max-body much", 12, '"much" is no size: write bytes'],
  [
    "| absent (?=a)",
    10,
    "(?= is a lookahead, which cannot be matched in linear time: match the text around it as well",
  ],
  ["| absent ${HOSTS_TOKEN}", 10, "| absent takes no reference: ${…} stands in header and body only"],
  ["| timeout ${file:token}", 11, "| timeout takes no reference: ${…} stands in header and body only"],
  ["| header Accept", 10, "this is no header: write NAME: VALUE, such as Accept: text/html, without a blank in NAME"],
  ["| header Accept : x", 10, "this is no header: write NAME: VALUE"],
  ["| header Host: b.example", 10, "the header Host is not sent, DOMAIN names the host: write it there"],
  ...["Content-Length", "transfer-encoding", "Trailer"].map((name) =>
    wrong(`| header ${name}: 5`, 10, `the header ${name} is not sent, it comes with | body: leave it out`)
  ),
  ...["Connection", "keep-alive", "Proxy-Connection", "Upgrade", "HTTP2-Settings", "TE"].map((name) =>
    wrong(
      `| header ${name}: x`,
      10,
      `the header ${name} is not sent, each check has a connection of its own and closes it`,
    )
  ),
  ["| header Expect: 100-continue", 10, "the header Expect is not sent, | body is sent at once: leave it out"],
  ["| header X: ${HOSTS_NONE}", 10, "HOSTS_NONE is not set: set this variable of the environment"],
  ["| header X: ${HOSTS_EMPTY}", 10, "HOSTS_EMPTY is not set: set this variable of the environment"],
  [
    "| header X: ${HOSTS_LINES}",
    10,
    "the value of X holds a line end or control character: write one line of plain text",
  ],
  ["| header X: ${file:lines}", 10, "the value of X holds a line end or control character"],
  [
    "| header X: ${KAFKA_SSL_KEY_PASSWORD}",
    10,
    "${KAFKA_SSL_KEY_PASSWORD} is no reference: write ${HOSTS_NAME} for a variable, whose name begins with HOSTS_",
  ],
  ["| header X: ${HOSTS_TOKEN", 10, "${ is not closed: write } behind the name, or $${ for the signs themselves"],
  ["| header X: ${file:none}", 10, "none: cannot be read (ENOENT)"],
  ["| header X: ${file:empty}", 10, "empty: is empty: write what is to be sent into it"],
  ["| header X: ${file:long}", 10, "long: has 65537 bytes, and 65536 are the most"],
  ["| label team", 9, "this is no label: write NAME=VALUE, such as team=shop"],
  ["| label team=", 9, "this is no label: write NAME=VALUE"],
  ["| label 1=a", 9, "this is no label: write NAME=VALUE"],
  [`| label a=${"x".repeat(254)}`, 9, "the label a has 254 characters, and 253 are the most"],
  ["| label a=${HOSTS_TOKEN}", 9, "| label takes no reference: ${…} stands in header and body only"],
  ["| body x", 8, "a check with GET has no body: write | method POST, or leave | body out"],
];

/** Writes the files to which the options below refer. */
export function writeTlsFiles(folder: string, { authority, good, rsa, expired }: Certificates): void {
  const files = {
    "ca.pem": authority,
    "client.pem": good.cert,
    "client.key": good.key,
    "other.key": rsa.key,
    "expired.pem": expired.cert,
    "text": "no certificate\n",
    "nothing": "",
    "damaged-ca.pem": authority.replace(/\n.{20}/, "\n"),
    "damaged.pem": good.cert.replace(/\n.{20}/, "\n"),
    "damaged.key": good.key.replace(/\n.{20}/, "\n"),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  mkdirSync(join(folder, "folder"));
  symlinkSync("loop", join(folder, "loop"));
}

/** The options for TLS of one host, and the problems with them: the option's number, the column, the message. */
export type WrongTls = readonly [
  lines: readonly string[],
  ...problems: (readonly [option: number, column: number, message: string])[],
];

const client = (cert: string, key: string) => [`| tls-cert ${cert}`, `| tls-key ${key}`];
const unread = (code: string) => `cannot be read (${code}): check the path and the rights of the file`;
const NO_CERTIFICATE = 'holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----"';
const NO_KEY = 'holds no private key: want PEM text with "-----BEGIN PRIVATE KEY-----"';
const DAMAGED = "the file is damaged, copy it again";
const TOGETHER = "| tls-cert and | tls-key go together: write both, which may name the same file";
const REFERENCE = "takes no reference: ${…} stands in header and body only";
const NO_SWITCH = "is neither on nor off: write off to take any certificate";
const notAName = (name: string): WrongTls => [
  [`| tls-name ${name}`],
  [1, 12, `"${name}" is no name of a host: write one such as www.example.com`],
];

/** What is wrong with options for TLS. */
export const WRONG_TLS: Readonly<Record<string, WrongTls>> = {
  "an authority's file that is missing": [["| tls-ca none.pem"], [1, 10, `none.pem: ${unread("ENOENT")}`]],
  "an authority's file that cannot be read": [["| tls-ca loop"], [1, 10, `loop: ${unread("ELOOP")}`]],
  "an authority's file that is a folder": [["| tls-ca folder"], [1, 10, "folder: is no file: name one"]],
  "an authority's file that is no PEM": [["| tls-ca text"], [1, 10, `text: ${NO_CERTIFICATE}`]],
  "an authority's file with a key": [
    ["| tls-ca client.key"],
    [1, 10, `client.key: ${NO_CERTIFICATE}, but this is a "EC PRIVATE KEY"`],
  ],
  "an authority's file that is empty": [["| tls-ca nothing"], [1, 10, `nothing: ${NO_CERTIFICATE}`]],
  "an authority's file that is damaged": [
    ["| tls-ca damaged-ca.pem"],
    [1, 10, `damaged-ca.pem: its certificate cannot be decoded: ${DAMAGED}`],
  ],
  "a certificate that is missing": [client("none.pem", "client.key"), [1, 12, `none.pem: ${unread("ENOENT")}`]],
  "a certificate that cannot be read": [client("loop", "client.key"), [1, 12, `loop: ${unread("ELOOP")}`]],
  "a certificate that is a folder": [client("folder", "client.key"), [1, 12, "folder: is no file: name one"]],
  "a certificate that is no PEM": [client("text", "client.key"), [1, 12, `text: ${NO_CERTIFICATE}`]],
  "a certificate that is damaged": [
    client("damaged.pem", "client.key"),
    [1, 12, `damaged.pem: its certificate cannot be decoded: ${DAMAGED}`],
    [2, 11, "client.key: the key does not fit the certificate in damaged.pem: take the two that were made together"],
  ],
  "a key that is missing": [client("client.pem", "none.key"), [2, 11, `none.key: ${unread("ENOENT")}`]],
  "a key that cannot be read": [client("client.pem", "loop"), [2, 11, `loop: ${unread("ELOOP")}`]],
  "a key that is a folder": [client("client.pem", "folder"), [2, 11, "folder: is no file: name one"]],
  "a key that is no PEM": [client("client.pem", "text"), [2, 11, `text: ${NO_KEY}`]],
  "a key that is damaged": [
    client("client.pem", "damaged.key"),
    [2, 11, `damaged.key: its key cannot be decoded: ${DAMAGED}`],
  ],
  "a key that does not fit": [
    client("client.pem", "other.key"),
    [2, 11, "other.key: the key does not fit the certificate in client.pem: take the two that were made together"],
  ],
  "a certificate and a key that are both missing": [
    client("none.pem", "none.key"),
    [1, 12, `none.pem: ${unread("ENOENT")}`],
    [2, 11, `none.key: ${unread("ENOENT")}`],
  ],
  "one file for both that cannot be read, once": [client("loop", "loop"), [1, 12, `loop: ${unread("ELOOP")}`]],
  "a certificate and a key that are swapped": [
    client("client.key", "client.pem"),
    [2, 11, `client.pem: ${NO_KEY}, but this is a "CERTIFICATE"`],
    [1, 12, `client.key: ${NO_CERTIFICATE}, but this is a "EC PRIVATE KEY"`],
  ],
  "a certificate without its key": [["| tls-cert client.pem"], [1, 12, TOGETHER]],
  "a key without its certificate": [["| tls-key client.key"], [1, 11, TOGETHER]],
  "no certificate": [["| tls-cert"], [1, 11, "| tls-cert lacks its value: write | tls-cert and, behind it, the value"]],
  "a file for a file's path": [["| tls-ca ${file:ca.pem}"], [1, 10, `| tls-ca ${REFERENCE}`]],
  "a variable for a file's path": [["| tls-key ${HOSTS_TOKEN}"], [1, 11, `| tls-key ${REFERENCE}`]],
  "an authority that is not used": [
    ["| tls-ca ca.pem", "| tls-verify off"],
    [1, 10, "| tls-verify off takes any certificate: leave | tls-ca out, or write | tls-verify on"],
  ],
  "neither on nor off": [["| tls-verify no"], [1, 14, `"no" ${NO_SWITCH}`]],
  "OFF": [["| tls-verify OFF"], [1, 14, `"OFF" ${NO_SWITCH}`]],
  "a verification without its value": [
    ["| tls-verify"],
    [1, 13, "| tls-verify lacks its value: write | tls-verify and, behind it, the value"],
  ],
  "a verification that stands twice": [
    ["| tls-verify off", "| tls-verify off"],
    [2, 14, "tls-verify stands on line "],
  ],
  ...Object.fromEntries(
    ["127.0.0.1", "[::1]", "https://b.example", "b.example:443", "a b", "*.b.example", "xn--a.example"]
      .map((name) => [`a name that is none: ${name}`, notAName(name)]),
  ),
  "no name": [["| tls-name"], [1, 11, "| tls-name lacks its value: write | tls-name and, behind it, the value"]],
};

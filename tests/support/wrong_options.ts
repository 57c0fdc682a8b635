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

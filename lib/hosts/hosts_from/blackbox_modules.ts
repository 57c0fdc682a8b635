import { basicLogin, durationOf, type ForeignHost, type ForeignText, isPath, USUAL_TLS } from "./foreign_file.ts";
import { MOST_BODY } from "../option_values.ts";
import { isTrue, objectOf, otherKeys, type PlainObject, scalarText, textsOf } from "./plain_values.ts";
import { regexField } from "./regexes.ts";

/** How a module of the blackbox_exporter asks a site, and judges the answer. */
export type ProbeManner = Pick<
  ForeignHost,
  "method" | "headers" | "body" | "status" | "timeout" | "redirects" | "regex" | "absent" | "maxBody" | "tls" | "lacks"
>;

/** Modules that people have without a look at their configuration. */
const WELL_KNOWN: PlainObject = {
  http_2xx: { prober: "http" },
  http_post_2xx: { prober: "http", http: { method: "POST" } },
};
/** Names of modules that ask no web site. */
const OTHER_PROBERS = /icmp|ping|tcp|dns|ssh|grpc|smtp|imap|pop3|irc|banner|websocket|unix|tls_connect/i;

const KNOWN_KEYS = [
  ...["valid_status_codes", "method", "headers", "http_headers", "body", "body_file", "basic_auth", "bearer_token"],
  ...["bearer_token_file", "authorization", "tls_config", "follow_redirects", "no_follow_redirects"],
  ...["fail_if_body_matches_regexp", "fail_if_body_not_matches_regexp", "body_size_limit"],
];
const TLS_KEYS = ["ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"];

function ownModule(name: string, modules: PlainObject): unknown {
  if (Object.hasOwn(modules, name)) return modules[name];
  return Object.hasOwn(WELL_KNOWN, name) ? WELL_KNOWN[name] : undefined;
}

/** Why a module asks no web site; null where it does, or where nobody can tell. */
export function otherProber(name: string, modules: PlainObject): string | null {
  const module = ownModule(name, modules);
  if (module !== undefined) {
    const prober = scalarText(objectOf(module)["prober"]);
    return prober === "http" ? null : `prober ${prober || "?"}`;
  }
  return OTHER_PROBERS.test(name) ? `module ${name}` : null;
}

/** What a module asks for. One that is not in `modules` is told as a lack. */
export function probeManner(name: string, modules: PlainObject): ProbeManner {
  const found = ownModule(name, modules);
  const module = objectOf(found);
  const http = objectOf(module["http"]);
  const tls = objectOf(http["tls_config"]);
  const headers = headersOf(http, name);
  const [matched, ...others] = textsOf(http["fail_if_body_not_matches_regexp"]);
  const unwanted = textsOf(http["fail_if_body_matches_regexp"]);
  const timeout = durationOf(scalarText(module["timeout"]));
  const followed = http["follow_redirects"] ?? true;
  return {
    method: scalarText(http["method"]).toUpperCase() || null,
    headers: headers.map(({ header, value }) => [header, value] as const),
    body: bodyOf(http),
    status: textsOf(http["valid_status_codes"]).join(" ") || "200-299",
    timeout: timeout === null ? null : timeout / 1000,
    redirects: isTrue(followed) && !isTrue(http["no_follow_redirects"]) ? null : 0,
    regex: matched === undefined ? null : regexField(matched),
    absent: unwanted.length === 0 ? null : regexField(unwanted.length === 1 ? unwanted[0] as string : anyOf(unwanted)),
    maxBody: sizeOf(scalarText(http["body_size_limit"])),
    tls: tlsOf(tls),
    lacks: [
      ...found === undefined ? [`the module ${name}: name its file behind that of the targets, or write options`] : [],
      ...others.length === 0 ? [] : ["a second fail_if_body_not_matches_regexp"],
      ...otherKeys(http, KNOWN_KEYS),
      ...otherKeys(tls, TLS_KEYS).map((key) => `tls_config ${key}`),
    ],
  };
}

function anyOf(sources: readonly string[]): string {
  return sources.map((source) => `(?:${source})`).join("|");
}

interface SentHeader {
  readonly header: string;
  readonly value: ForeignText;
}

function headersOf(http: PlainObject, module: string): readonly SentHeader[] {
  const plain = Object.entries(objectOf(http["headers"])).map(([header, value]) => ({
    header,
    value: { text: scalarText(value) },
  }));
  const listed = Object.entries(objectOf(http["http_headers"])).flatMap(([header, written]): SentHeader[] => {
    const { values, secrets, files } = objectOf(written);
    const [text] = [...textsOf(values), ...textsOf(secrets)];
    const [file] = textsOf(files);
    if (text !== undefined) return [{ header, value: { text } }];
    return file === undefined || !isPath(file) ? [] : [{ header, value: { before: "", file } }];
  });
  const login = loginOf(http, module);
  return [...plain, ...listed, ...login === null ? [] : [{ header: "Authorization", value: login }]];
}

function loginOf(http: PlainObject, module: string): ForeignText | null {
  const owner = `the module ${module}`;
  const basic = objectOf(http["basic_auth"]);
  const user = scalarText(basic["username"]) || scalarText(basic["username_file"]);
  if (user !== "") return basicLogin(`of ${owner}`, `login ${JSON.stringify(basic)}`);
  const { type, credentials, credentials_file: file } = objectOf(http["authorization"]);
  const before = `${scalarText(type) || "Bearer"} `;
  const path = scalarText(file) || scalarText(http["bearer_token_file"]);
  if (path !== "" && isPath(path)) return { before, file: path };
  const token = scalarText(credentials) || scalarText(http["bearer_token"]);
  return token === "" ? null : { before, what: `the token of ${owner}`, key: `header ${token}`, variable: null };
}

function bodyOf(http: PlainObject): ForeignText | null {
  const [body, file] = [scalarText(http["body"]), scalarText(http["body_file"])];
  if (body !== "") return { text: body };
  return file !== "" && isPath(file) ? { before: "", file } : null;
}

function tlsOf(tls: PlainObject): ForeignHost["tls"] {
  const [ca, cert, key, name] = ["ca_file", "cert_file", "key_file", "server_name"].map((one) => scalarText(tls[one]));
  const hasClient = cert !== "" && key !== "";
  return {
    ...USUAL_TLS,
    ca: ca || null,
    cert: hasClient ? cert || null : null,
    key: hasClient ? key || null : null,
    name: name || null,
    isVerified: !isTrue(tls["insecure_skip_verify"]),
  };
}

const SIZES: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

function sizeOf(text: string): number | null {
  const [, number, unit = ""] = /^(\d{1,9})(?:([kmg])?i?b)?$/i.exec(text) ?? [];
  if (number === undefined || Number(number) === 0) return null;
  return Math.min(MOST_BODY, Number(number) * (SIZES[unit.toLowerCase()] as number));
}

/** The modules of a configuration of the blackbox_exporter; null where it is none. */
export function modulesOf(document: unknown): PlainObject | null {
  const { modules } = objectOf(document);
  return typeof modules === "object" && modules !== null ? objectOf(modules) : null;
}

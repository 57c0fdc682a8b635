import {
  durationOf,
  type ForeignFile,
  type ForeignHost,
  type ForeignText,
  plainHost,
  USUAL_TLS,
} from "./foreign_file.ts";
import { hasVariable, readConditions } from "./gatus_conditions.ts";
import { isTrue, isUnset, objectOf, otherKeys, type PlainObject, scalarText, textsOf } from "./plain_values.ts";

/** Of the whole file, what is about hosts and has no counterpart. */
const REMARKS: Readonly<Record<string, string>> = {
  "alerting": "",
  "announcements": "",
  "connectivity": "",
  "external-endpoints": "others check these",
  "maintenance": "",
  "remote": "other instances check these",
  "suites": "several requests that depend on each other",
  "tunneling": "",
};
const ENDPOINT = [
  ...["enabled", "name", "group", "url", "method", "body", "graphql", "headers", "extra-labels", "interval"],
  ...["conditions", "client"],
];
const CLIENT = ["insecure", "ignore-redirect", "timeout", "tls", "network"];
/** Seconds. */
const USUAL_TIMEOUT = 10;

/** The content of a Gatus configuration. Null where it is none. */
export function readGatus(document: unknown): ForeignFile | null {
  const file = objectOf(document);
  // Versions before 4 called them services.
  const list = file["endpoints"] ?? file["services"];
  if (!Array.isArray(list)) return null;
  const endpoints = list.map(objectOf);
  const sites = endpoints.filter(isSite);
  return {
    program: "Gatus",
    hosts: sites.map(hostOf),
    remarks: [
      ...endpoints.filter((endpoint) => !isSite(endpoint)).map((endpoint) =>
        `${nameOf(endpoint)}: ${kindOf(endpoint)}`
      ),
      ...Object.entries(REMARKS).flatMap(([key, why]) =>
        isUnset(file[key]) ? [] : [why === "" ? key : `${key}: ${why}`]
      ),
      ...sites.some(({ alerts }) => !isUnset(alerts)) ? ["alerts of endpoints"] : [],
    ],
  };
}

function isSite(endpoint: PlainObject): boolean {
  const url = scalarText(endpoint["url"]);
  return isUnset(endpoint["dns"]) && isUnset(endpoint["ssh"]) && /^https?:\/\//i.test(url) && !hasVariable(url);
}

function kindOf(endpoint: PlainObject): string {
  if (hasVariable(scalarText(endpoint["url"]))) {
    return "its address has a variable, which no host can have: write it out";
  }
  const kind = ["dns", "ssh"].find((key) => !isUnset(endpoint[key])) ??
    /^(\w+):\/\//.exec(scalarText(endpoint["url"]))?.[1]?.toLowerCase();
  return kind === undefined ? "no web site" : `checked over ${kind}, no web site`;
}

function nameOf(endpoint: PlainObject): string {
  return [endpoint["group"], endpoint["name"]].map(scalarText).filter((part) => part !== "").join("/") || "an endpoint";
}

function hostOf(endpoint: PlainObject): ForeignHost {
  const name = nameOf(endpoint);
  const client = objectOf(endpoint["client"]);
  const { lacks, timeout, ...judged } = readConditions(textsOf(endpoint["conditions"]));
  const seconds = Math.min(
    (durationOf(scalarText(client["timeout"])) ?? 0) / 1000 || USUAL_TIMEOUT,
    timeout ?? Infinity,
  );
  const interval = scalarText(endpoint["interval"]);
  const milliseconds = interval === "" ? 60_000 : durationOf(interval);
  const method = scalarText(endpoint["method"]).toUpperCase() || "GET";
  const body = bodyOf(endpoint);
  const isBodiless = ["GET", "HEAD"].includes(method);
  return {
    ...plainHost(name, expanded(endpoint["url"]), milliseconds || 60_000),
    ...judged,
    isPaused: endpoint["enabled"] !== undefined && !isTrue(endpoint["enabled"]),
    method,
    headers: headersOf(endpoint, name),
    body: isBodiless ? null : body,
    timeout: seconds,
    redirects: isTrue(client["ignore-redirect"]) ? 0 : null,
    tls: { ...USUAL_TLS, ...tlsFiles(objectOf(client["tls"])), isVerified: !isTrue(client["insecure"]) },
    labels: [
      ["name", scalarText(endpoint["name"])],
      ["group", scalarText(endpoint["group"])],
      ...Object.entries(objectOf(endpoint["extra-labels"])).map(([label, value]) =>
        [label, scalarText(value)] as const
      ),
    ],
    lacks: [
      ...lacks,
      ...milliseconds === null ? ["its interval, which is no time: one minute is written"] : [],
      ...scalarText(endpoint["body"]).includes("[RANDOM_STRING_") ? ["[RANDOM_STRING] in the body"] : [],
      ...isBodiless && body !== null ? [`a body with ${method}`] : [],
      ...otherKeys(endpoint, [...ENDPOINT, "alerts"]),
      ...otherKeys(client, CLIENT).map((key) => `client ${key}`),
      ...otherKeys(objectOf(client["tls"]), ["certificate-file", "private-key-file"]).map((key) => `client tls ${key}`),
    ],
  };
}

/** `$$` stands for the sign itself. */
function expanded(value: unknown): string {
  return scalarText(value).replaceAll("$$", () => "$");
}

function tlsFiles(tls: PlainObject): { readonly cert: string | null; readonly key: string | null } {
  const [cert = "", key = ""] = ["certificate-file", "private-key-file"].map((name) => expanded(tls[name]));
  return cert === "" || key === "" ? { cert: null, key: null } : { cert, key };
}

/** A header that is nothing but a variable, perhaps behind the kind of a login. */
const ALONE = /^((?:[A-Za-z]+ )?)\$(?:\{(\w+)\}|(\w+))$/;

function headersOf(endpoint: PlainObject, name: string): ForeignHost["headers"] {
  const given = Object.entries(objectOf(endpoint["headers"])).map(([header, value]) =>
    [header, sentText(scalarText(value), `the header ${header} of ${JSON.stringify(name)}`)] as const
  );
  const hasType = given.some(([header]) => header.toLowerCase() === "content-type");
  return isTrue(endpoint["graphql"]) && !hasType
    ? [["Content-Type", { text: "application/json" }] as const, ...given]
    : given;
}

function sentText(text: string, what: string): ForeignText {
  const [, before = "", braced, bare] = ALONE.exec(text) ?? [];
  const variable = braced ?? bare;
  if (variable !== undefined) {
    return { before, what: `the variable ${variable} of Gatus`, key: `variable ${variable}`, variable };
  }
  if (!hasVariable(text)) return { text: expanded(text) };
  return { before: "", what: `${what}, with its variables put in`, key: `text ${text}`, variable: null };
}

function bodyOf(endpoint: PlainObject): ForeignText | null {
  const text = scalarText(endpoint["body"]).replaceAll(
    /\[ENDPOINT_(NAME|GROUP|URL)\]/g,
    (_, part: string) => scalarText(endpoint[part.toLowerCase()]),
  );
  if (text === "") return null;
  const sent = sentText(text, `the body of ${JSON.stringify(nameOf(endpoint))}`);
  return isTrue(endpoint["graphql"]) && "text" in sent ? { text: JSON.stringify({ query: sent.text }) } : sent;
}

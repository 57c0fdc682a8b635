import { hide } from "../address.ts";
import {
  basicLogin,
  type ForeignFile,
  type ForeignHost,
  type ForeignSecret,
  type ForeignText,
  type ForeignTls,
  plainHost,
  USUAL_TLS,
} from "./foreign_file.ts";
import { isTrue, isUnset, listOf, numberOf, objectOf, type PlainObject, scalarText, textsOf } from "./plain_values.ts";
import { regexOfText } from "./regexes.ts";

/** The types of monitors that ask a web site. */
const SITES: readonly string[] = ["http", "keyword", "json-query", "real-browser"];

/** The content of an Uptime Kuma backup, or of its list of monitors. Null where it is none. */
export function readUptimeKuma(document: unknown): ForeignFile | null {
  const monitors = monitorsOf(document);
  if (monitors === null) return null;
  const known = monitors.filter(({ id }) => scalarText(id) !== "");
  const names = new Map(known.map((monitor) => [scalarText(monitor["id"]), scalarText(monitor["name"])]));
  const sites = monitors.filter(({ type }) => SITES.includes(scalarText(type)));
  const others = monitors.filter(({ type }) => !SITES.includes(scalarText(type)) && scalarText(type) !== "group");
  return {
    program: "Uptime Kuma",
    hosts: sites.map((monitor) => hostOf(monitor, names.get(scalarText(monitor["parent"])) ?? "")),
    remarks: [
      ...others.map((monitor) =>
        `${nameOf(monitor)}: a monitor of type ${scalarText(monitor["type"]) || "?"}, no web site`
      ),
      ...remarks(document, sites),
    ],
  };
}

/** The monitors of a backup, or of a list that Uptime Kuma gives to those who ask for it. */
function monitorsOf(document: unknown): readonly PlainObject[] | null {
  const list = objectOf(document)["monitorList"];
  if (typeof list === "object" && list !== null) return listOf(list).map(objectOf);
  const monitors = listOf(document).map(objectOf);
  const areMonitors = monitors.every((one) => ["name", "type"].every((key) => scalarText(one[key]) !== ""));
  return areMonitors && monitors.length > 0 ? monitors : null;
}

/** What has no counterpart, once for all monitors. */
function remarks(document: unknown, sites: readonly PlainObject[]): string[] {
  const some = (key: string) => sites.some((monitor) => !isUnset(monitor[key]));
  return [
    ...["notificationList", "proxyList", "statusPageList", "maintenanceList"].filter((key) =>
      !isUnset(objectOf(document)[key])
    ),
    ...some("maxretries") ? ["maxretries: each check is a row of its own, and none is made again"] : [],
    ...some("expiryNotification")
      ? ["expiryNotification: each row has the day on which the certificate expires, in tls_expires_at"]
      : [],
    ...some("description") ? ["description"] : [],
  ];
}

function nameOf(monitor: PlainObject): string {
  return scalarText(monitor["name"]) || hide(scalarText(monitor["url"])).replace(/[?#].*$/s, "") ||
    "a monitor without a name";
}

function hostOf(monitor: PlainObject, group: string): ForeignHost {
  const name = nameOf(monitor);
  const url = scalarText(monitor["url"]);
  const keyword = scalarText(monitor["type"]) === "keyword" ? scalarText(monitor["keyword"]) : "";
  const isInverted = isTrue(monitor["invertKeyword"]);
  const interval = numberOf(monitor["interval"]) ?? 60;
  const body = scalarText(monitor["body"]);
  const method = scalarText(monitor["method"]).toUpperCase() || "GET";
  const tags = listOf(monitor["tags"]).map(objectOf).map((tag) =>
    [scalarText(tag["name"]), scalarText(tag["value"]) || "true"] as const
  );
  return {
    ...plainHost(
      name,
      /^https?:\/\//i.test(url) ? url : `https://${url}`,
      interval * 1000,
    ),
    // A backup has 0 and 1, the list of monitors false and true.
    isPaused: monitor["active"] !== undefined && !isTrue(monitor["active"]),
    regex: keyword === "" || isInverted ? null : regexOfText(keyword),
    absent: keyword === "" || !isInverted ? null : regexOfText(keyword),
    method,
    headers: headersOf(monitor, name),
    body: body === "" || method === "GET" || method === "HEAD" ? null : { text: body },
    status: textsOf(monitor["accepted_statuscodes"]).join(" ") || "200-299",
    // Monitors of old versions name none, and have four fifths of their interval.
    timeout: numberOf(monitor["timeout"]) || interval * 0.8,
    redirects: numberOf(monitor["maxredirects"]),
    tls: tlsOf(monitor, name),
    labels: [["name", name], ["group", group], ...tags],
    lacks: lacksOf(monitor, method),
  };
}

const TYPES: Readonly<Record<string, string>> = {
  form: "application/x-www-form-urlencoded",
  xml: "text/xml; charset=utf-8",
};

function headersOf(monitor: PlainObject, name: string): ForeignHost["headers"] {
  const given = Object.entries(headersGiven(monitor["headers"]) ?? {}).map(([header, value]) =>
    [header, { text: scalarText(value) }] as const
  );
  const implied: (readonly [string, ForeignText])[] = [];
  if (scalarText(monitor["body"]) !== "") {
    implied.push(["Content-Type", { text: TYPES[scalarText(monitor["httpBodyEncoding"])] ?? "application/json" }]);
  }
  const login = loginOf(monitor, name);
  if (login !== null) implied.push(["Authorization", login]);
  const names = given.map(([header]) => header.toLowerCase());
  return [...implied.filter(([header]) => !names.includes(header.toLowerCase())), ...given];
}

/** The headers stand there as JSON in a text. Null where that is none. */
function headersGiven(value: unknown): PlainObject | null {
  const text = scalarText(value).trim();
  if (text === "") return objectOf(value);
  try {
    return objectOf(JSON.parse(text));
  } catch {
    return null;
  }
}

function loginOf(monitor: PlainObject, name: string): ForeignSecret | null {
  const [user, password, token] = ["basic_auth_user", "basic_auth_pass", "bearer_token"].map((key) =>
    scalarText(monitor[key])
  );
  const method = scalarText(monitor["authMethod"]);
  if (method === "bearer" && token) {
    const what = `the bearer token of ${JSON.stringify(name)}`;
    return { before: "Bearer ", what, key: `header ${token}`, variable: null };
  }
  // Backups of old versions name no method.
  if (method !== "basic" && method !== "" || !user && !password) return null;
  return basicLogin(`of ${JSON.stringify(name)}`, `login ${user}:${password}`);
}

function tlsOf(monitor: PlainObject, name: string): ForeignTls {
  const hasClient = scalarText(monitor["authMethod"]) === "mtls";
  const [ca, cert, key] = (["tlsCa", "tlsCert", "tlsKey"] as const).map((part) =>
    hasClient && scalarText(monitor[part]) !== ""
  );
  const path = `certs/${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 50) || "client"}`;
  return {
    ...USUAL_TLS,
    isVerified: !isTrue(monitor["ignoreTls"]),
    ca: ca ? `${path}-ca.pem` : null,
    cert: cert && key ? `${path}.pem` : null,
    key: cert && key ? `${path}-key.pem` : null,
  };
}

function lacksOf(monitor: PlainObject, method: string): string[] {
  const type = scalarText(monitor["type"]);
  const login = scalarText(monitor["authMethod"]);
  const upsideDown = isTrue(monitor["upsideDown"]);
  return [
    ...type === "json-query" ? ["jsonPath and expectedValue: a REGEX may look at the JSON's text"] : [],
    ...type === "real-browser" ? ["a browser: the page is read as the site sends it"] : [],
    ...upsideDown ? ["upsideDown: that a site answers is up here, whatever one wishes"] : [],
    ...["ntlm", "oauth2-cc"].includes(login) ? [`authMethod ${login}: a login of several steps`] : [],
    ...isUnset(monitor["proxyId"]) ? [] : ["proxyId: a check goes to the site itself"],
    ...isTrue(monitor["cacheBust"]) ? ["cacheBust"] : [],
    ...isUnset(monitor["ipFamily"]) ? [] : ["ipFamily: both are tried"],
    ...headersGiven(monitor["headers"]) === null ? ["headers, which are no JSON"] : [],
    ...scalarText(monitor["body"]) !== "" && ["GET", "HEAD"].includes(method) ? [`a body with ${method}`] : [],
  ];
}

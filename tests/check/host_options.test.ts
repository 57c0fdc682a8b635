import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { METHODS } from "../../lib/hosts/host_options.ts";
import type { Metric } from "../../lib/metric.ts";
import type { Checked, Target } from "../support/check_runner.ts";
import { namesFolder } from "../support/resolver_folder.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";
import { answer, openSite, type Page, type Request, type Site } from "../support/site.ts";

// Each option on real sockets, under both runtimes.

const SECRET = "h0sts-s3cret";
const LARGE = `${"x".repeat(300_000)}CLOSED`;

const folder = mkdtempSync(join(tmpdir(), "test-options-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const tokenFile = join(folder, "token");
writeFileSync(tokenFile, `${SECRET}\n`);

/** `/to/STATUS/PLACE`: a redirect to the page `/end` of this site, or of the other one. */
const page = (other: () => Site): Page => (socket, { method, path }) => {
  const [, name, status = "", place] = (path.split("?")[0] as string).split("/");
  if (name === "to") {
    const target = place === "other" ? `http://127.0.0.1:${other().port}/end${path}` : `/end${path}`;
    socket.end(answer(`${status} Redirect`, { Location: target }));
  } else if (name === "silent") return;
  else if (name === "status") socket.end(answer(`${status} Some`, {}, "fine"));
  else if (name === "large") socket.end(answer("200 OK", {}, LARGE));
  else if (name === "gzip" && method === "HEAD") {
    socket.end(answer("200 OK", { "Content-Encoding": "gzip", "Content-Length": "1000" }));
  } else if (name === "gzip") socket.end(answer("200 OK", { "Content-Encoding": "gzip" }, gzipSync("fine")));
  else socket.end(answer("200 OK", {}, "fine and closed"));
};

/** A check: the page, the REGEX, the options, and what comes of it. */
interface Case {
  readonly path: string;
  readonly regex?: string;
  readonly options: readonly string[];
  readonly expected: Partial<Metric>;
}

const POST = [
  "| method POST",
  "| header Content-Type: application/json",
  "| header X-Token: ${HOSTS_TOKEN}",
  '| body {"é":1}',
];
const UP = { up: true, is_valid: true, error: null, error_detail: null } as const;
const crossed = (status: number) => `the redirect (${status}) leads to another origin, which must not get | body`;

const CASES: Readonly<Record<string, Case>> = {
  "a POST": { path: "/post", options: POST, expected: UP },
  "a header from a file": {
    path: "/file",
    options: [`| header Authorization: Bearer \${file:${tokenFile}}`],
    expected: UP,
  },
  "usual headers replaced": {
    path: "/replaced",
    options: ["| header accept: text/html", "| header User-Agent: me/1", "| header Accept-Encoding: identity"],
    expected: UP,
  },
  "a POST without a body": { path: "/empty", options: ["| method POST"], expected: UP },
  "a DELETE": { path: "/delete", options: ["| method DELETE"], expected: UP },
  "a HEAD whose answer names a length": { path: "/gzip/head", options: ["| method HEAD"], expected: UP },
  "a status that is up": {
    path: "/status/401",
    options: ["| status 200-299 401"],
    expected: { ...UP, status_code: 401 },
  },
  "a status that is down": {
    path: "/status/200",
    options: ["| status 401"],
    expected: { ...UP, up: false, status_code: 200 },
  },
  "a status that is up, and a page that does not match": {
    path: "/status/401",
    regex: "other",
    options: ["| status 401"],
    expected: { up: false, is_valid: false, error: null },
  },
  "a timeout of its own": {
    path: "/silent",
    options: ["| timeout 200ms"],
    // In which phase depends on how busy this machine is.
    expected: {
      up: false,
      error: "timeout",
      error_detail: expect.stringMatching(/^no answer within 0\.2 s/) as string,
    },
  },
  "a redirect that is the answer": {
    path: "/to/302/own",
    options: ["| redirects 0"],
    expected: { ...UP, status_code: 302 },
  },
  "as many redirects as are allowed": {
    path: "/to/302/own",
    options: ["| redirects 1"],
    expected: { ...UP, status_code: 200 },
  },
  "more redirects than are allowed": {
    path: "/to/301/own",
    options: ["| redirects 1", "| status 301"],
    expected: { ...UP, up: false, status_code: 200 },
  },
  "a page without what must be absent": { path: "/", options: ["| absent maintenance"], expected: UP },
  "a page with what must be absent": {
    path: "/",
    options: ["| absent (?i)CLOSED"],
    expected: { ...UP, up: false, is_valid: false },
  },
  "a page with what it must hold, and without what it must not": {
    path: "/",
    regex: "fine",
    options: ["| absent maintenance"],
    expected: UP,
  },
  "a page with both": {
    path: "/",
    regex: "fine",
    options: ["| absent closed"],
    expected: { ...UP, up: false, is_valid: false },
  },
  "a large page with both": {
    path: "/large",
    regex: "x",
    options: ["| absent CLOSED"],
    expected: { ...UP, up: false, is_valid: false },
  },
  "a page that is cut before the match": {
    path: "/large",
    regex: "CLOSED",
    options: ["| max-body 64KiB"],
    expected: { up: false, error: "body", error_detail: "no match in the first 64 KiB" },
  },
  "a page that is cut before what must be absent": {
    path: "/large",
    options: ["| absent CLOSED", "| max-body 100"],
    expected: UP,
  },
  ...Object.fromEntries([301, 302, 303].map((status) => [
    `a POST that ${status} makes a GET, here and elsewhere`,
    { path: `/to/${status}/other`, options: POST, expected: UP },
  ])),
  ...Object.fromEntries([307, 308].flatMap((status) => [
    [`a POST that goes on behind ${status}`, { path: `/to/${status}/own`, options: POST, expected: UP }],
    [`a POST that ${status} sends elsewhere`, {
      path: `/to/${status}/other`,
      options: POST,
      expected: { up: false, status_code: status, error: "redirect", error_detail: crossed(status) },
    }],
  ])),
  "a PUT that 301 sends elsewhere": {
    path: "/to/301/other",
    options: ["| method PUT", "| body x"],
    expected: { up: false, error: "redirect", error_detail: crossed(301) },
  },
  ...Object.fromEntries(METHODS.map((method) => [
    `the method ${method}`,
    { path: `/method/${method}`, options: [`| method ${method}`], expected: UP },
  ])),
  "a HEAD behind a redirect": { path: "/to/303/own/head", options: ["| method HEAD"], expected: UP },
};

/** Another value of each option, for all hosts, before which a host's own goes. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  method: ["| method OPTIONS"],
  body: ["| method OPTIONS", "| body other"],
  status: ["| status 599"],
  timeout: ["| timeout 19"],
  redirects: ["| redirects 7"],
  absent: ["| absent ^"],
  "max-body": ["| max-body 1"],
};
const othersOf = (options: readonly string[]) =>
  new Set(options.flatMap((option) => {
    const header = /^\| header ([\w-]+):/.exec(option)?.[1];
    return header === undefined ? OTHERS[/^\| ([\w-]+)/.exec(option)?.[1] ?? ""] ?? [] : [`| header ${header}: other`];
  }));

/** Where the options of a case stand: the text of its hosts file. */
const FORMS: Readonly<Record<string, (host: string, options: readonly string[]) => readonly string[]>> = {
  "at the host": (host, options) => [host, ...options],
  "before all hosts": (host, options) => [...options, host],
  "at the host, against those of all": (host, options) => [...othersOf(options), host, ...options],
};
const TARGETS = Object.entries(CASES).flatMap(([name, given]) =>
  Object.entries(FORMS).map(([form, lines], index) => ({
    ...given,
    name: index === 0 ? name : `${name}, ${form}`,
    lines,
  }))
);

describe.each(COMMANDS.filter(({ missing }) => missing === null))(
  "the options of a host under $runtime",
  ({ command }) => {
    let [site, other]: Site[] = [];
    let checked: ReadonlyMap<string, Metric>;
    const requests = (place: Site | undefined, path: string): readonly Request[] =>
      (place?.requests ?? []).filter((request) => request.path === path);

    beforeAll(async () => {
      const openPages = () => openSite(page(() => other as Site));
      [site, other] = await Promise.all([openPages(), openPages()]);
      const targets = TARGETS.map(({ name, path, regex = "", options, lines }, index): Target => {
        const host = `http://127.0.0.1:${site?.port}${path}?${index} 1h ${regex}`;
        return { name, line: lines(host, options).join("\n"), timeout: 20, blocked: null };
      });
      const names = namesFolder({ hosts: "", resolver: "" });
      const found = await runScript<Checked>(command, "check_runner.ts", { names: names.paths, targets }, {
        HOSTS_TOKEN: SECRET,
      });
      names[Symbol.dispose]();
      checked = new Map(found.map(({ name, metric }) => [name, metric]));
    });
    afterAll(async () => {
      await Promise.all([site, other].map((each) => each?.[Symbol.asyncDispose]()));
    });

    const pathOf = (name: string) => `${CASES[name]?.path}?${TARGETS.findIndex((target) => target.name === name)}`;

    it.each(TARGETS)("check does as it is told: $name", ({ name, expected }) => {
      expect(checked.get(name)).toMatchObject(expected);
    });

    it.each(METHODS)("check asks with %s, wherever that stands", (method) => {
      const asked = (site?.requests ?? []).filter(({ path }) => path.startsWith(`/method/${method}?`));
      expect(asked.map((request) => request.method)).toEqual(Object.keys(FORMS).map(() => method));
    });

    it("check sends method, headers and body as they are written, the body's length in bytes", () => {
      const [post] = requests(site, pathOf("a POST"));
      expect(post).toMatchObject({
        method: "POST",
        headers: { "content-type": "application/json", "x-token": SECRET, "content-length": "8" },
      });
      expect(Buffer.from(post?.body ?? "", "latin1").toString("utf8")).toBe('{"é":1}');
      expect(requests(site, pathOf("a header from a file"))[0]?.headers).toMatchObject({
        authorization: `Bearer ${SECRET}`,
      });
      expect(requests(site, pathOf("a POST without a body"))[0]?.headers).toMatchObject({ "content-length": "0" });
      expect(requests(site, pathOf("a DELETE"))[0]).toMatchObject({ method: "DELETE", body: "" });
      expect(requests(site, pathOf("a DELETE"))[0]?.headers).not.toHaveProperty("content-length");
    });

    it("check sends a header once, where a host replaces a usual one", () => {
      const { headers } = requests(site, pathOf("usual headers replaced"))[0] as Request;
      expect(headers).toMatchObject({ accept: "text/html", "user-agent": "me/1", "accept-encoding": "identity" });
      expect(Object.keys(headers)).toHaveLength(5);
    });

    it.each([301, 302, 303])("check behind %i asks another origin with GET, and tells it nothing", (status) => {
      const name = `a POST that ${status} makes a GET, here and elsewhere`;
      const [first] = requests(site, pathOf(name));
      const [second] = requests(other, `/end${pathOf(name)}`);
      expect(first).toMatchObject({ method: "POST", headers: { "x-token": SECRET } });
      expect(second).toMatchObject({ method: "GET", body: "" });
      expect(Object.keys(second?.headers ?? {}).toSorted()).toEqual([
        "accept",
        "accept-encoding",
        "connection",
        "host",
        "user-agent",
      ]);
    });

    it.each([307, 308])("check behind %i sends method and body again to the same origin, and to no other", (status) => {
      const [again] = requests(site, `/end${pathOf(`a POST that goes on behind ${status}`)}`);
      expect(again).toMatchObject({ method: "POST", headers: { "x-token": SECRET, "content-length": "8" } });
      expect(requests(other, `/end${pathOf(`a POST that ${status} sends elsewhere`)}`)).toEqual([]);
    });

    it("check keeps HEAD behind a redirect", () => {
      expect(requests(site, `/end${pathOf("a HEAD behind a redirect")}`)[0]?.method).toBe("HEAD");
    });

    it("check shows no secret, and tells the other origin none", () => {
      expect(JSON.stringify([...checked])).not.toContain(SECRET);
      expect(JSON.stringify(other?.requests)).not.toContain(SECRET);
    });
  },
);

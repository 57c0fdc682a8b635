import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Metric } from "../../lib/metric.ts";
import { Certificates } from "../support/certificates.ts";
import { run, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite, type Page, type Site } from "../support/site.ts";
import { FILES, SECRET, VARIABLES, writeTlsFiles, WRONG_OPTIONS, WRONG_TLS } from "../support/wrong_options.ts";

// The options of hosts in the producer as a user starts it, with the permissions that it has under Deno.

const folder = mkdtempSync(join(tmpdir(), "test-options-program-"));
const certificates = new Certificates();
afterAll(() => {
  certificates[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
let count = 0;
/** A new path of a hosts file with these lines. */
const write = (...lines: string[]) => {
  const path = join(folder, `hosts-${++count}.txt`);
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
  return path;
};

const [FROM_VARIABLE, FROM_FILE, LITERAL, NEXT] = ["v4riable-secret", "f1le-secret", "l1teral-secret", "n3xt-secret"];
const SECRETS = [FROM_VARIABLE, FROM_FILE, LITERAL, NEXT];
const env = { HOSTS_TOKEN: FROM_VARIABLE, LOG_LEVEL: "DEBUG" };
const openPages = () => openSite((socket) => socket.end(answer("401 Unauthorized")));
const metricsIn = (stdout: string) => stdout.trim().split("\n").map((line) => JSON.parse(line) as Metric);
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

const place = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const CA = `| tls-ca ${certificates.authorityFile}`;
const CLIENT = place("client.pem", certificates.forClients.key + certificates.forClients.cert);
const OTHER_CA = `| tls-ca ${place("other.pem", certificates.trustedAuthority.cert)}`;

/** `/410-if/PART/TEXT`: 410 where a part of the request is the text. */
const page: Page = (socket, { path, method, headers, body }) => {
  const [, name, part = "", text] = path.split("/");
  const said = { method, body, header: headers["x-mark"] }[part];
  if (name === "silent") return;
  else if (name === "to") socket.end(answer("302 Found", { Location: "/410" }));
  else if (name === "large") socket.end(answer("200 OK", {}, `${"x".repeat(70_000)}CLOSED`));
  else socket.end(answer(name === "410" || name === "410-if" && said === text ? "410 Gone" : "200 OK", {}, "CLOSED"));
};
const openSites = async () => ({
  http: await openSite(page),
  good: await openSite(page, { identity: certificates.good }),
  named: await openSite(page, { identity: certificates.named }),
  mutual: await openSite(page, {
    identity: certificates.good,
    tls: { requestCert: true, rejectUnauthorized: true, ca: certificates.authority },
  }),
});
type Sites = Awaited<ReturnType<typeof openSites>>;

/** A host before and after its options change, and what its checks bring. */
interface Change {
  /** The site, and the path and the REGEX of the host. */
  readonly at: keyof Sites;
  readonly host: string;
  readonly options: readonly [before: readonly string[], after: readonly string[]];
  readonly expected: readonly [before: Partial<Metric>, after: Partial<Metric>];
}
const change = (at: keyof Sites, host: string, options: Change["options"], expected: Change["expected"]): Change => ({
  ...{ at, host, options, expected },
});
const TO_410 = [{ status_code: 200, up: true }, { status_code: 410, up: false }] as const;
const TLS = [{ up: false, error: "tls" }, { up: true, error: null }] as const;
const late = (time: string) => ({
  error: "timeout",
  error_detail: expect.stringContaining(`no answer within ${time} s`) as string,
} as const);
const POST = "| method POST";

const CHANGES: Readonly<Record<string, Change>> = {
  "method": change("http", "/410-if/method/PUT", [[POST], ["| method PUT"]], TO_410),
  "header": change("http", "/410-if/header/2", [["| header X-Mark: 1"], ["| header X-Mark: 2"]], TO_410),
  "body": change("http", "/410-if/body/two", [[POST, "| body one"], [POST, "| body two"]], TO_410),
  "status": change("http", "/410", [[], ["| status 410"]], [{ up: false }, { up: true }]),
  "timeout": change("http", "/silent", [["| timeout 0.2"], ["| timeout 0.3"]], [late("0.2"), late("0.3")]),
  "redirects": change("http", "/to", [["| redirects 0"], ["| redirects 1"]], [{ status_code: 302 }, {
    status_code: 410,
  }]),
  "absent": change("http", "/absent", [["| absent x"], ["| absent CLOSED"]], [{ is_valid: true }, { is_valid: false }]),
  "max-body": change("http", "/large 1d CLOSED", [["| max-body 64KiB"], []], [{ error: "body" }, { is_valid: true }]),
  "label": change("http", "/label", [["| label a=1"], ["| label a=2"]], [{ labels: { a: "1" } }, {
    labels: { a: "2" },
  }]),
  "tls-ca": change("good", "/ca", [[OTHER_CA], [CA]], TLS),
  "tls-cert and tls-key": change(
    ...["mutual", "/cert", [[CA], [CA, `| tls-cert ${CLIENT}`, `| tls-key ${CLIENT}`]], TLS] as const,
  ),
  "tls-name": change("named", "/name", [[CA], [CA, "| tls-name named.test"]], TLS),
  "tls-verify": change("good", "/verify", [["| tls-verify on"], ["| tls-verify off"]], TLS),
};

describe.each(runtimes)("the producer under %s", (runtime: Runtime) => {
  it("names each wrong option with its place, and what to write instead", async () => {
    for (const [name, content] of Object.entries(FILES)) place(name, content);
    const path = write(...WRONG_OPTIONS.flatMap(([line], index) => [`https://a${index}.example 5`, line]));
    const { code, stdout, stderr } = await run(runtime, "producer", ["--check", path], { env: VARIABLES });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr.trim().split("\n")).toEqual(
      WRONG_OPTIONS.map(([, column, message], index) =>
        expect.stringContaining(`${path}:${2 * index + 2}:${column}: ${message}`)
      ),
    );
    expect(stderr).not.toContain(SECRET);
  });

  it("names all that is wrong with the options for TLS, and with the files that they name", async () => {
    const own = join(folder, `tls-${runtime}`);
    mkdirSync(own);
    writeTlsFiles(own, certificates);
    const path = join(own, "hosts.txt");
    const lines: string[] = [];
    const expected = new Set<string>();
    for (const [index, [options, ...problems]] of Object.values(WRONG_TLS).entries()) {
      lines.push(`https://a${index}.example 5`);
      for (const [option, column, message] of problems) {
        expected.add(`${path}:${lines.length + option}:${column}: ${message}`);
      }
      lines.push(...options);
    }
    writeFileSync(path, lines.join("\n"));
    const { code, stdout, stderr } = await run(runtime, "producer", ["--check", path], { env: VARIABLES });
    expect([code, stdout]).toEqual([2, ""]);
    // Those of a line come before those of a host.
    const told = stderr.trim().split("\n").toSorted();
    expect(told).toEqual([...expected].toSorted().map((text) => expect.stringContaining(text) as string));
    expect(stderr).not.toContain("PRIVATE KEY-----\n");
  });

  it("takes over each option that changes while it runs", async () => {
    const sites = await openSites();
    await using _ = {
      async [Symbol.asyncDispose]() {
        await Promise.all(Object.values<Site>(sites).map((site) => site[Symbol.asyncDispose]()));
      },
    };
    const all = Object.values(CHANGES);
    const addressOf = ({ at, host }: Change) =>
      `${at === "http" ? "http" : "https"}://localhost:${sites[at].port}${host.split(" ")[0]}`;
    const hosts = (when: 0 | 1) =>
      all.flatMap((one) => {
        const regex = one.host.includes(" ") ? one.host.slice(one.host.indexOf(" ")) : " 1d";
        return [`${addressOf(one)}${regex}`, ...one.options[when]];
      });
    const path = write(...hosts(0));
    await using producer = start(runtime, "producer", ["--stdout", path], { env });
    const printed = async (count: number) => {
      await expect.poll(() => producer.stdout.split("\n").length - 1, { timeout: 30_000 }).toBe(count);
      return metricsIn(producer.stdout).slice(count - all.length);
    };
    const found = (metrics: readonly Metric[]) =>
      Object.entries(CHANGES).map(([name, one]) => [name, metrics.find(({ address }) => address === addressOf(one))]);
    const expected = (when: 0 | 1) =>
      Object.entries(CHANGES).map(([name, { expected }]) => [name, expect.objectContaining(expected[when]) as Metric]);
    expect(found(await printed(all.length))).toEqual(expected(0));
    writeFileSync(path, hosts(1).map((line) => `${line}\n`).join(""));
    await producer.says(`${path}: read again, ${all.length} hosts: 0 added, 0 removed, ${all.length} changed\n`);
    expect(found(await printed(2 * all.length))).toEqual(expected(1));
  }, 90_000);

  it("does as the options say, in its threads, and shows none of the secrets in them", async () => {
    await using site = await openPages();
    writeFileSync(join(folder, "token"), `${FROM_FILE}\n`);
    const page = `http://127.0.0.1:${site.port}`;
    const path = write(
      ...["| label place=test", `${page}/post 5`, "| method POST", "| header Authorization: Bearer ${HOSTS_TOKEN}"],
      ...["| header Cookie: ${file:token}", `| body {"password": "${LITERAL}"}`, "| status 401", "| label team=shop"],
      ...[`${page}/plain 5`, "| label place=here"],
    );
    const { code, stdout, stderr } = await run(runtime, "producer", ["--once", "--stdout", "--threads", "2", path], {
      env,
    });
    expect(code).toBe(0);
    const metrics = metricsIn(stdout).toSorted((a, b) => b.address.localeCompare(a.address));
    expect(metrics.map(({ status_code, up, labels }) => ({ status_code, up, labels }))).toEqual([
      { status_code: 401, up: true, labels: { place: "test", team: "shop" } },
      { status_code: 401, up: false, labels: { place: "here" } },
    ]);
    const posted = site.requests.find(({ path }) => path === "/post");
    expect(posted).toMatchObject({
      method: "POST",
      headers: { authorization: `Bearer ${FROM_VARIABLE}`, cookie: FROM_FILE },
      body: `{"password": "${LITERAL}"}`,
    });
    const check = await run(runtime, "producer", ["--check", path], { env });
    expect(check.code).toBe(0);
    expect(check.stdout).toContain("  | header Authorization: …\n  | header Cookie: …\n  | body … (30 bytes)\n");
    for (const secret of SECRETS) expect(`${stdout}${stderr}${check.stdout}${check.stderr}`).not.toContain(secret);
  });

  it("says what is wrong with options and ends in 2, without the values of variables and files", async () => {
    writeFileSync(join(folder, "lines"), `${FROM_FILE}\n${FROM_FILE}\n`);
    const path = write(
      ...["https://a.example 5", "| header X: ${HOSTS_NONE}", "| header Y: ${file:lines}", "| body ${HOSTS_TOKEN}"],
      ...["| timuot 5", "| header Z: ${DB_PASSWORD}"],
    );
    const { code, stdout, stderr } = await run(runtime, "producer", ["--stdout", path], {
      env: { ...env, DB_PASSWORD: LITERAL },
    });
    expect([code, stdout]).toEqual([2, ""]);
    const problems = [
      ":2:10: HOSTS_NONE is not set: ",
      ":3:10: the value of Y holds a line end",
      ':5:3: "timuot" is no option: write | timeout',
      ":6:10: ${DB_PASSWORD} is no reference: ",
      ":4:8: a check with GET has no body: ",
    ];
    expect(stderr.trim().split("\n")).toEqual(problems.map((text) => expect.stringContaining(path + text)));
    for (const secret of SECRETS) expect(stderr).not.toContain(secret);
  });

  it("takes over a file to which an option refers when it changes, and no other host is disturbed", async () => {
    await using site = await openPages();
    const token = join(folder, `token-${++count}`);
    writeFileSync(token, FROM_FILE);
    const page = `http://127.0.0.1:${site.port}`;
    const path = write(
      `${page}/a 1s`,
      `| header X-Token: \${file:${token}}`,
      `${page}/b 1d`,
      "| header X-Token: ${HOSTS_TOKEN}",
    );
    await using producer = start(runtime, "producer", ["--stdout", path], { env });
    const sent = (value: string) => site.requests.some(({ headers }) => headers["x-token"] === value);
    await expect.poll(() => sent(FROM_FILE) && sent(FROM_VARIABLE), { timeout: 60_000 }).toBe(true);
    writeFileSync(token, NEXT);
    await producer.says(`${path}: read again, 2 hosts: 0 added, 0 removed, 1 changed\n`);
    await expect.poll(() => sent(NEXT), { timeout: 60_000 }).toBe(true);
    rmSync(token);
    await producer.says(`ERROR ${path}:2:10: ${token}: cannot be read (ENOENT)`);
    producer.kill("SIGTERM");
    const { code, stdout, stderr } = await producer.ended;
    expect(code).toBe(0);
    expect(site.requests.filter(({ path }) => path === "/b")).toHaveLength(1);
    for (const secret of SECRETS) expect(stdout + stderr).not.toContain(secret);
  }, 150_000);
});

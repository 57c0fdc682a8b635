import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Metric } from "../../lib/metric.ts";
import { run, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite } from "../support/site.ts";

// The options of hosts in the producer as a user starts it, with the permissions that it has under Deno.

const folder = mkdtempSync(join(tmpdir(), "test-options-program-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
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

describe.each(runtimes)("the producer under %s", (runtime: Runtime) => {
  it("does as the options say, in its threads, and shows none of the secrets in them", async () => {
    await using site = await openPages();
    writeFileSync(join(folder, "token"), `${FROM_FILE}\n`);
    const page = `http://127.0.0.1:${site.port}`;
    const path = write(
      ...["| label place=test", `${page}/post 5`, "| method POST", "| header Authorization: Bearer ${HOSTS_TOKEN}"],
      ...["| header Cookie: ${file:token}", `| body {"password": "${LITERAL}"}`, "| status 401", "| label team=shop"],
      `${page}/plain 5`,
    );
    const { code, stdout, stderr } = await run(runtime, "producer", ["--once", "--stdout", "--threads", "2", path], {
      env,
    });
    expect(code).toBe(0);
    const metrics = metricsIn(stdout).toSorted((a, b) => b.address.localeCompare(a.address));
    expect(metrics.map(({ status_code, up, labels }) => ({ status_code, up, labels }))).toEqual([
      { status_code: 401, up: true, labels: { place: "test", team: "shop" } },
      { status_code: 401, up: false, labels: { place: "test" } },
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
    await expect.poll(() => sent(FROM_FILE) && sent(FROM_VARIABLE), { timeout: 20_000 }).toBe(true);
    writeFileSync(token, NEXT);
    await producer.says(`${path}: read again, 2 hosts: 0 added, 0 removed, 1 changed\n`);
    await expect.poll(() => sent(NEXT), { timeout: 20_000 }).toBe(true);
    rmSync(token);
    await producer.says(`ERROR ${path}:2:10: ${token}: cannot be read (ENOENT)`);
    producer.kill("SIGTERM");
    const { code, stdout, stderr } = await producer.ended;
    expect(code).toBe(0);
    expect(site.requests.filter(({ path }) => path === "/b")).toHaveLength(1);
    for (const secret of SECRETS) expect(stdout + stderr).not.toContain(secret);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fitConcurrency, openableFor } from "../../lib/check/open_files.ts";
import type { Metric } from "../../lib/metric.ts";
import { openNameServer } from "../support/name_server.ts";
import { namesFolder } from "../support/resolver_folder.ts";
import { run, type Runtime } from "../support/programs.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";
import type { ResourceOrder } from "../support/exhausted_resource_runner.ts";
import { answer, openSite } from "../support/site.ts";

const folder = mkdtempSync(join(tmpdir(), "test-resources-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  [2000, 2064, 2000],
  [2000, 2063, 1999],
  [2000, 200, 136],
  [2000, 40, 10],
  [5, 40, 5],
  [2000, 0, 1],
  [65_000, Infinity, 65_000],
])(
  "fitConcurrency: of %i checks at the same time, with room for %d more files, there may be %i",
  (wanted, room, fits) => {
    const { concurrency, warning } = fitConcurrency(wanted, room);
    expect(concurrency).toBe(fits);
    expect(warning === null).toBe(fits === wanted);
  },
);

it("fitConcurrency says what limit there is and what to set", () => {
  expect(fitConcurrency(2000, 200).warning).toBe(
    "this program may open 200 more files, and each check under way is one: 136 at the same time instead of 2000; raise the " +
      "limit to 2128 (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a container), or lower --concurrency " +
      "(CHECK_CONCURRENCY)",
  );
});

it("fitConcurrency keeps files for further threads, and says so", () => {
  expect(fitConcurrency(2000, 2064, 1).concurrency).toBe(2000);
  const { concurrency, warning } = fitConcurrency(2000, 2064, 9);
  expect(concurrency).toBe(1936);
  expect(warning).toContain("raise the limit to 2192");
  expect(openableFor(50, 9)).toBe(178);
});

it("openableFor stops at what is asked for, and leaves nothing open", () => {
  expect([openableFor(50), openableFor(50)]).toEqual([114, 114]);
});

const FEW = 100;
const limited = (command: readonly string[]) => ["sh", "-c", `ulimit -n ${FEW}; exec "$0" "$@"`, ...command];

describe.each(COMMANDS.filter(({ missing }) => missing === null))("under $runtime", ({ runtime, command }) => {
  it("producer checks fewer hosts at the same time where it may open few files, and says so", async () => {
    await using site = await openSite((socket, { path }) => {
      socket.end(answer(path === "/" ? "404 Not Found" : "200 OK"));
    });
    const hosts = join(folder, `${runtime}.txt`);
    writeFileSync(hosts, Array.from({ length: 300 }, (_, n) => `http://127.0.0.1:${site.port}/${n} 5\n`).join(""));
    const { code, stdout, stderr } = await run(
      runtime.toLowerCase() as Runtime,
      "producer",
      ["--once", "--stdout", "--concurrency", "300", hosts],
      { shell: `ulimit -n ${FEW}` },
    );
    expect(code).toBe(0);
    const metrics = stdout.trim().split("\n").map((line) => JSON.parse(line) as Metric);
    expect(metrics.length).toBe(300);
    expect(metrics.filter(({ status_code }) => status_code !== 200)).toEqual([]);
    expect(stderr).toMatch(
      /WARN {2}this program may open \d\d more files, and each check under way is one: \d\d at the same time instead of 300; raise the limit to 428 /,
    );
  });

  it("check is a missed one where no socket can be had, to connect or to ask for a name, and is made again when it can", async () => {
    await using site = await openSite((socket) => socket.end(answer("200 OK")));
    await using names = await openNameServer(() => ({ addresses: ["127.0.0.1"] }));
    using files = namesFolder({});
    const order: ResourceOrder = {
      names: { ...files.paths, port: names.port },
      lines: ["127.0.0.1", "a.test", "localhost"].map((host) => `http://${host}:${site.port}/ 5`),
    };
    const metrics = await runScript<Metric>(limited(command), "exhausted_resource_runner.ts", order);
    const missed = {
      error: "missed",
      error_detail: "this program has as many files open as it may: raise ulimit -n, or lower --concurrency",
      status_code: null,
      latency: 0,
      is_valid: false,
      latency_dns: null,
      latency_connect: null,
      latency_tls: null,
      latency_first_byte: null,
      latency_body: null,
    };
    const made = { error: null, status_code: 200, is_valid: true };
    expect(metrics).toMatchObject([missed, missed, missed, made, made, made]);
  });
});

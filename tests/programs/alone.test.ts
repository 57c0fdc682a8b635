import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, vi } from "vitest";
import type { Metric } from "../../lib/metric.ts";
import { newEmbedded } from "../support/embedded.ts";
import { inTurn } from "../support/turns.ts";
import { openUnresponsivePort } from "../support/unresponsive_port.ts";
import { type Ended, run, type Runtime, RUNTIMES, start, type StartOptions } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite, refusedPort, type Site } from "../support/site.ts";

// The programs as a user starts them, without Kafka and without a database server.

// Each start with an embedded database takes seconds of a core.
vi.setConfig({ testTimeout: 120_000 });

const folder = mkdtempSync(join(tmpdir(), "test-programs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = () => join(folder, String(++files));

function writeHosts(...lines: string[]): string {
  const path = `${newPath()}.txt`;
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
  return path;
}

/** A site with a good page, a bad one, and one that never answers. */
function openPages(): Promise<Site> {
  return openSite((socket, { path }) => {
    if (path.split("?")[0] === "/fine") socket.end(answer("200 OK", {}, "All systems normal"));
    if (path === "/broken") socket.end(answer("500 Internal Server Error"));
  });
}

const parse = <T>(lines: string): T[] =>
  lines.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
const metric = (n: number) => `{"address": "a${n}", "status_code": 200, "latency": 0.1, "is_valid": true}\n`;

const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

describe.each(runtimes)("under %s", (runtime: Runtime) => {
  const it = inTurn(runtimes, runtime);
  const ask = async (data: string, sql: string): Promise<unknown[]> => {
    const { code, stdout, stderr } = await run(runtime, "consumer", ["--embedded", data, "--query", sql]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return parse(stdout);
  };

  it.each(["1", "3"])(
    "producer --once --stdout checks every host once, in %s threads, one metric a line",
    async (threads) => {
      await using site = await openPages();
      const dead = `http://127.0.0.1:${await refusedPort()}`;
      const page = (path: string) => `http://127.0.0.1:${site.port}${path}`;
      const hosts = writeHosts(`${page("/fine")} 5 (systems? normal)`, `${page("/broken")} 30s`, `${dead} "@daily"`);
      const { code, stdout } = await run(runtime, "producer", [
        ...["--once", "--stdout", "--threads", threads, "--location", "Büro"],
        hosts,
      ]);
      expect(code).toBe(0);
      const seen = parse<Metric>(stdout).map(({ address, status_code, is_valid, error, location }) => {
        return { address, status_code, is_valid, error, location };
      });
      expect(new Set(seen)).toEqual(
        new Set([
          { address: page("/fine"), status_code: 200, is_valid: true, error: null, location: "Büro" },
          { address: page("/broken"), status_code: 500, is_valid: true, error: null, location: "Büro" },
          { address: dead, status_code: null, is_valid: false, error: "connect", location: "Büro" },
        ]),
      );
      expect(site.requests.length).toBe(2);
    },
  );

  it("producer matches a large page, and shows a password to its site alone", async () => {
    await using site = await openSite((socket) => socket.end(answer("200 OK", {}, `${"x".repeat(1_000_000)}END`)));
    const hosts = writeHosts(`http://me:hidden@localhost:${site.port}/large 5 xEND$`);
    const { code, stdout, stderr } = await run(runtime, "producer", [
      "--once",
      "--stdout",
      "--log-level",
      "DEBUG",
      hosts,
    ]);
    expect(code).toBe(0);
    expect(parse<Metric>(stdout)).toMatchObject([{ status_code: 200, is_valid: true, error: null }]);
    const basic = Buffer.from("me:hidden").toString("base64");
    expect(site.requests.map(({ headers }) => headers["authorization"])).toEqual([`Basic ${basic}`]);
    expect(`${stdout}${stderr}`).not.toMatch(new RegExp(`hidden|${basic}`));
  });

  it("producer warns of a REGEX that means another thing than it says, with --check and at the start", async () => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/fine 5m "normal"`, "b.example 1d costs $12");
    const warnings = [/WARN {2}\S+:1:\d+: the quotes are part of the REGEX/, /WARN {2}\S+:2:14: \$ is the page's end/];
    const check = await run(runtime, "producer", ["--check", hosts]);
    expect(check.code).toBe(0);
    for (const warning of warnings) expect(check.stderr).toMatch(warning);
    await using producer = start(runtime, "producer", ["--stdout", hosts]);
    for (const warning of warnings) await producer.says(warning);
    writeFileSync(hosts, `http://127.0.0.1:${site.port}/fine 5m 2^10\n`);
    await producer.says(/WARN {2}\S+:1:\d+: \^ is the page's beginning/);
    producer.kill("SIGTERM");
    expect((await producer.ended).code).toBe(0);
  });

  it("a program's log is lines for a person on a terminal or where FORCE_COLOR is set, else JSON with its fields", async () => {
    let isWell = false;
    await using site = await openSite((socket) => {
      socket.end(answer(isWell ? "200 OK" : "500 Internal Server Error", {}, "All systems normal"));
    });
    const address = `http://127.0.0.1:${site.port}/page`;
    const hosts = writeHosts(`${address} 1s`);
    const begin = (env: Record<string, string>, options: StartOptions = {}) =>
      start(runtime, "producer", ["--stdout", hosts], { env, ...options });
    const red = `\x1b[33mWARN \x1b[39m producer: \x1b[31m${address} is down: status 500\x1b[39m`;
    const plain = `WARN  producer: ${address} is down: status 500`;
    await using json = begin({}, { shell: "exec 2>&1" });
    await using terminal = begin({ TERM: "xterm" }, { terminal: true });
    await using colourless = begin({ TERM: "xterm", NO_COLOR: "1" }, { terminal: true });
    await using dumb = begin({ TERM: "dumb" }, { terminal: true });
    await using forced = begin({ FORCE_COLOR: "1" }, { shell: "exec 2>&1" });
    const programs = [json, terminal, colourless, dumb, forced];
    await Promise.all(programs.map((program) => program.prints(/is down/)));
    isWell = true;
    await Promise.all(programs.map((program) => program.prints(/is up again/)));
    for (const { stdout } of [terminal, forced]) expect(stdout).toContain(red);
    for (const { stdout } of [colourless, dumb]) {
      expect(stdout).toContain(plain);
      expect(stdout).not.toContain("\x1b");
    }
    const entries = json.stdout.split("\n").filter((line) => line.startsWith('{"time"')).map((line) =>
      JSON.parse(line)
    );
    expect(entries.map(({ program }) => program)).toEqual(entries.map(() => "producer"));
    const told = { level: "WARN", address, reason: "status 500" };
    expect(entries.filter((entry) => "address" in entry)).toMatchObject([
      { ...told, state: "down", message: `${address} is down: status 500` },
      { ...told, state: "up", message: expect.stringContaining("is up again, after ") },
    ]);
  });

  it("a program says one line for each signal", async () => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/silent 1s`);
    await using producer = start(runtime, "producer", ["--stdout", hosts]);
    await expect.poll(() => site.requests.length, { timeout: 30_000 }).toBeGreaterThan(0);
    producer.kill("SIGTERM");
    await producer.says("SIGTERM: finishing what is under way");
    // The second signal is of another kind: the same one could be an echo of the first.
    producer.kill("SIGINT");
    const { code, stderr } = await producer.ended;
    expect(code).toBe(1);
    expect(stderr.match(/SIG.*/g)).toEqual([
      "SIGTERM: finishing what is under way (once more to leave at once)",
      "SIGINT: leaving at once",
    ]);
  });

  it("producer has every host that answers checked before the first that never does has its verdict", async () => {
    await using site = await openPages();
    using port = await openUnresponsivePort("127.0.0.1");
    // All hosts come within a second. Those that never answer come first, and there are 8 slots.
    const dead = Array.from({ length: 14 }, (_, n) => {
      return n % 2 === 0
        ? `http://127.0.0.1:${site.port}/silent/${n} 1d`
        : `http://127.0.0.1:${port.port}/silent/${n} 1d`;
    });
    const live = Array.from({ length: 12 }, (_, n) => `http://127.0.0.1:${site.port}/fine?${n} 1d normal`);
    const hosts = writeHosts(...dead, ...live);
    await using producer = start(runtime, "producer", ["--stdout", "--concurrency", "8", "--timeout", "12", hosts]);
    await producer.prints(/"timeout".*\n/);
    const seen = producer.stdout.split("\n").slice(0, 13).map((line) => (JSON.parse(line) as Metric).error);
    expect(seen).toEqual([...Array<null>(12).fill(null), "timeout"]);
    // A check that gave way is made once more, and then runs to its end.
    const asked = site.requests.map(({ path }) => path).filter((path) => path.startsWith("/silent"));
    expect(asked.length).toBeLessThanOrEqual(2 * new Set(asked).size);
  }, 60_000);

  it("producer --block-private-addresses connects to none of its own network", async () => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/fine 5`, `http://localhost:${site.port}/fine 5`);
    const { code, stdout } = await run(runtime, "producer", ["--once", "--stdout", "--block-private-addresses", hosts]);
    expect(code).toBe(0);
    const details = parse<Metric>(stdout).map(({ error, error_detail }) => `${error}: ${error_detail}`);
    expect(details).toEqual(
      Array(2).fill(expect.stringMatching(
        /^connect: (127\.0\.0\.1|::1) is a private address, and --block-private-addresses is on$/,
      )),
    );
    expect(site.accepted).toBe(0);
  });

  it("producer | consumer is the whole job, run after run", async () => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/fine 1s (normal)`);
    const data = newPath();
    const lines: string[] = [];
    for (let i = 0; i < 2; i++) {
      await using producer = start(runtime, "producer", ["--stdout", hosts]);
      await producer.prints(/\n.*\n/s);
      producer.kill("SIGTERM");
      const { code, stdout } = await producer.ended;
      expect(code).toBe(0);
      lines.push(...stdout.trim().split("\n"));
      const stored = await run(runtime, "consumer", ["--stdin", "--embedded", data], { input: stdout });
      expect(stored.code).toBe(0);
    }
    const rows = await ask(
      data,
      "select check_id, scheduled_at, latency, is_valid from host_metrics order by checked_at",
    );
    const made = lines.map((line) => JSON.parse(line) as Metric);
    expect(rows).toEqual(made.map(({ check_id, scheduled_at, latency, is_valid }) => {
      return { check_id, scheduled_at, latency, is_valid };
    }));
    // A busy machine may miss a check.
    expect(site.requests.length).toBe(made.filter(({ error }) => error !== "missed").length);
    // Each run reads new input, so no mark is left.
    expect(await ask(data, "select * from host_metrics_offsets")).toEqual([]);
  });

  it("consumer --stdin keeps what is no metric among the rejected, with the number of its line", async () => {
    const data = await newEmbedded(newPath());
    const input = `${metric(1)}\nnot JSON\n${metric(2)}`;
    const { code, stderr } = await run(runtime, "consumer", ["--stdin", "--embedded", data], { input });
    expect(code).toBe(0);
    expect(stderr).toContain("2 metrics stored or known already, 1 rejected");
    const sql = `select topic, "offset", convert_from(value, 'UTF8') as value, reason from host_metrics_rejected`;
    expect(await ask(data, sql)).toEqual([
      { topic: "stdin", offset: 3, value: "not JSON", reason: expect.stringContaining("the document is not JSON") },
    ]);
  });

  it("a query that fails says why and ends", async () => {
    const data = await newEmbedded(newPath());
    expect(await run(runtime, "consumer", ["--embedded", data, "--query", "select nothing"])).toMatchObject({
      code: 1,
      stderr: 'ERROR:  column "nothing" does not exist\nLINE 1: select nothing\n               ^\n',
    });
  });

  it("consumer refuses a folder that another one has open, until that one is gone, however it went", async () => {
    const data = await newEmbedded(newPath());
    await using first = start(runtime, "consumer", ["--stdin", "--embedded", data, "--log-level", "DEBUG"]);
    first.write(metric(1));
    await first.says("1 message stored");
    expect(await run(runtime, "consumer", ["--stdin", "--embedded", data])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${data} is in use by another program`),
    });
    first.kill("SIGKILL");
    await first.ended;
    expect(await ask(data, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("producer drains at SIGTERM: it finishes the check that runs, delivers it, and ends with 0", async () => {
    let finish = () => {};
    await using site = await openSite((socket) => void (finish = () => socket.end(answer("200 OK"))));
    const hosts = writeHosts(`http://127.0.0.1:${site.port} 1s`);
    await using producer = start(runtime, "producer", ["--stdout", hosts]);
    await expect.poll(() => site.requests.length, { timeout: 10_000 }).toBe(1);
    producer.kill("SIGTERM");
    await producer.says("SIGTERM: finishing what is under way");
    finish();
    const { code, stdout } = await producer.ended;
    expect(code).toBe(0);
    expect(parse<Metric>(stdout).map(({ status_code }) => status_code)).toEqual([200]);
    expect(site.requests.length).toBe(1);
  });

  it("producer tells of the due times that pass while a check still runs, and asks the host no second time", async () => {
    let finish = () => {};
    await using site = await openSite((socket) => void (finish = () => socket.end(answer("200 OK"))));
    const hosts = writeHosts(`http://127.0.0.1:${site.port} 1s`);
    await using producer = start(runtime, "producer", ["--stdout", hosts]);
    await producer.prints(/(.*"missed".*\n){2}/);
    expect(site.requests.length).toBe(1);
    producer.kill("SIGTERM");
    finish();
    const { code, stdout, stderr } = await producer.ended;
    expect(code).toBe(0);
    const metrics = parse<Metric>(stdout);
    const times = metrics.map(({ scheduled_at }) => Date.parse(scheduled_at ?? "")).sort((a, b) => a - b);
    expect(times.map((time) => time - (times[0] ?? NaN))).toEqual(times.map((_, index) => index * 1000));
    const missed = metrics.filter(({ error }) => error === "missed");
    expect(missed.map(({ status_code, latency, is_valid }) => ({ status_code, latency, is_valid })))
      .toEqual(missed.map(() => ({ status_code: null, latency: 0, is_valid: false })));
    expect(stderr).toContain(`1 check made, ${missed.length} missed, ${metrics.length} metrics delivered`);
  });

  // These at the same time: they wait for limits of several seconds.
  it.concurrent("producer gives a check up that does not end in time after SIGTERM, and still ends with 0", async ({ expect }) => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/never 1s`);
    await using producer = start(runtime, "producer", ["--stdout", "--timeout", "60", hosts]);
    await expect.poll(() => site.requests.length, { timeout: 10_000 }).toBe(1);
    producer.kill("SIGTERM");
    expect(await producer.ended).toMatchObject({ code: 0, stdout: "" });
  });

  it.concurrent("a second signal ends a program at once", async ({ expect }) => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/never 1s`);
    await using producer = start(runtime, "producer", ["--stdout", "--timeout", "60", hosts]);
    await expect.poll(() => site.requests.length, { timeout: 10_000 }).toBe(1);
    producer.kill("SIGINT");
    await producer.says("SIGINT: finishing what is under way");
    producer.kill("SIGTERM");
    expect(await producer.ended).toMatchObject({ code: 1 });
  });

  it.concurrent("so does the same signal, when it is no longer the copy that npm sends", async ({ expect }) => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/never 1s`);
    await using producer = start(runtime, "producer", ["--stdout", "--timeout", "60", hosts]);
    await expect.poll(() => site.requests.length, { timeout: 10_000 }).toBe(1);
    const again = setInterval(() => producer.kill("SIGINT"), 100);
    expect(await producer.ended).toMatchObject({ code: 1 });
    clearInterval(again);
    expect(producer.stderr).not.toContain("made");
  });

  it.concurrent.each([
    { part: "start", code: 1, last: "ERROR", says: "The start is not over 8 s after that: leaving" },
    { part: "closing", code: 0, last: "INFO", says: "finishing what is under way" },
  ])("a $part that hangs is left some seconds after the first signal", async ({ part, code, last, says }) => {
    const script = fileURLToPath(new URL("../support/hanging_program.ts", import.meta.url));
    const [command, ...args] = runtime === "deno" ? ["deno", "run", "-qA"] : ["node", "--experimental-strip-types"];
    const child = spawn(command as string, [...args, script, part], { stdio: ["ignore", "pipe", "pipe"] });
    let words = "";
    child.stderr.on("data", (more) => words += more);
    await once(child.stdout, "data");
    child.kill("SIGTERM");
    const [found] = await once(child, "close");
    expect(found, words).toBe(code);
    const line = words.trimEnd().split("\n").at(-1);
    expect(line).toContain(last);
    expect(line).toContain(says);
  });

  it("producer ends with one line when nobody reads its standard output any more", async () => {
    await using site = await openPages();
    const hosts = writeHosts(`http://127.0.0.1:${site.port}/fine 1s`);
    await using producer = start(runtime, "producer", ["--stdout", "--log-level", "WARN", hosts]);
    producer.closeOutput();
    const { code, stderr } = await producer.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^\S+ ERROR nobody reads the standard output any more \(\d+ checks? made, 0 metrics delivered\)\n$/,
    );
  });

  it("consumer --stdin reads on after SIGINT until its input ends, and stores all of it", async () => {
    const data = await newEmbedded(newPath());
    await using consumer = start(runtime, "consumer", ["--stdin", "--embedded", data, "--log-level", "DEBUG"]);
    consumer.write(metric(1));
    // A signal gives a start 8 s to end. A slow machine may take longer to make the database.
    await consumer.says("1 message stored");
    consumer.kill("SIGINT");
    await consumer.says("SIGINT: finishing what is under way");
    consumer.write(metric(2));
    consumer.endInput();
    expect((await consumer.ended).code).toBe(0);
    expect(await ask(data, "select address from host_metrics order by address")).toEqual([
      { address: "a1" },
      { address: "a2" },
    ]);
  });

  it.runIf(process.platform === "linux")(
    "consumer --stdin ends at once at a Ctrl-C where a person types the input",
    async () => {
      const data = await newEmbedded(newPath());
      const args = ["--stdin", "--embedded", data, "--log-level", "DEBUG"];
      await using consumer = start(runtime, "consumer", args, { terminal: true });
      // A terminal shows both outputs.
      await consumer.prints(/standard input →/);
      consumer.write(metric(1));
      await consumer.prints(/1 message stored/);
      const began = performance.now();
      consumer.write("\x03");
      expect((await consumer.ended).code).toBe(0);
      // With a pipe the consumer would read on for six seconds.
      expect(performance.now() - began).toBeLessThan(6000);
      expect(await ask(data, "select address from host_metrics")).toEqual([{ address: "a1" }]);
    },
  );

  it("consumer says at WARN what it has rejected, why, and where it is", async () => {
    const consumer = [
      "--stdin",
      "--embedded",
      await newEmbedded(newPath()),
      "--batch-interval",
      "60",
      "--log-level",
      "WARN",
    ];
    const input = `${metric(1)}no metric\nnone either\n${metric(2)}`;
    const { code, stderr } = await run(runtime, "consumer", consumer, { input });
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^\S+ WARN +2 messages rejected, the first because: the document is not JSON.*; see "public"."host_metrics_rejected"\n$/,
    );
  });

  it("consumer --stdin stores what it has read at SIGTERM, though its input goes on, and rejects what --db-keep lets go", async () => {
    const data = await newEmbedded(newPath());
    const limits = ["--batch-size", "2", "--batch-interval", "60", "--log-level", "DEBUG", "--db-keep", "3months"];
    await using consumer = start(runtime, "consumer", ["--stdin", "--embedded", data, ...limits]);
    const old = `{"checked_at": "2021-01-01T00:00:00Z", ${metric(3).slice(1)}`;
    consumer.write(metric(1) + old + metric(2));
    await consumer.says("2 messages stored");
    consumer.kill("SIGTERM");
    expect((await consumer.ended).code).toBe(0);
    const counts = "select (select count(*) from host_metrics) as rows, reason from host_metrics_rejected";
    const reason = expect.stringMatching(/^scheduled_at: 2021-01-01T00:00:00.000Z is too old: rows are kept from /);
    expect(await ask(data, counts)).toEqual([{ rows: 2, reason }]);
  });

  it("producer --check prints each host with its next three due times, and asks nobody", async () => {
    const hosts = writeHosts("a.example 5", 'b.example/x "0 12 * * *" (y)', 'c.example "*/10 8-18 * * 1-5"');
    const { code, stdout, stderr } = await run(runtime, "producer", ["--check", hosts], { env: { TZ: "UTC" } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [first = "", second = "", third = "", ...rest] = stdout.trim().split("\n");
    expect(rest).toEqual([]);
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
    expect(first).toMatch(new RegExp(`^a\\.example +5 +${time}  ${time}  ${time}$`));
    expect(second).toMatch(
      /^b\.example\/x +"0 12 \* \* \*" +\S+T12:00:00Z {2}\S+T12:00:00Z {2}\S+T12:00:00Z {2}\(y\)$/,
    );
    const column = (line: string) => line.search(new RegExp(time));
    expect([column(second), column(third)]).toEqual([column(first), column(first)]);
  });

  it("consumer --print-schema prints SQL that creates the tables", async () => {
    const { code, stdout } = await run(runtime, "consumer", ["--print-schema", "--db-table", "monitoring.metrics"]);
    expect(code).toBe(0);
    expect(stdout).toContain('create table if not exists "monitoring"."metrics" (');
    expect(stdout).toContain('-- grant select, insert, update on "monitoring"."metrics" to ROLE;');
  });

  const WRONG: readonly [string, "producer" | "consumer", string[], Partial<Ended>][] = [
    ["nothing", "producer", [], {
      code: 2,
      stderr: "HOSTS_FILE is missing: name the file that lists the hosts, or - for standard input\n" +
        "--kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS) is missing: write the brokers, such as localhost:9092\n" +
        "--kafka-topic (KAFKA_TOPIC) is missing: write the name of the topic\n",
    }],
    ["a hosts file that is not there", "producer", ["--stdout", "/nowhere/hosts.txt"], {
      code: 2,
      stderr: "/nowhere/hosts.txt: cannot be read (ENOENT): check the path and the rights of the file\n",
    }],
    ["settings and the hosts file at once", "producer", ["/nowhere/hosts.txt"], {
      code: 2,
      stderr:
        "--kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS) is missing: write the brokers, such as localhost:9092\n" +
        "--kafka-topic (KAFKA_TOPIC) is missing: write the name of the topic\n" +
        "/nowhere/hosts.txt: cannot be read (ENOENT): check the path and the rights of the file\n",
    }],
    ["a folder without a database to ask", "consumer", ["--embedded", "/nowhere/data", "--query", "select 1"], {
      code: 2,
      stderr:
        '--embedded is "/nowhere/data": no embedded database is kept there: check the path, or let a consumer with ' +
        "--embedded make one first\n",
    }],
    ["a file for a folder", "consumer", ["--stdin", "--embedded", "package.json"], {
      code: 2,
      stderr: expect.stringContaining(
        '--embedded is "package.json": that folder cannot be made or written (EEXIST): a file is in its place, or name ' +
          "another folder\n",
      ),
    }],
    ["a file for a folder", "producer", [
      ...["--kafka-topic", "t", "--kafka-bootstrap-servers", "127.0.0.1:1", "--spool", "package.json"],
      "hosts.txt.example",
    ], {
      code: 2,
      stderr: expect.stringContaining(
        '--spool (CHECK_SPOOL) is "package.json": that folder cannot be made or written (EEXIST): a file is in its place, ' +
          "or name another folder\n",
      ),
    }],
  ];
  it.each(WRONG)("a program that is given %s says so and ends", async (_, program, args, expected) => {
    expect(await run(runtime, program, args)).toMatchObject(expected);
  });

  it("producer reads the hosts from standard input, reports every bad line with its place, and starts nothing", async () => {
    const input = "a.example 5\nb.example often\nhttps:/c.example 5\n";
    expect(await run(runtime, "producer", ["--stdout", "-"], { input })).toEqual({
      code: 2,
      signal: null,
      stdout: "",
      stderr:
        `standard input:2:11: "often" is no FREQUENCY: write minutes (5, 0.5), a number with a unit (30s, 5m, 2h, 1d) ` +
        `or a cron expression in double quotes ("*/5 * * * *")\n` +
        `standard input:3:1: https:/c.example lacks // after "https:": write https://c.example\n`,
    });
  });
});

describe.runIf(denoMissing === null)("deno run without permissions", () => {
  it("names what is missing in one line where nobody can be asked", async () => {
    const { code, stderr } = await run("deno", "producer", ["x"], { plain: true });
    expect(code).toBe(2);
    expect(stderr).toBe(
      'Deno does not allow env access to "KAFKA_BOOTSTRAP_SERVERS": start it as deno run -P=producer producer.ts …\n',
    );
  });
});

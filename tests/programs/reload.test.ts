import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect } from "vitest";
import type { Metric } from "../../lib/metric.ts";
import { type Running, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite } from "../support/site.ts";
import { inTurn } from "../support/turns.ts";

// A hosts file that changes while the producer runs. The tests change it in all the usual ways.

const folder = mkdtempSync(join(tmpdir(), "test-reload-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;

/** A place for a hosts file, and a way to change the file there. */
interface Way {
  readonly name: string;
  /** Puts the first content there. Gives the path for the producer. */
  begin(folder: string, content: string): string;
  change(folder: string, content: string, producer: Running): void;
}

const inPlace = (folder: string, content: string) => {
  writeFileSync(join(folder, "hosts.txt"), content);
  return join(folder, "hosts.txt");
};

/**
 * As Kubernetes mounts a ConfigMap: hosts.txt → ..data/hosts.txt, ..data → a folder with a new name
 * each time.
 */
const configMap = (folder: string, content: string) => {
  const version = `..version-${++folders}`;
  mkdirSync(join(folder, version));
  writeFileSync(join(folder, version, "hosts.txt"), content);
  symlinkSync(version, join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
};

const WAYS: readonly Way[] = [
  { name: "written in place", begin: inPlace, change: inPlace },
  {
    name: "replaced by a file of its name, as editors do",
    begin: inPlace,
    change: (folder, content) => {
      writeFileSync(join(folder, ".hosts.txt.new"), content);
      renameSync(join(folder, ".hosts.txt.new"), join(folder, "hosts.txt"));
    },
  },
  {
    name: "gone for a moment",
    begin: inPlace,
    change: (folder, content) => {
      renameSync(join(folder, "hosts.txt"), join(folder, "hosts.txt~"));
      inPlace(folder, content);
    },
  },
  {
    name: "behind a symbolic link that is changed, as in a Kubernetes ConfigMap",
    begin: (folder, content) => {
      configMap(folder, content);
      symlinkSync("..data/hosts.txt", join(folder, "hosts.txt"));
      return join(folder, "hosts.txt");
    },
    change: configMap,
  },
  {
    name: "changed, and a SIGHUP",
    begin: inPlace,
    change: (folder, content, producer) => {
      inPlace(folder, content);
      producer.kill("SIGHUP");
    },
  },
];

const newFolder = () => {
  const path = join(folder, String(++folders));
  mkdirSync(path);
  return path;
};
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
const openPages = () => openSite((socket) => socket.end(answer("200 OK")));
const metricsOf = (stdout: string) => stdout.trim().split("\n").map((line) => JSON.parse(line) as Metric);
const dueTimesOf = (stdout: string, page: string) =>
  metricsOf(stdout).filter(({ address }) => address.endsWith(page))
    .map(({ scheduled_at }) => Date.parse(scheduled_at ?? "")).sort((a, b) => a - b);

describe.each(runtimes)("producer under %s", (runtime: Runtime) => {
  const it = inTurn(runtimes, runtime);
  it.each(WAYS)("takes over a hosts file that is $name, and disturbs no host whose line is the same", async (way) => {
    await using site = await openPages();
    const line = (page: string, frequency = "1s") => `http://127.0.0.1:${site.port}/${page} ${frequency}\n`;
    const folder = newFolder();
    const path = way.begin(folder, line("same") + line("gone") + line("other", "1d"));
    await using producer = start(runtime, "producer", ["--stdout", "--threads", "3", path]);
    await producer.prints(/\/gone"/);
    await producer.prints(/\/same"/);
    way.change(folder, `# remark\n${line("new", "1d")}${line("same")}${line("other", "2d")}`, producer);
    await producer.says(`${path}: read again, 3 hosts: 1 added, 1 removed, 1 changed\n`);
    const goneAt = Date.now();
    await producer.prints(/\/new"/);
    await producer.prints(/\/other"[^]*\/other"/);
    const before = dueTimesOf(producer.stdout, "/same").length;
    await expect.poll(() => dueTimesOf(producer.stdout, "/same").length, { timeout: 20_000 }).toBe(before + 2);
    producer.kill("SIGTERM");
    const { code, stdout, stderr } = await producer.ended;
    expect(code).toBe(0);
    expect(stderr.match(/ (?:WARN|ERROR) /)).toBe(null);
    expect(Math.max(...dueTimesOf(stdout, "/gone"))).toBeLessThanOrEqual(goneAt);
    const times = dueTimesOf(stdout, "/same");
    expect(times).toEqual(times.map((_, index) => (times[0] ?? NaN) + index * 1000));
  });

  it("keeps the hosts it has where the new file is wrong, says all that is, and takes it over once it is mended", async () => {
    await using site = await openPages();
    const line = (page: string) => `http://127.0.0.1:${site.port}/${page} 1s\n`;
    const folder = newFolder();
    const path = inPlace(folder, line("a"));
    await using producer = start(runtime, "producer", ["--stdout", path]);
    await producer.prints(/\/a"/);
    inPlace(folder, `b.example often\n${line("b")}${line("b")}`);
    await producer.says(`WARN  ${path}: not taken over, the hosts stay as they were\n`);
    expect(producer.stderr).toContain(`ERROR ${path}:1:11: "often" is no FREQUENCY: write minutes`);
    expect(producer.stderr).toContain(`ERROR ${path}:3:1: http://127.0.0.1:${site.port}/b is on line 2 already`);
    rmSync(path);
    await producer.says(`ERROR ${path}: cannot be read (ENOENT): check the path and the rights of the file\n`);
    const before = dueTimesOf(producer.stdout, "/a").length;
    await expect.poll(() => dueTimesOf(producer.stdout, "/a").length, { timeout: 20_000 }).toBeGreaterThan(before);
    expect(site.requests.filter(({ path }) => path === "/b")).toEqual([]);
    inPlace(folder, line("a") + line("b"));
    await producer.says(`${path}: read again, 2 hosts: 1 added, 0 removed, 0 changed\n`);
    await producer.prints(/\/b"/);
    // Each message came once.
    expect(producer.stderr.match(/ENOENT/g)).toHaveLength(1);
    expect(producer.stderr.match(/not taken over/g)).toHaveLength(2);
  });

  it("reads an unchanged file again at every SIGHUP, and says that nothing changed", async () => {
    await using site = await openPages();
    const path = inPlace(newFolder(), `http://127.0.0.1:${site.port}/ 1s\n`);
    await using producer = start(runtime, "producer", ["--stdout", path]);
    await producer.prints(/\n/);
    for (let times = 1; times <= 2; times++) {
      producer.kill("SIGHUP");
      await producer.says(new RegExp(`(?:read again, 1 host: 0 added, 0 removed, 0 changed\\n[^]*){${times}}`));
    }
    producer.kill("SIGTERM");
    expect((await producer.ended).code).toBe(0);
  });
});

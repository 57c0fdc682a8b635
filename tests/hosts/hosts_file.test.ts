import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { Bell } from "../../lib/async/bell.ts";
import { type Host, isSameHost } from "../../lib/hosts/hosts.ts";
import { type HostsContent, type HostsReading, readHosts, rereadHosts } from "../../lib/hosts/hosts_file.ts";

// reload.test.ts changes a file under a running program.

const folder = mkdtempSync(join(tmpdir(), "test-hosts-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const hostsFile = join(folder, "hosts.txt");
const settings = { hostsFile, timeZone: "UTC", shard: { index: 1, count: 1 } };

it("rereadHosts notices a change between the first reading and its own first look", async () => {
  writeFileSync(hostsFile, "a.example 5\n");
  const { hosts, sources } = await readHosts(settings);
  expect(hosts.map(({ address }) => address)).toEqual(["a.example"]);
  writeFileSync(hostsFile, "b.example 5\n");
  const stop = new AbortController();
  const readings = rereadHosts(settings, sources, new Bell(), stop.signal);
  expect((await readings.next()).value).toMatchObject({ hosts: [{ address: "b.example" }] });
  const end = readings.next();
  stop.abort();
  expect(await end).toEqual({ done: true, value: undefined });
});

it("rereadHosts gives the hosts of its own shard", async () => {
  writeFileSync(hostsFile, Array.from({ length: 100 }, (_, index) => `host${index}.example 5\n`).join(""));
  const shard = { ...settings, shard: { index: 2, count: 3 } };
  const { hosts, digest, sources } = await readHosts(shard);
  const asked = new Bell();
  asked.ring();
  const readings = rereadHosts(shard, sources, asked, new AbortController().signal);
  expect((await readings.next()).value).toEqual({ hosts, warnings: [], digest, sources });
  await readings.return();
});

it("rereadHosts does not read half of a file: it waits until the file stays as it is", async () => {
  writeFileSync(hostsFile, "a.example 5\n");
  const { sources } = await readHosts(settings);
  const lines = Array.from({ length: 200 }, (_, index) => `host${index}.example 5\n`);
  const written = lines.slice(0, 1);
  const writer = setInterval(() => {
    writeFileSync(hostsFile, written.join(""));
    const next = lines[written.length];
    if (next === undefined) clearInterval(writer);
    else written.push(next);
  }, 10);
  const readings = rereadHosts(settings, sources, new Bell(), new AbortController().signal);
  expect(((await readings.next()).value as HostsContent).hosts).toHaveLength(200);
  await readings.return();
});

it("rereadHosts takes a changed file for a change of the lines that refer to it, which is not in the digest", async () => {
  const token = join(folder, "token");
  writeFileSync(token, "one\n");
  writeFileSync(hostsFile, "a.example 5\n| header X-Token: ${file:token}\nb.example 5\n");
  const { hosts, digest, sources } = await readHosts(settings);
  expect(hosts[0]?.options?.headers[0]?.value).toBe("one");
  const readings = rereadHosts(settings, sources, new Bell(), new AbortController().signal);
  writeFileSync(token, "two\n");
  const reading = (await readings.next()).value as HostsReading;
  expect(reading.hosts[0]?.options?.headers[0]?.value).toBe("two");
  expect(reading.hosts.map((host, index) => isSameHost(host, hosts[index] as Host))).toEqual([false, true]);
  // Members of a group tell it each other.
  expect(reading.digest).toBe(digest);
  rmSync(token);
  const problem = `${hostsFile}:2:10: token: cannot be read (ENOENT): check the path and the rights of the file`;
  expect((await readings.next()).value).toMatchObject({ problems: [problem] });
  writeFileSync(token, "three\n");
  expect((await readings.next()).value).toMatchObject({ hosts: [{ options: { headers: [{ value: "three" }] } }, {}] });
  await readings.return();
});

it.each([
  ["a folder", "sub", "sub: is no file: name one"],
  ["a device", "/dev/zero", "/dev/zero: is no file: name one"],
  ["a file that is too large", "large", "large: has 1048577 bytes, and 1048576 are the most"],
])("readHosts refuses %s where an option refers to it", async (_, path, message) => {
  mkdirSync(join(folder, "sub"), { recursive: true });
  writeFileSync(join(folder, "large"), "x".repeat(1_048_577));
  writeFileSync(hostsFile, `a.example 5\n| header X: \${file:${path}}\n`);
  await expect(readHosts(settings)).rejects.toMatchObject({ problems: [`${hostsFile}:2:10: ${message}`] });
});

it.each(["-", "/dev/null"])("rereadHosts ends at once for %s, which gives nothing twice", async (hostsFile) => {
  const readings = rereadHosts(
    { ...settings, hostsFile },
    { paths: [hostsFile], digest: "" },
    new Bell(),
    new AbortController().signal,
  );
  expect(await readings.next()).toEqual({ done: true, value: undefined });
});

it("Bell.wait tells a ring, also one from before, from the end of the time and from an abort", async () => {
  const bell = new Bell();
  const stop = new AbortController();
  bell.ring();
  expect(await bell.wait(100_000, stop.signal)).toBe(true);
  expect(await bell.wait(1, stop.signal)).toBe(false);
  const waiting = bell.wait(100_000, stop.signal);
  bell.ring();
  expect(await waiting).toBe(true);
  const last = bell.wait(100_000, stop.signal);
  stop.abort();
  expect(await last).toBe(false);
  expect(await bell.wait(100_000, stop.signal)).toBe(false);
});

it("readHosts and rereadHosts warn of passwords in a file that everybody may read, and of nothing else's mode", async () => {
  const asked = new Bell();
  const exposed = `${hostsFile} holds passwords, and every user of this machine may read it: chmod o-r ${hostsFile}`;
  writeFileSync(hostsFile, "https://me:hidden@a.example 5\n");
  chmodSync(hostsFile, 0o644);
  const { sources, warnings } = await readHosts(settings);
  expect(warnings).toEqual([exposed]);
  const readings = rereadHosts(settings, sources, asked, new AbortController().signal);
  asked.ring();
  expect((await readings.next()).value).toMatchObject({ warnings: [exposed] });
  await readings.return();
  chmodSync(hostsFile, 0o640);
  expect((await readHosts(settings)).warnings).toEqual([]);
  writeFileSync(hostsFile, "https://a.example 5\n| header Authorization: Bearer hidden\n");
  chmodSync(hostsFile, 0o644);
  expect((await readHosts(settings)).warnings).toEqual([exposed]);
  writeFileSync(join(folder, "token"), "hidden\n");
  writeFileSync(hostsFile, "https://a.example 5\n| header Accept: a/b\n| header Authorization: ${file:token}\n");
  expect((await readHosts(settings)).warnings).toEqual([]);
  writeFileSync(hostsFile, "https://a.example 5\n");
  chmodSync(hostsFile, 0o644);
  expect((await readHosts(settings)).warnings).toEqual([]);
});

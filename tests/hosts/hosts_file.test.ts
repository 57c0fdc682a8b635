import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { Bell } from "../../lib/async/bell.ts";
import { type HostsContent, readHosts, rereadHosts } from "../../lib/hosts/hosts_file.ts";

// reload.test.ts changes a file under a running program.

const folder = mkdtempSync(join(tmpdir(), "test-hosts-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const hostsFile = join(folder, "hosts.txt");
const settings = { hostsFile, timeZone: "UTC", shard: { index: 1, count: 1 } };

it("rereadHosts notices a change between the first reading and its own first look", async () => {
  writeFileSync(hostsFile, "a.example 5\n");
  const { hosts, digest } = await readHosts(settings);
  expect(hosts.map(({ address }) => address)).toEqual(["a.example"]);
  writeFileSync(hostsFile, "b.example 5\n");
  const stop = new AbortController();
  const readings = rereadHosts(settings, digest, new Bell(), stop.signal);
  expect((await readings.next()).value).toMatchObject({ hosts: [{ address: "b.example" }] });
  const end = readings.next();
  stop.abort();
  expect(await end).toEqual({ done: true, value: undefined });
});

it("rereadHosts gives the hosts of its own shard", async () => {
  writeFileSync(hostsFile, Array.from({ length: 100 }, (_, index) => `host${index}.example 5\n`).join(""));
  const shard = { ...settings, shard: { index: 2, count: 3 } };
  const { hosts, digest } = await readHosts(shard);
  const asked = new Bell();
  asked.ring();
  const readings = rereadHosts(shard, digest, asked, new AbortController().signal);
  expect((await readings.next()).value).toEqual({ hosts, warnings: [], digest });
  await readings.return();
});

it("rereadHosts does not read half of a file: it waits until the file stays as it is", async () => {
  writeFileSync(hostsFile, "a.example 5\n");
  const { digest } = await readHosts(settings);
  const lines = Array.from({ length: 200 }, (_, index) => `host${index}.example 5\n`);
  const written = lines.slice(0, 1);
  const writer = setInterval(() => {
    writeFileSync(hostsFile, written.join(""));
    const next = lines[written.length];
    if (next === undefined) clearInterval(writer);
    else written.push(next);
  }, 10);
  const readings = rereadHosts(settings, digest, new Bell(), new AbortController().signal);
  expect(((await readings.next()).value as HostsContent).hosts).toHaveLength(200);
  await readings.return();
});

it.each(["-", "/dev/null"])("rereadHosts ends at once for %s, which gives nothing twice", async (hostsFile) => {
  const readings = rereadHosts({ ...settings, hostsFile }, "", new Bell(), new AbortController().signal);
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
  const { digest, warnings } = await readHosts(settings);
  expect(warnings).toEqual([exposed]);
  const readings = rereadHosts(settings, digest, asked, new AbortController().signal);
  asked.ring();
  expect((await readings.next()).value).toMatchObject({ warnings: [exposed] });
  await readings.return();
  chmodSync(hostsFile, 0o640);
  expect((await readHosts(settings)).warnings).toEqual([]);
  writeFileSync(hostsFile, "https://a.example 5\n");
  chmodSync(hostsFile, 0o644);
  expect((await readHosts(settings)).warnings).toEqual([]);
});

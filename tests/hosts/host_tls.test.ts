import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { dueTimes } from "../../lib/hosts/due_times.ts";
import { readHosts } from "../../lib/hosts/hosts_file.ts";
import { Certificates } from "../support/certificates.ts";
import { writeTlsFiles, WRONG_TLS } from "../support/wrong_options.ts";

const certificates = new Certificates();
const folder = mkdtempSync(join(tmpdir(), "test-tls-options-"));
afterAll(() => {
  certificates[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
const hostsFile = join(folder, "hosts.txt");
const settings = { hostsFile, timeZone: "UTC", shard: { index: 1, count: 1 } };
const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
writeTlsFiles(folder, certificates);

/** The problems of a file with these lines, without the file's name in front. */
const problemsOf = async (...lines: string[]): Promise<readonly string[]> => {
  write("hosts.txt", lines.join("\n"));
  return await readHosts(settings).then(
    () => [],
    ({ problems }: { problems: readonly string[] }) => problems.map((text) => text.replace(`${hostsFile}:`, "")),
  );
};

it("readHosts reads the certificates and keys of a host, from the hosts file's own folder", async () => {
  expect(
    await problemsOf(
      "a.example 5",
      "| tls-ca ca.pem",
      "| tls-cert client.pem",
      "| tls-key client.key",
      "| tls-name B.example",
    ),
  ).toEqual([]);
  const { hosts } = await readHosts(settings);
  const tls = hosts[0]?.options?.tls;
  expect(tls).toMatchObject({ name: "b.example", isVerified: true });
  expect(tls?.ca).toContain("BEGIN CERTIFICATE");
  expect(tls?.key).toContain("BEGIN PRIVATE KEY");
  const printed = [...dueTimes(hosts, 0)].join("");
  expect(printed.split("\n").slice(1)).toEqual(
    ["  | tls-ca ca.pem", "  | tls-cert client.pem", "  | tls-key client.key", "  | tls-name b.example", ""],
  );
});

it("readHosts lets a host replace a part of what all hosts have", async () => {
  expect(
    await problemsOf(
      ...["| tls-ca ca.pem", "| tls-key client.key", "| tls-cert client.pem"],
      ...["a.example 5", "b.example 5", "| tls-verify off", "c.example 5", "| tls-key other.key"],
    ),
  ).toEqual([
    "8:11: other.key: the key does not fit the certificate in client.pem: take the two that were made together",
  ]);
});

it.each(Object.entries(WRONG_TLS))("readHosts reports %s", async (_, [lines, ...problems]) => {
  expect(await problemsOf("a.example 5", ...lines)).toEqual(
    problems.map(([option, column, message]) => expect.stringContaining(`${option + 1}:${column}: ${message}`)),
  );
});

it("readHosts warns of a client's certificate that has expired: it keeps no other host from being checked", async () => {
  expect(await problemsOf("a.example 5", "| tls-cert expired.pem", "| tls-key client.key", "b.example 5")).toEqual([]);
  expect((await readHosts(settings)).warnings).toEqual([
    expect.stringMatching(/hosts\.txt:2:12: expired\.pem: the certificate expired on [^:]+:[^:]+: get a new one$/),
  ]);
});

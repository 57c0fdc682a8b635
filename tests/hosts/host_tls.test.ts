import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { dueTimes } from "../../lib/hosts/due_times.ts";
import { readHosts } from "../../lib/hosts/hosts_file.ts";
import { Certificates } from "../support/certificates.ts";

const certificates = new Certificates();
const folder = mkdtempSync(join(tmpdir(), "test-tls-options-"));
afterAll(() => {
  certificates[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
const hostsFile = join(folder, "hosts.txt");
const settings = { hostsFile, timeZone: "UTC", shard: { index: 1, count: 1 } };
const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
write("ca.pem", certificates.authority);
write("client.pem", certificates.good.cert);
write("client.key", certificates.good.key);
write("other.key", certificates.rsa.key);
write("expired.pem", certificates.expired.cert);
write("text", "no certificate\n");

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

it.each<[what: string, lines: readonly string[], problems: readonly string[]]>([
  ["a file that is missing", ["| tls-ca none.pem"], [
    "2:10: none.pem: cannot be read (ENOENT): check the path and the rights of the file",
  ]],
  ["a file without a certificate", ["| tls-ca text"], [
    '2:10: text: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----"',
  ]],
  ["a key that does not fit", ["| tls-cert client.pem", "| tls-key other.key"], [
    "3:11: other.key: the key does not fit the certificate in client.pem: take the two that were made together",
  ]],
  ["a certificate without its key", ["| tls-cert client.pem"], [
    "2:12: | tls-cert and | tls-key go together: write both, which may name the same file",
  ]],
  ["a key without its certificate", ["| tls-key client.key"], [
    "2:11: | tls-cert and | tls-key go together: write both, which may name the same file",
  ]],
  ["an authority that is not used", ["| tls-ca ca.pem", "| tls-verify off"], [
    "2:10: | tls-verify off takes any certificate: leave | tls-ca out, or write | tls-verify on",
  ]],
  ["neither on nor off", ["| tls-verify no"], ['2:14: "no" is neither on nor off: write off to take any certificate']],
  ["an address for a name", ["| tls-name 127.0.0.1"], [
    '2:12: "127.0.0.1" is no name of a host: write one such as www.example.com',
  ]],
  ["a URL for a name", ["| tls-name https://b.example"], [
    '2:12: "https://b.example" is no name of a host: write one such as www.example.com',
  ]],
])("readHosts reports %s", async (_, lines, problems) => {
  expect(await problemsOf("a.example 5", ...lines)).toEqual(problems);
});

it("readHosts warns of a client's certificate that has expired: it keeps no other host from being checked", async () => {
  expect(await problemsOf("a.example 5", "| tls-cert expired.pem", "| tls-key client.key", "b.example 5")).toEqual([]);
  expect((await readHosts(settings)).warnings).toEqual([
    expect.stringMatching(/hosts\.txt:2:12: expired\.pem: the certificate expired on [^:]+:[^:]+: get a new one$/),
  ]);
});

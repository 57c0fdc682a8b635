// Reads the hosts files from standard input, each a JSON string on a line. Prints the outcome of
// each. The tests run this under each runtime.
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { printableJson } from "../../lib/config/terminal.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";

for await (const line of createInterface({ input: stdin })) {
  const { hosts, problems, warnings } = parseHosts(JSON.parse(line) as string, "hosts.txt", "Europe/Berlin");
  const read = hosts.map(({ line, address, url, authorization, frequency, pattern }) => {
    return { line, address, url: url.href, authorization, frequency: frequency.text, pattern: pattern?.source ?? null };
  });
  stdout.write(`${printableJson(JSON.stringify({ read, problems, warnings }))}\n`);
}

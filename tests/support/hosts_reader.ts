// Reads the hosts files from standard input, each a JSON string on a line. Prints the outcome of
// each. The tests run this under each runtime.
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { printableJson } from "../../lib/config/terminal.ts";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";
import { ReferencedFiles } from "../../lib/hosts/referenced_files.ts";

const variable = (name: string) => name === "HOSTS_TOKEN" ? "t0ken" : undefined;

for await (const line of createInterface({ input: stdin })) {
  const text = JSON.parse(line) as string;
  const references = await ReferencedFiles.read(text, ".", variable);
  const { hosts, problems, warnings } = parseHosts(text, "hosts.txt", "Europe/Berlin", references);
  const read = hosts.map(({ line, address, url, authorization, frequency, pattern, absent, options }) => {
    const patterns = { pattern: pattern?.source ?? null, absent: absent?.source ?? null };
    return { line, address, url: url.href, authorization, frequency: frequency.text, ...patterns, options };
  });
  stdout.write(`${printableJson(JSON.stringify({ read, problems, warnings }))}\n`);
}

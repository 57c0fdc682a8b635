// Reads a JSON array of hosts lines from standard input. Prints the outcome of each as JSON. The
// tests run this under each runtime.
import { stdin, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { parseHosts } from "../../lib/hosts/hosts_file.ts";

stdout.write(JSON.stringify((JSON.parse(await text(stdin)) as string[]).map((line) => {
  const { hosts: [host], problems: [problem] } = parseHosts(line, "h", "UTC");
  return problem ?? [host?.address, host?.url.href];
})));

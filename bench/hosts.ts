/**
 * A large hosts file: `npm run bench:hosts [-- --hosts N] [--runs N]`. Writes one whose hosts have
 * options, and prints what `producer --check` takes for it, and a reload of it while checks are due
 * 50 times a second, under Node and under Deno. Loopback only; needs Linux.
 */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { formatTable } from "../lib/postgres/table_text.ts";
import { median } from "./consumer/contest.ts";
import { hostsText } from "./hosts/hosts_text.ts";
import { type CheckCost, measureCheck, measureReload, type ReloadCost } from "./hosts/measured.ts";

const { values } = parseArgs({
  options: { hosts: { type: "string", default: "100000" }, runs: { type: "string", default: "3" } },
});
const [count, runs] = [Number(values.hosts), Number(values.runs)];

const folder = await mkdtemp(join(tmpdir(), "bench-hosts-"));
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const site = createServer((socket) => {
  socket.on("error", () => {}).once("data", () => socket.end(ANSWER));
}).listen(0, "127.0.0.1");
await once(site, "listening");
const address = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
const file = join(folder, "hosts.txt");
const write = (version: number) => writeFile(file, hostsText(address, count, version).text);

try {
  const { lines, text } = hostsText(address, count);
  console.log(`${count} hosts, ${lines} lines, ${(text.length / 1e6).toFixed(1)} MB; medians of ${runs} runs`);
  const [checks, reloads]: [object[], object[]] = [[], []];
  for (const [name, runtime] of runtimes()) {
    const [ofChecks, ofReloads]: [CheckCost[], ReloadCost[]] = [[], []];
    for (let run = 1; run <= runs; run++) {
      await write(0);
      ofChecks.push(await measureCheck(runtime, file));
      ofReloads.push(await measureReload(runtime, file, () => write(run)));
    }
    checks.push({ "--check": name, ...costs(ofChecks) });
    reloads.push({
      reload: name,
      ...costs(ofReloads),
      "late ms before": median(ofReloads.map(({ lateBefore }) => lateBefore)),
      "late ms meanwhile": median(ofReloads.map(({ lateMeanwhile }) => lateMeanwhile)),
    });
  }
  console.log(`${formatTable(checks)}\n${formatTable(reloads)}`);
  console.log(`load: ${loadavg().map((load) => load.toFixed(1)).join(" ")}`);
} finally {
  site.close();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);

function costs(all: readonly CheckCost[]): object {
  return {
    "wall s": median(all.map(({ wall }) => wall)).toFixed(2),
    "CPU s": median(all.map(({ cpu }) => cpu)).toFixed(2),
    "peak MB": median(all.map(({ peak }) => peak)).toFixed(0),
  };
}

/** The runtimes that are there, and the commands before the script. */
function runtimes(): readonly (readonly [name: string, command: readonly string[]])[] {
  const node = ["Node", [process.execPath]] as const;
  // The program itself: what npm puts on the PATH starts it as a child, whose CPU time would not be seen.
  const { status, stdout } = spawnSync("deno", ["eval", "console.log(Deno.execPath())"], { encoding: "utf8" });
  return status === 0 ? [node, ["Deno", [stdout.trim(), "run", "-q", "-P=producer"]]] : [node];
}

/**
 * Shows the whole job to somebody who has just cloned the project, with no network and no service:
 * a small site on loopback is checked by the producer, the consumer keeps the results in an
 * embedded PostgreSQL, a query tells them, and a page shows them for a minute more. `--no-page`
 * leaves out the page.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { paintFor } from "../lib/config/terminal.ts";
import { formatTable } from "../lib/postgres/table_text.ts";
import { madeSql, reasonSql, upSql } from "../lib/postgres/host_state.ts";
import { describe } from "./describe.ts";
import { commandLine, ended, start } from "./programs.ts";
import { startSite } from "./site.ts";
import { freePort } from "../tools/free_ports.ts";

const SECONDS = 15;
/** Seconds for which the page is open. */
const PAGE_SECONDS = 60;

/** A table that the consumer made has all columns. */
const ALL = { error: true, error_detail: true, up: true };

/** A check that was missed says nothing of its site. */
const SUMMARY = `
  select address,
         count(*) filter (where made) as checks,
         count(*) filter (where not made) as missed,
         round(100.0 * count(*) filter (where made and is_up)
           / nullif(count(*) filter (where made), 0)) as "up %",
         (array_agg(status_code order by checked_at desc) filter (where made))[1] as "last status",
         round(percentile_cont(0.5) within group (order by latency) filter (where made)::numeric, 3) as "median s",
         round((max(latency) filter (where made))::numeric, 3) as "worst s",
         (array_agg(reason order by checked_at desc) filter (where made))[1] as "why it is down"
  from (select *, ${madeSql(ALL)} as made, ${upSql(ALL)} as is_up, ${reasonSql(ALL)} as reason from host_metrics) checks
  group by address order by "up %" desc nulls last, address`;

const paint = paintFor(process.stdout.isTTY === true, process.env);

await using site = await startSite();
const folder = await mkdtemp(join(tmpdir(), "host-checker-demo-"));
try {
  const hosts = join(folder, "hosts.txt");
  await writeFile(hosts, site.hostsFile);
  console.log(`A small site at http://${site.host}, checked for ${SECONDS} seconds, as this hosts file says:\n`);
  console.log(site.hostsFile.replaceAll(/^/gm, "  "));

  const data = join(folder, "data");
  await check(hosts, data, process.argv.includes("--no-page") ? null : `127.0.0.1:${await freePort()}`);

  console.log("\nWhat is in the table now:\n");
  console.log(await summary(data));
  console.log(
    "\nTry it with sites of your own (copy hosts.txt.example to hosts.txt first), and ask which are up meanwhile:\n",
  );
  console.log(
    `  ${commandLine("producer", "--stdout hosts.txt")} | ${commandLine("consumer", "--stdin --embedded data")}`,
  );
  console.log(
    `  ${commandLine("consumer", `--embedded data --query "select address, up, reason from host_metrics_now"`)}`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}

/**
 * producer | consumer, with each metric shown as it passes from one to the other. With an address
 * the consumer shows its page there, and both work on for a while without a word.
 */
async function check(hosts: string, data: string, listen: string | null): Promise<void> {
  const port = listen === null ? [] : ["--listen", listen, "--page-title", "Demo"];
  const consumer = start("consumer", "--stdin", "--embedded", data, "--log-level", "WARN", ...port);
  const producer = start("producer", "--stdout", hosts, "--log-level", "WARN");
  const bothEnded = Promise.all([ended(producer, "producer.ts"), ended(consumer, "consumer.ts")]);
  const interrupt = new AbortController();
  // Ctrl-C reaches both programs too, which then end by themselves.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  const shown = delay(SECONDS * 1000, true, { signal: interrupt.signal }).catch(() => false);
  if (producer.stdout === null || consumer.stdin === null) {
    throw new TypeError("The programs were started without pipes");
  }
  let isShowing = true;
  const over = shown.then(async () => {
    isShowing = listen === null;
    if (listen !== null && !interrupt.signal.aborted) await showPage(`http://${listen}/`, interrupt.signal);
    // Not `producer.kill`: under Deno the program then counts as killed by the signal, however it ends.
    if (producer.exitCode === null) process.kill(producer.pid as number, "SIGTERM");
  });
  for await (const line of createInterface({ input: producer.stdout })) {
    consumer.stdin.write(`${line}\n`);
    if (isShowing) console.log(describe(JSON.parse(line), paint));
  }
  consumer.stdin.end();
  await Promise.all([bothEnded, over]);
}

/** Says where the page is, once it has something to show, and waits. */
async function showPage(url: string, signal: AbortSignal): Promise<void> {
  const knowsHosts = async () => {
    const answer = await fetch(`${url}api/hosts`, { signal }).catch(() => null);
    return answer?.ok === true && (await answer.json() as { hosts: unknown[] }).hosts.length > 0;
  };
  while (!signal.aborted && !await knowsHosts().catch(() => false)) await delay(500);
  console.log(`\nThe page of these sites is open for a minute, until Ctrl-C:\n\n  ${url}`);
  await delay(PAGE_SECONDS * 1000, null, { signal }).catch(() => {});
}

async function summary(data: string): Promise<string> {
  const query = start("consumer", "--embedded", data, "--query", SUMMARY, "--log-level", "WARN");
  if (query.stdout === null) throw new TypeError("The query was started without a pipe");
  const [lines] = await Promise.all([text(query.stdout), ended(query, "consumer.ts --query")]);
  return formatTable(lines.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)));
}

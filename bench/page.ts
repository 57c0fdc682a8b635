/**
 * How long the page takes over many hosts: `npm run bench:page [-- --hosts N --days N --interval SECONDS]`. Fills a
 * table of a PostgreSQL server of its own, and asks the page over HTTP, as the consumer answers it. "Cold" is the first
 * time that something is asked for; then each question is another page or host, so that no answer is there already.
 */
import { parseArgs } from "node:util";
import { openHttpPort } from "../lib/net/http_port.ts";
import { Page } from "../lib/page/page.ts";
import { openPostgres } from "../lib/postgres/database/postgres.ts";
import { formatTable } from "../lib/postgres/table_text.ts";
import { fillPageWorld } from "../tests/support/page_world.ts";
import { startPostgres } from "../tests/support/postgres.ts";

const { values } = parseArgs({
  options: {
    hosts: { type: "string", default: "10000" },
    days: { type: "string", default: "365" },
    interval: { type: "string", default: "300" },
    requests: { type: "string", default: "150" },
  },
});
const [hosts, days, interval, requests] = [values.hosts, values.days, values.interval, values.requests].map(Number) as [
  number,
  number,
  number,
  number,
];

await using server = await startPostgres({ own: true, settings: ["shared_buffers=1GB", "max_wal_size=8GB"] });
const began = performance.now();
const say = (what: string) => console.log(`${((performance.now() - began) / 1000).toFixed(0)} s: ${what}`);
// Filling takes longer than a statement of the consumer may.
await using filling = openPostgres(server.settings, {
  answer: 3_600_000,
  connect: 5000,
  statement: 3_600_000,
  lock: 5000,
});
const store = await fillPageWorld(filling, { table: { schema: null, name: "host_metrics" }, hosts, days, interval });
await server.sql.unsafe("vacuum analyze");
const [size] = await server
  .sql`select count(*)::int as rows, (select count(*)::int from host_metrics_daily) as days from host_metrics`;
say(`${size?.rows} rows of ${hosts} hosts, and ${size?.days} rows of days`);

const limits = { answer: 12_000, connect: 5_000, statement: 10_000, lock: 2_000, isReadOnly: true };
await using reader = openPostgres(server.settings, limits);
const log = { warn: (message: string) => say(message) };
const page = await Page.plan({ directory: null, title: null, hosts: null, url: null }, { log });
page.read(store.reader(reader));
await using port = await openHttpPort({ host: "127.0.0.1", port: 0 }, "--listen", {}, page);

const { hosts: known } = await (await fetch(`http://127.0.0.1:${port.port}/api/hosts`)).json() as {
  hosts: { address: string }[];
};
const pages = Math.ceil(hosts / 50);
const other = (n: number, of: number) => (n * 7919) % of;
const QUESTIONS: readonly (readonly [name: string, path: (n: number) => string])[] = [
  ["overview, first page", () => "/"],
  ["overview, another page each time", (n) => `/?page=${1 + other(n, pages)}`],
  ["search", (n) => `/?q=page%2F${other(n, hosts)}`],
  ["a host, another each time", (n) => `/host?address=${encodeURIComponent(known[other(n, hosts)]?.address ?? "")}`],
  [
    "badge, another each time",
    (n) => `/badge.svg?address=${encodeURIComponent(known[other(n, hosts)]?.address ?? "")}`,
  ],
  ["every host as JSON", () => "/api/hosts"],
  ["feed", () => "/feed.atom"],
];

const table = [];
for (const [name, path] of QUESTIONS) {
  const times: number[] = [];
  let bytes = 0;
  for (let n = 0; n < requests; n++) {
    const asked = performance.now();
    const response = await fetch(`http://127.0.0.1:${port.port}${path(n)}`);
    bytes += (await response.arrayBuffer()).byteLength;
    if (!response.ok) throw new Error(`${path(n)} is answered with ${response.status}`);
    times.push(performance.now() - asked);
  }
  const [cold = 0] = times;
  times.sort((a, b) => a - b);
  const at = (share: number) => `${(times[Math.ceil(share * times.length) - 1] ?? 0).toFixed(0)} ms`;
  const size = `${Math.round(bytes / requests / 1024)} KiB`;
  table.push({ question: name, cold: `${cold.toFixed(0)} ms`, p50: at(0.5), p95: at(0.95), most: at(1), size });
}
console.log(formatTable(table));

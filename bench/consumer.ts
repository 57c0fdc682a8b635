/**
 * `npm run bench:consumer`: how fast metrics come from a topic into the table, next to what others make of the same topic
 * and to what the database takes at best. Starts a broker and a PostgreSQL server of its own on loopback; Linux only.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { formatTable } from "../lib/postgres/table_text.ts";
import { onStopSignal } from "../lib/program/stop_signals.ts";
import { type Arena, openArena, PARTITIONS, SERVER_SETTINGS } from "./consumer/arena.ts";
import {
  compareWithPeers,
  type Contestant,
  costOfIncidents,
  type Figures,
  type Line,
  toLines,
} from "./consumer/contest.ts";
import { debezium } from "./consumer/debezium.ts";
import { type Freshness, measureFreshness } from "./consumer/freshness.ts";
import { type Client, MEASURED, ours, type Runtime } from "./consumer/ours.ts";
import { copy, statement, statementIntoParts, statementWithIncidents } from "./consumer/yardsticks.ts";

/** Minutes after which the bench gives up, whatever it waits for. */
const LIMIT = 60;

const OURS: readonly (readonly [Runtime, Client])[] = [
  ["node", "librdkafka"],
  ["node", "javascript"],
  ["deno", "javascript"],
];

const CONTESTANTS: readonly Contestant[] = [
  copy,
  statement,
  statementWithIncidents,
  statementIntoParts,
  ...OURS.map(([runtime, client]) => ours(runtime, client)),
  ours("node", "librdkafka", 2),
  debezium("debezium"),
  debezium("debezium-stock"),
];

const HELP = `npm run bench:consumer -- [--rows N] [--runs N] [--only NAME]... [--locale NAME] [--json]

  --rows N       metrics in the topic (default 1000000)
  --runs N       runs of each, of which the medians are told (default 1)
  --only NAME    one of ${CONTESTANTS.map(({ name }) => name).join(", ")}, freshness;
                 may be given several times; copy runs always, as the yardstick
  --locale NAME  by whose rules the database sorts texts, of those of locale -a
                 (default C: by their bytes; the official image has en_US.utf8)
  --json         one JSON array instead of the tables

NODE_OPTIONS and DB_BATCH_SIZE in the environment reach the consumer.
`;

interface Wishes {
  readonly rows: number;
  readonly runs: number;
  readonly only: readonly string[];
  readonly locale: string;
  readonly json: boolean;
}

function readWishes(): Wishes | null {
  const { values } = parseArgs({
    options: {
      "rows": { type: "string", default: "1000000" },
      "runs": { type: "string", default: "1" },
      "only": { type: "string", multiple: true, default: [] },
      "locale": { type: "string", default: "C" },
      "json": { type: "boolean", default: false },
      "help": { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const known = [...CONTESTANTS.map(({ name }) => name), "freshness"];
  const unknown = values.only.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TypeError(`There is no ${unknown}: write one of ${known.join(", ")}`);
  const [rows, runs] = [count("--rows", values.rows), count("--runs", values.runs)];
  return { rows, runs, only: values.only, locale: values.locale, json: values.json };
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`${flag} is ${text}: write a whole number above 0`);
}

const isWanted = (only: readonly string[], name: string) => only.length === 0 || only.includes(name);

/** Every contestant in turn, and that `runs` times: what slows the machine down for a while slows all of them down. */
async function compete(arena: Arena, { runs, only }: Wishes): Promise<Map<string, Figures[]>> {
  const results = new Map<string, Figures[]>();
  const contestants: Contestant[] = [];
  for (const contestant of CONTESTANTS.filter(({ name }) => name === "copy" || isWanted(only, name))) {
    const missing = await contestant.prepare?.() ?? null;
    if (missing === null) contestants.push(contestant);
    else console.error(`${contestant.name} is skipped: ${missing}`);
  }
  for (let run = 1; run <= runs; run++) {
    for (const contestant of contestants) {
      const figures = await contestant.run(arena);
      results.set(contestant.name, [...results.get(contestant.name) ?? [], figures]);
      const speed = Math.round(arena.rows / figures.seconds).toLocaleString("en");
      console.error(`${contestant.name}, run ${run} of ${runs}: ${speed} rows/s`);
    }
  }
  return results;
}

function print(lines: readonly Line[], freshness: readonly Freshness[], { rows, runs }: Wishes): void {
  const names = new Set(lines.map(({ name }) => name));
  console.log(`\n${rows} metrics, ${PARTITIONS} partitions, lz4, into the table with its index; medians of ${runs}.`);
  const given = MEASURED.flatMap((name) => process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`]);
  const settings = given.length === 0 ? "" : `, but for ${given.join(" ")}`;
  console.log(`PostgreSQL: ${SERVER_SETTINGS.join(", ")}. The consumer: its default settings${settings}.`);
  for (const { name, what } of CONTESTANTS) if (names.has(name)) console.log(`  ${name}: ${what}`);
  if (lines.length > 0) console.log(`\n${formatTable(lines.map((line) => ({ ...line })))}`);
  for (const told of [costOfIncidents(lines), compareWithPeers(lines, CONTESTANTS)]) {
    if (told !== null) console.log(`\n${told}`);
  }
  if (freshness.length === 0) return;
  console.log("\nSeconds from checked_at to the row's commit, at 1,000 metrics a second:\n");
  console.log(formatTable(freshness.map(({ name, p50, p99 }) => ({ name, p50: p50.toFixed(3), p99: p99.toFixed(3) }))));
}

async function main(wishes: Wishes): Promise<void> {
  const interrupted = new AbortController();
  onStopSignal(() => interrupted.abort());
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(LIMIT * 60_000)]);
  await using arena = await openArena(wishes.rows, signal, wishes.locale);
  const results = await compete(arena, wishes);
  const lines = toLines(results, wishes.rows).filter(({ name }) => isWanted(wishes.only, name));
  if (wishes.json) return console.log(JSON.stringify(lines, null, 2));
  const freshness: Freshness[] = [];
  if (isWanted(wishes.only, "freshness")) {
    for (const [runtime, client] of OURS) freshness.push(await measureFreshness(arena, runtime, client));
  }
  print(lines, freshness, wishes);
}

const wishes = readWishes();
if (wishes === null) console.log(HELP);
else {
  await main(wishes).catch((error: Error) => {
    console.error(error.name === "AbortError" ? "The bench was interrupted, or took too long" : error);
    process.exitCode = 1;
  });
}

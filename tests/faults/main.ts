// `npm run test:faults`: breaks every part that can break. Every metric must be stored exactly once
// all the same.
import process from "node:process";
import { parseArgs } from "node:util";
import { loadLibrdkafka } from "../../lib/kafka/librdkafka/library.ts";
import { onStopSignal } from "../../lib/program/stop_signals.ts";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import { Random } from "../support/random.ts";
import { denoMissing } from "../support/runtimes.ts";
import { campaign, type Report } from "./campaign.ts";
import { type Combination, COMBINATIONS } from "./combinations.ts";
import type { Fault } from "./fault.ts";
import { FAULTS } from "./faults.ts";
import { producerCampaign } from "./producers/campaign.ts";
import { FAULTS_OF_PRODUCERS } from "./producers/faults.ts";
import { producerTable } from "./producers/report.ts";

const HELP = `npm run test:faults -- [options]

Strikes with fault after fault while numbered metrics go from a real broker through real consumers into a real PostgreSQL,
and counts at the end: every number must be in the table, or among the rejected, exactly once. The days must be what the
rows say. Hosts go down and up by a plan meanwhile, at up to three places, of which one may lie: their incidents must be
those of the plan, exactly once each, and a receiver must be told of them, of each under one key.

  --producers        instead: strikes a group of three producers, and counts due times, rows and requests at the site
  --hosts N          their hosts (48)
  --every FREQUENCY  how often these are checked (1, 2, 3 and 5 s)
  --minutes N        how long for each combination (10)
  --short            each fault once, dealt out over the combinations, and briefly: what npm test runs
  --client NAME,…    ${COMBINATIONS.map(({ name }) => name).join(", ")} (all of them, at the same time)
  --faults NAME,…    only these, by the beginning of their names
  --start WHERE      earliest or latest, the consumers' --kafka-start (drawn for each combination)
  --rate N           metrics a second (200)
  --seed N           what came of random comes again
  --list             names the faults
`;

const { values } = parseArgs({
  options: {
    producers: { type: "boolean", default: false },
    hosts: { type: "string", default: "48" },
    every: { type: "string" },
    minutes: { type: "string", default: "10" },
    short: { type: "boolean", default: false },
    client: { type: "string" },
    faults: { type: "string" },
    rate: { type: "string", default: "200" },
    start: { type: "string" },
    seed: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function isPossible({ members }: Combination): boolean {
  const library = loadLibrdkafka();
  if ("missing" in library && members.some(({ client }) => client === "librdkafka")) return skipped(library.missing);
  return denoMissing === null || members.every(({ runtime }) => runtime !== "deno") || skipped(denoMissing);
}

/**
 * The entries of a list whose names begin with the words of an option; all entries where it has
 * none.
 */
function named<T extends { readonly name: string }>(list: readonly T[], option: string | undefined): readonly T[] {
  if (option === undefined) return list;
  return option.split(",").flatMap((start) => {
    const found = list.filter(({ name }) => name.startsWith(start.trim()));
    if (found.length === 0) throw new RangeError(`${start} is none of: ${list.map(({ name }) => name).join(", ")}`);
    return found;
  });
}

/** Deals the faults, in their order, to so many combinations, one to each in turn. */
function deal(faults: readonly Fault[], hands: number): Fault[][] {
  return Array.from({ length: hands }, (_, hand) => faults.filter((_, i) => i % hands === hand));
}

function table({ lines, total, incidents, days }: Report): string {
  const sum = { fault: "all", times: lines.reduce((sum, { times }) => sum + times, 0), ...total, incidents };
  const columns = ["fault", "times", "made", "rows", "twice", "lost"] as const;
  const ofIncidents = ["due", "found", "twice", "missing", "wrong", "toTell", "untold", "twoKeys"] as const;
  const texts = [...lines.toSorted((a, b) => a.fault.localeCompare(b.fault)), sum].map((line) => [
    ...columns.map((column) => String(line[column])),
    ...ofIncidents.map((column) => String(line.incidents?.[column] ?? "?")),
  ]);
  const heads = ["incidents", "found", "twice", "missing", "wrong", "to tell", "untold", "two keys"];
  const all = [[...columns, ...heads], ...texts];
  const widths = (all[0] as string[]).map((_, i) => Math.max(...all.map((row) => (row[i] as string).length)));
  const pad = (row: readonly string[]) =>
    row.map((text, i) => i === 0 ? text.padEnd(widths[i] as number) : text.padStart(widths[i] as number)).join("  ");
  const note =
    `of ${total.made} made, ${total.rejected} lines among the rejected, ${total.excused} deleted unread by retention`;
  const rolledUp = days === null ? "unknown" : `${days.settled} by consumers, ${days.left} left over`;
  return [...all.map(pad), note, `days that were rolled up: ${rolledUp}`].join("\n");
}

function withoutAccount(problem: string): Report {
  const total = { made: 0, rows: 0, rejected: 0, twice: 0, lost: 0, excused: 0, samples: [] };
  return { lines: [], total, incidents: null, days: null, problems: [problem] };
}

/** What the other faults are for consumers, for a group of producers. */
async function strikeProducers(): Promise<number> {
  const faults = named(FAULTS_OF_PRODUCERS, values.faults);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  console.log(`${faults.length} faults, seed ${seed} (again with: npm run test:faults -- --producers --seed ${seed})`);
  const began = performance.now();
  const stopping = new AbortController();
  onStopSignal(() => stopping.abort());
  const say = (line: string) =>
    console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${line}`);
  const minutes = values.short ? 0 : Number(values.minutes);
  const load = {
    hosts: Number(values.hosts),
    // The short ones show a hole to the second.
    frequencies: values.every === undefined ? ["1s", "2s", "5s", '"*/3 * * * * *"'] : [values.every],
  };
  const random = new Random(seed);
  const report = await producerCampaign({ faults, random, load, minutes, stop: stopping.signal, say });
  console.log(producerTable(report));
  for (const problem of report.problems) console.error(`PROBLEM: ${problem}`);
  return report.problems.length > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  if (values.help || values.list) {
    const list: readonly { readonly name: string }[] = values.producers ? FAULTS_OF_PRODUCERS : FAULTS;
    console.log(values.help ? HELP : list.map(({ name }) => name).join("\n"));
    return 0;
  }
  if (!canRunKafka() || (ownPostgresMissing !== null && !skipped(ownPostgresMissing))) return 0;
  if (values.producers) return await strikeProducers();
  const combinations = named(COMBINATIONS, values.client).filter(isPossible);
  const faults = named(FAULTS, values.faults);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const start = (["earliest", "latest"] as const).find((name) => name === values.start);
  if (start === undefined && values.start !== undefined) throw new RangeError("--start is earliest or latest");
  const minutes = values.short ? 0 : Number(values.minutes);
  console.log(`${faults.length} faults, seed ${seed} (again with: npm run test:faults -- --seed ${seed})`);
  const began = performance.now();
  const stopping = new AbortController();
  // A program that left at once would leave a broker and a database behind.
  onStopSignal(() => stopping.abort());
  const hands = values.short ? deal(new Random(seed).shuffled(faults), combinations.length) : null;
  const reports = await Promise.all(combinations.map(async (combination, i) => {
    const say = (line: string) => {
      console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${combination.name}: ${line}`);
    };
    const options = {
      combination,
      faults: hands?.[i] ?? faults,
      seed: seed + i,
      rate: Number(values.rate),
      start,
      minutes,
      stop: stopping.signal,
      say,
    };
    // A campaign that cannot go on must not end the reports of the others.
    const report = await campaign(options).catch(({ stack }: Error) => withoutAccount(String(stack)));
    return { combination, report };
  }));
  for (const { combination, report } of reports) {
    console.log(`\n${combination.name}\n${table(report)}`);
    for (const problem of report.problems) console.error(`PROBLEM: ${problem}`);
  }
  return reports.some(({ report }) => report.problems.length > 0) ? 1 : 0;
}

process.exit(await main());

import { eventually } from "../../support/eventually.ts";
import type { Random } from "../../support/random.ts";
import { accountFor, LONGEST_CHECK, percentile99, type Span, type Stretch, type StretchAccount } from "./account.ts";
import type { ProducerFault } from "./faults.ts";
import type { Usage } from "./team.ts";
import { openProducerWorld, type ProducerLoad, type ProducerWorld } from "./world.ts";

export interface ProducerCampaign {
  readonly faults: readonly ProducerFault[];
  readonly random: Random;
  readonly load: ProducerLoad;
  /** 0: each fault strikes once. */
  readonly minutes: number;
  /** Ends the campaign after the fault under way. */
  readonly stop: AbortSignal;
  say(line: string): void;
}

/** All strikes of one fault. */
export interface FaultLine extends StretchAccount {
  readonly fault: string;
  readonly times: number;
  /** Of all strikes, until everything was as before. */
  readonly seconds: number;
  /** The most that one producer took, of those that were there all the time. Null: none was. */
  readonly cores: number | null;
  readonly megabytes: number | null;
}

export interface ProducerReport {
  readonly lines: readonly FaultLine[];
  /** The broken promises; empty where all were kept. */
  readonly problems: readonly string[];
}

/** Milliseconds between two faults: metrics of one must not be those of the next. */
const CALM = [1_000, 2_000] as const;
/** Milliseconds until what was checked must be in the table. */
const COMPLETE_LIMIT = 120_000;
/** Milliseconds until a signal that kills has ended a producer. */
const KILL_LIMIT = 500;
/** Milliseconds that a producer goes on, once a broker answers that was cut off: docs/promises.md. */
const BLIND_LIMIT = 7_000;
/** How many due times a problem names. */
const SAMPLES = 8;

/** Strikes a group of three producers with faults, and accounts for each due time. */
export async function producerCampaign(options: ProducerCampaign): Promise<ProducerReport> {
  const { random, say } = options;
  await using world = await openProducerWorld(random, options.load);
  say(`begins: ${world.team.members.map(({ name, variant }) => `${name} is ${variant.name}`).join(", ")}`);
  const stretches: { readonly fault: ProducerFault; readonly stretch: Stretch; readonly used: readonly Load[] }[] = [];
  const problems: string[] = [];
  let from = Date.now();
  for (const fault of plan(options)) {
    try {
      const before = world.team.usage();
      const stretch = await strike(fault, world, from);
      const used = loadsOf(before, world.team.usage(), stretch);
      stretches.push({ fault, stretch, used });
      from = stretch.to;
      await world.stored();
      const account = accountFor(stretch, world.hosts, await world.rows(), await world.requests());
      say(describe(fault, stretch, account) + used.map(describeLoad).join(""));
    } catch (error) {
      problems.push(`after ${fault.name}: ${(error as Error).stack}\n${world.team.words()}\n${world.words()}`);
      break;
    }
  }
  const [first, last] = [stretches[0]?.stretch, stretches.at(-1)?.stretch];
  if (first !== undefined && last !== undefined) await completed({ ...last, from: first.from }, world);
  problems.push(...world.team.surprises);
  await Promise.all(world.team.members.map((member) => world.team.end(member, "SIGTERM")));
  await world.stored();
  const [rows, requests] = [await world.rows(), await world.requests()];
  const accounts = stretches.map(({ fault, stretch, used }) => {
    const account = accountFor(stretch, world.hosts, rows, requests);
    problems.push(...problemsOf(fault, stretch, account));
    const seconds = (stretch.to - stretch.from) / 1000;
    const cores = most(used.map(({ cores }) => cores));
    const megabytes = most(used.map(({ megabytes }) => megabytes));
    return { ...account, fault: fault.name, times: 1, seconds, cores, megabytes };
  });
  return { lines: [...Map.groupBy(accounts, ({ fault }) => fault).values()].map(summed), problems };
}

/**
 * Waits until each due time of a stretch has its row. A dead connection holds metrics back for a minute. What is missing
 * after two is missing for good.
 */
async function completed(stretch: Stretch, world: ProducerWorld): Promise<void> {
  const isComplete = async () => {
    await world.stored();
    return accountFor(stretch, world.hosts, await world.rows(), await world.requests()).missing.length === 0;
  };
  await eventually(isComplete, () => "Rows are missing", { timeout: COMPLETE_LIMIT, interval: 2_000 }).catch(() => {});
}

/** All faults in random orders, until the time is over: one of those that have struck least is always next. */
function* plan({ faults, random, minutes, stop }: ProducerCampaign): Generator<ProducerFault> {
  const end = performance.now() + minutes * 60_000;
  do {
    for (const fault of random.shuffled(faults)) {
      yield fault;
      if (stop.aborted || (minutes > 0 && performance.now() > end)) return;
    }
  } while (minutes > 0);
}

/** Strikes, and waits until everything is as before. */
async function strike(fault: ProducerFault, world: ProducerWorld, from: number): Promise<Stretch> {
  const strikes: number[] = [];
  const struck = new Set<string>();
  await fault.strike(world, (member) => {
    strikes.push(Date.now());
    if (member !== undefined) struck.add(member.name);
  });
  const over = Date.now();
  await world.settled();
  await world.pass(...CALM);
  const repeats = repeatsOf(fault, strikes, over);
  return { fault: fault.name, from, to: Date.now(), strikes, struck, repeats, isSkewed: fault.isSkewed ?? false };
}

/** The due times for which a site may be asked twice, where a fault struck then and was over at `over`. */
function repeatsOf({ mayRepeat }: ProducerFault, strikes: readonly number[], over: number): readonly Span[] {
  if (mayRepeat === undefined) return [];
  if (mayRepeat === "killed") return strikes.map((at) => ({ from: at - LONGEST_CHECK, to: at + KILL_LIMIT }));
  return [{ from: Math.min(...strikes) - LONGEST_CHECK, to: over + BLIND_LIMIT + LONGEST_CHECK }];
}

function describe({ name }: ProducerFault, { from, to }: Stretch, account: StretchAccount): string {
  const { due, missing, twice, stray, beyond, missed, hole, late, unmoved } = account;
  const reasons = [...missed].map(([why, count]) => `${count} ${why}`).join("; ");
  return `${name}: ${
    ((to - from) / 1000).toFixed(0)
  } s, ${due} due, ${missing.length} without a row yet, ${twice.length} twice, ` +
    `${stray.length} stray, ${beyond.length} requests beyond, hole ${(hole / 1000).toFixed(1)} s, ` +
    `99 of 100 late by up to ${percentile99(late).toFixed(0)} ms, ` +
    `${unmoved.length} unmoved missed; missed: ${reasons || "none"}`;
}

/** The part of a core that a producer took, and the memory that it held at the end. */
interface Load {
  readonly name: string;
  readonly cores: number;
  readonly megabytes: number;
}

/** The load of each producer that was there all the time. */
function loadsOf(
  before: ReadonlyMap<string, Usage>,
  after: ReadonlyMap<string, Usage>,
  { from, to }: Stretch,
): readonly Load[] {
  return [...after].flatMap(([name, { cpu, memory }]) => {
    const earlier = before.get(name);
    return earlier === undefined ? [] : [{ name, cores: (cpu - earlier.cpu) * 1000 / (to - from), megabytes: memory }];
  });
}

function describeLoad({ name, cores, megabytes }: Load): string {
  return `; ${name}: ${cores.toFixed(2)} cores, ${megabytes.toFixed(0)} MB`;
}

function most(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

function problemsOf(fault: ProducerFault, { from, to }: Stretch, account: StretchAccount): readonly string[] {
  const { missing, twice, stray, needless, hole, unmoved } = account;
  const found: [what: string, where: readonly string[]][] = [
    ["due times without a row", missing],
    ["due times with two rows", twice],
    ["rows of no due time", stray],
    ["requests beyond one a due time", needless],
    ["missed due times of hosts that stayed where they were", fault.mayMiss ? [] : unmoved],
  ];
  const when = `${fault.name}, ${new Date(from).toISOString()} to ${new Date(to).toISOString()}`;
  const told = found.filter(([, where]) => where.length > 0).map(([what, where]) =>
    `${when}: ${where.length} ${what}: ${where.slice(0, SAMPLES).join(", ")}`
  );
  if (hole <= (fault.longestHole ?? Infinity) * 1000) return told;
  return [...told, `${when}: a hole of ${hole / 1000} s`];
}

function summed(all: readonly FaultLine[]): FaultLine {
  const [first] = all as readonly [FaultLine, ...FaultLine[]];
  const add = (key: "due" | "rows" | "times" | "seconds") => all.reduce((sum, one) => sum + one[key], 0);
  const join = (key: "missing" | "twice" | "stray" | "beyond" | "needless" | "unmoved") =>
    all.flatMap((one) => one[key]);
  const missed = new Map<string, number>();
  for (const one of all) for (const [why, count] of one.missed) missed.set(why, (missed.get(why) ?? 0) + count);
  return {
    fault: first.fault,
    ...{ times: add("times"), due: add("due"), rows: add("rows"), seconds: add("seconds") },
    ...{ cores: most(all.map(({ cores }) => cores)), megabytes: most(all.map(({ megabytes }) => megabytes)) },
    ...{ missing: join("missing"), twice: join("twice"), stray: join("stray"), beyond: join("beyond") },
    ...{
      needless: join("needless"),
      unmoved: join("unmoved"),
      late: all.flatMap(({ late }) => late),
      missed,
      hole: Math.max(...all.map(({ hole }) => hole)),
    },
  };
}

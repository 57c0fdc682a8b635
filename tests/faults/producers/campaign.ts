import { eventually } from "../../support/eventually.ts";
import type { Random } from "../../support/random.ts";
import { accountFor, percentile99, type Stretch, type StretchAccount } from "./account.ts";
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
}

export interface ProducerReport {
  readonly lines: readonly FaultLine[];
  /** The broken promises; empty where all were kept. */
  readonly problems: readonly string[];
}

/** Milliseconds between two faults: metrics of one must not be those of the next. */
const CALM = [3_000, 6_000] as const;
/** Milliseconds until what was checked must be in the table. */
const COMPLETE_LIMIT = 120_000;
/** How many due times a problem names. */
const SAMPLES = 8;

/** Strikes a group of three producers with faults, and accounts for each due time. */
export async function producerCampaign(options: ProducerCampaign): Promise<ProducerReport> {
  const { random, say } = options;
  await using world = await openProducerWorld(random, options.load);
  say(`begins: ${world.team.members.map(({ name, variant }) => `${name} is ${variant.name}`).join(", ")}`);
  const stretches: { readonly fault: ProducerFault; readonly stretch: Stretch }[] = [];
  const problems: string[] = [];
  let from = Date.now();
  for (const fault of plan(options)) {
    try {
      const before = world.team.usage();
      const stretch = await strike(fault, world, from);
      const used = describeUsage(before, world.team.usage(), stretch);
      stretches.push({ fault, stretch });
      from = stretch.to;
      say(describe(fault, stretch, await completeAccount(stretch, world)) + used);
    } catch (error) {
      problems.push(`after ${fault.name}: ${(error as Error).stack}\n${world.team.words()}\n${world.words()}`);
      break;
    }
  }
  problems.push(...world.team.surprises);
  await Promise.all(world.team.members.map((member) => world.team.end(member, "SIGTERM")));
  await world.stored();
  const rows = await world.rows();
  const accounts = stretches.map(({ fault, stretch }) => {
    const account = accountFor(stretch, world.hosts, rows, world.requests);
    problems.push(...problemsOf(fault, stretch, account));
    return { ...account, fault: fault.name, times: 1 };
  });
  return { lines: [...Map.groupBy(accounts, ({ fault }) => fault).values()].map(summed), problems };
}

/**
 * The account of a stretch, once each due time has its row. A dead connection holds metrics back for a minute. What is
 * missing after two is missing for good.
 */
async function completeAccount(stretch: Stretch, world: ProducerWorld): Promise<StretchAccount> {
  const account = async () => {
    await world.stored();
    return accountFor(stretch, world.hosts, await world.rows(), world.requests);
  };
  const isComplete = async () => (await account()).missing.length === 0;
  await eventually(isComplete, () => "Rows are missing", { timeout: COMPLETE_LIMIT, interval: 500 }).catch(() => {});
  return await account();
}

/** All faults in random orders, until the time is over. */
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
  await world.settled();
  await world.pass(...CALM);
  return { fault: fault.name, from, to: Date.now(), strikes, struck, isSkewed: fault.isSkewed ?? false };
}

function describe({ name }: ProducerFault, { from, to }: Stretch, account: StretchAccount): string {
  const { due, missing, twice, stray, beyond, missed, hole, late, unmoved } = account;
  const reasons = [...missed].map(([why, count]) => `${count} ${why}`).join("; ");
  return `${name}: ${
    ((to - from) / 1000).toFixed(0)
  } s, ${due} due, ${missing.length} missing, ${twice.length} twice, ` +
    `${stray.length} stray, ${beyond.length} requests beyond, hole ${(hole / 1000).toFixed(1)} s, ` +
    `99 of 100 late by up to ${percentile99(late).toFixed(0)} ms, ` +
    `${unmoved.length} unmoved missed; missed: ${reasons || "none"}`;
}

/** The part of a core, and the memory, of each producer that was there all the time. */
function describeUsage(
  before: ReadonlyMap<string, Usage>,
  after: ReadonlyMap<string, Usage>,
  { from, to }: Stretch,
): string {
  return [...after].flatMap(([name, { cpu, memory }]) => {
    const earlier = before.get(name);
    if (earlier === undefined) return [];
    return [`; ${name}: ${((cpu - earlier.cpu) * 1000 / (to - from)).toFixed(2)} cores, ${memory.toFixed(0)} MB`];
  }).join("");
}

function problemsOf(fault: ProducerFault, { from, to }: Stretch, account: StretchAccount): readonly string[] {
  const { missing, twice, stray, beyond, hole, unmoved } = account;
  const found: [what: string, where: readonly string[]][] = [
    ["due times without a row", missing],
    ["due times with two rows", twice],
    ["rows of no due time", stray],
    ["requests beyond one a due time", fault.mayRepeat ? [] : beyond],
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
  const add = (key: "due" | "rows" | "times") => all.reduce((sum, one) => sum + one[key], 0);
  const join = (key: "missing" | "twice" | "stray" | "beyond" | "unmoved") => all.flatMap((one) => one[key]);
  const missed = new Map<string, number>();
  for (const one of all) for (const [why, count] of one.missed) missed.set(why, (missed.get(why) ?? 0) + count);
  return {
    fault: first.fault,
    ...{ times: add("times"), due: add("due"), rows: add("rows") },
    ...{ missing: join("missing"), twice: join("twice"), stray: join("stray"), beyond: join("beyond") },
    ...{
      unmoved: join("unmoved"),
      late: all.flatMap(({ late }) => late),
      missed,
      hole: Math.max(...all.map(({ hole }) => hole)),
    },
  };
}

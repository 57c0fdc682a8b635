import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import { Random } from "../support/random.ts";
import type { Combination } from "./combinations.ts";
import { accountForDays, type DayAccount } from "./day_account.ts";
import type { Fault } from "./fault.ts";
import type { Account } from "./ledger.ts";
import { accountForIncidents, type Incidents, type IncidentSummary, problemsOf, summary } from "./incidents/account.ts";
import { FIRST_DAY } from "./numbers.ts";
import { openWorld, type Start, TABLE, type World } from "./world.ts";

export interface CampaignOptions {
  readonly combination: Combination;
  readonly faults: readonly Fault[];
  readonly seed: number;
  /** Metrics a second. */
  readonly rate: number;
  /** The consumers' `--kafka-start`. Undefined: drawn at random. */
  readonly start: Start | undefined;
  /**
   * 0: each fault strikes once, and briefly. Else faults strike again and again, for so many
   * minutes.
   */
  readonly minutes: number;
  /** Ends the campaign after the fault under way. */
  readonly stop: AbortSignal;
  say(line: string): void;
}

/** Numbers that belong to a fault: from its strike until all of them are stored. */
interface Stretch {
  readonly fault: string;
  readonly times: number;
  readonly from: number;
  readonly to: number;
  /** Times of the plan, from the healing of the fault before. */
  readonly planned: { readonly from: number; readonly to: number };
}

export interface Line extends Omit<Account, "samples" | "excused" | "rejected"> {
  readonly fault: string;
  readonly times: number;
  readonly incidents: IncidentSummary | null;
}

export interface Report {
  readonly lines: readonly Line[];
  readonly total: Account;
  readonly incidents: IncidentSummary | null;
  /** Null: the campaign came to no end. */
  readonly days: DayAccount | null;
  /** The broken promises; empty where all were kept. */
  readonly problems: readonly string[];
}

/** So many numbers must be made and stored after a fault is healed: some for each partition. */
const ENOUGH = 100;
/** So many ticks of the plan, too. */
const ENOUGH_TICKS = 24;
/** How likely it is that a second fault strikes while the first one lasts: 0 to 1. */
const DOUBLE = 0.3;

/** Strikes one combination with faults, and accounts for all numbers. */
export async function campaign(options: CampaignOptions): Promise<Report> {
  const { combination, rate, minutes, seed } = options;
  const random = new Random(seed);
  const start = options.start ?? random.pick(["earliest", "latest"]);
  options.say(`begins, with --kafka-start ${start}`);
  await using world = await openWorld({ combination, random, rate, isShort: minutes === 0, start });
  const stretches: Stretch[] = [];
  const problems: string[] = [];
  let incidents: Incidents | null = null;
  let last = "the start";
  try {
    for (const fault of plan(options, world)) {
      last = fault.name;
      const struck = await strike(fault, options, world);
      stretches.push(...struck);
      if (minutes > 0) {
        const wrong = problemsOf(accountForIncidents(await world.planned.incidents()));
        if (wrong.length > 0) {
          problems.push(`the incidents are not as planned after ${fault.name}`, await describe(world));
          break;
        }
      }
      world.planned.resume();
      const doubled = await world.ledger.doubled(struck[0]?.from ?? 0, world.source.made);
      if (doubled.length === 0) continue;
      // At once: the topic may soon be another one.
      problems.push(`${doubled.length} are twice after ${fault.name}`, await whereabouts(doubled, world));
      problems.push(await describe(world));
      break;
    }
    await world.source.pause();
    await world.recovered(0);
    await world.planned.rest();
    await world.planned.tellAll();
    incidents = await world.planned.incidents();
    problems.push(...await world.planned.lostRows(), ...problemsOf(accountForIncidents(incidents)));
  } catch (error) {
    options.say(`gives up after ${last}: ${(error as Error).message}`);
    problems.push(`after ${last}: ${(error as Error).stack}`, await describe(world));
  }
  await world.source.pause();
  problems.push(...world.crew.surprises);
  await world.crew.dismissAll();
  const total = await world.ledger.account(world.source.made);
  if (total.twice + total.lost > 0) {
    problems.push(`twice or lost, among others: ${total.samples.join(", ")}`, await whereabouts(total.samples, world));
  }
  const days = await accountForDays(world.postgres, TABLE, FIRST_DAY).catch(({ stack }: Error) => {
    problems.push(`the days could not be compared: ${stack}`);
    return null;
  });
  problems.push(...days?.problems ?? []);
  return { lines: await lines(stretches, world, incidents), total, incidents: summary(incidents), days, problems };
}

/**
 * The places of numbers in the topic, and the doubts of the generator. A number that is in the
 * topic twice was sent twice.
 */
async function whereabouts(all: readonly number[], { topic, source, ledger }: World): Promise<string> {
  const numbers = all.slice(0, 20);
  const { partitions } = await topic.describe();
  const logs = await Promise.all(Array.from({ length: partitions }, (_, partition) => topic.read(partition, 0)));
  const found = logs.flatMap((log, partition) =>
    log.filter(({ number }) => number !== null && numbers.includes(number))
      .map(({ number, offset }) => `${number} at ${partition}:${offset}`)
  );
  const doubts = source.uncertain.map(([from, to]) => `${from}-${to}`);
  const skips = await ledger.skips();
  return `in the topic: ${found.join(", ") || "none"}; the generator was in doubt of ${
    doubts.slice(-30).join(", ")
  }; ` +
    `marks were moved:\n${skips.join("\n")}`;
}

/**
 * A short run strikes each fault once. Any other goes through all faults in random orders, until
 * the time is over.
 */
function* plan({ faults, minutes, say, stop }: CampaignOptions, world: World): Generator<Fault> {
  const possible = faults.filter((fault) => {
    const missing = fault.missing?.(world) ?? null;
    if (missing !== null) say(`${fault.name} is left out: ${missing}`);
    return missing === null;
  });
  const end = performance.now() + minutes * 60_000;
  do {
    for (const fault of world.random.shuffled(possible)) {
      yield fault;
      if (stop.aborted || (minutes > 0 && performance.now() > end)) return;
    }
  } while (minutes > 0 && possible.length > 0);
}

/**
 * Strikes, and now and then strikes a second fault while the first one lasts. Waits until
 * everything is stored again.
 */
async function strike(fault: Fault, { faults, say }: CampaignOptions, world: World): Promise<Stretch[]> {
  const { random, source, planned, crew, isShort } = world;
  const plannedFrom = planned.now;
  await delay(random.between(200, isShort ? 500 : 3000));
  if (fault.isCalm) {
    await source.pause();
    await world.recovered(0);
  }
  if (fault.isCalm || fault.restsPlan) await planned.rest();
  const from = Math.max(0, source.made - 2000);
  const others = faults.filter(({ part, lasts, isCalm, needsFlow }) =>
    part !== fault.part && part !== "broker" && lasts === undefined && !isCalm && !needsFlow
  );
  const isDouble = !isShort && !fault.isCalm && fault.lasts !== undefined && others.length > 0 &&
    random.next() < DOUBLE;
  const second = isDouble ? random.pick(others) : undefined;
  crew.mayGiveUp = fault.mayGiveUp ?? false;
  const began = performance.now();
  const struck = await fault.strike(world) ?? {};
  const more = second === undefined ? {} : await second.strike(world) ?? {};
  if (fault.lasts !== undefined) await world.pass(...fault.lasts[isShort ? "short" : "long"]);
  await more.heal?.();
  await struck.heal?.();
  const healed = performance.now();
  source.resume();
  planned.resume();
  const [enough, enoughTicks] = [source.made + ENOUGH, planned.made + (isShort ? 1 : ENOUGH_TICKS)];
  const isMaking = () => {
    world.expectBroker();
    return source.made >= enough && planned.made >= enoughTicks;
  };
  await eventually(isMaking, () => `The generator makes nothing more after ${fault.name}`, { timeout: 300_000 });
  await world.recovered(from);
  // A short run compares at the end alone.
  if (!isShort || fault.part === "receiver") await planned.rest();
  if (fault.part === "receiver") await planned.tellAll();
  // A consumer that gives up because of the fault may do so a moment after the healing.
  crew.mayGiveUp = false;
  const seconds = (since: number, until: number) => ((until - since) / 1000).toFixed(1);
  const name = second === undefined ? fault.name : `${fault.name} + ${second.name}`;
  say(`${name}: lasted ${seconds(began, healed)} s, all stored ${seconds(healed, performance.now())} s later`);
  const to = source.made;
  const stretch = { from, to, planned: { from: plannedFrom, to: planned.now } };
  const stretches = [{ fault: fault.name, times: struck.times ?? 1, ...stretch }];
  if (second !== undefined) stretches.push({ fault: second.name, times: more.times ?? 1, ...stretch });
  return stretches;
}

async function lines(
  stretches: readonly Stretch[],
  world: World,
  incidents: Incidents | null,
): Promise<Line[]> {
  const byFault = Map.groupBy(stretches, ({ fault }) => fault);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return await Promise.all([...byFault].map(async ([fault, parts]) => {
    const accounts = await Promise.all(parts.map(({ from, to }) => world.ledger.stretch(from, to)));
    const add = (key: "made" | "rows" | "twice" | "lost") => sum(accounts.map((account) => account[key]));
    const times = sum(parts.map((part) => part.times));
    const counts = { made: add("made"), rows: add("rows"), twice: add("twice"), lost: add("lost") };
    return { fault, times, ...counts, incidents: summary(incidents, parts.map(({ planned }) => planned)) };
  }));
}

/** Facts that help a person to find out why something is not stored. */
async function describe(world: World): Promise<string> {
  const words = world.crew.members.map(({ running, group }, i) =>
    `consumer ${i} of group ${group}:\n${running.stderr.split("\n").slice(-15).join("\n")}`
  );
  // The struck part may be unable to answer. The report must come all the same.
  const places = await describePlaces(world).catch(({ message }: Error) => [`no word from the broker: ${message}`]);
  const said = await readFile(world.broker.log, "utf8").catch(() => "");
  const generator = `the generator:\n${world.source.words.join("\n")}`;
  return [...places, ...words, generator, `the broker:\n${said.split("\n").slice(-15).join("\n")}`].join("\n");
}

async function describePlaces({ topic, marks: readMarks, expectBroker }: World): Promise<readonly string[]> {
  expectBroker();
  const { partitions } = await topic.describe();
  const marks = await readMarks();
  const ends = await Promise.all(Array.from({ length: partitions }, (_, partition) => topic.bound(partition, -1)));
  return ends.map((end, partition) => `partition ${partition}: mark ${marks.get(partition)}, end ${end}`);
}

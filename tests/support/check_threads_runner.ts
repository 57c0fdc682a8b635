// Makes checks in threads, ends threads meanwhile, and prints what has come of it as JSON. The tests
// run this under each runtime.
import { exit, stdout } from "node:process";
import { Worker } from "node:worker_threads";
import { openLargeMatcher } from "../../lib/check/matching.ts";
import { CheckThreads, type CheckThreadsOptions, type ThreadEnd } from "../../lib/check/threads.ts";
import { startCheckWorker } from "../../lib/check/threads/worker.ts";
import { dueTimeId, type Metric } from "../../lib/metric.ts";
import { eventually } from "./eventually.ts";
import { hostsOf } from "./simulation.ts";
import { answer, openSite, type Site } from "./site.ts";

/** What has come of a check. */
export interface Outcome extends Pick<Metric, "status_code" | "is_valid" | "error" | "error_detail" | "scheduled_at"> {
  /** True if its `check_id` is that of its due time, as every member of a group has it. */
  readonly isOfDueTime: boolean;
}

/** What each of the scenarios gives. */
export interface Scenarios {
  /** Small and large pages, with patterns and without. */
  readonly pages: Readonly<Record<string, Outcome>>;
  /** How many threads were started for them. */
  readonly started: number;
  /** Checks that were under way when their threads ended, and one after that. */
  readonly ended: {
    readonly outcomes: readonly Outcome[];
    readonly ends: readonly ThreadEnd[];
    readonly later: Outcome;
  };
  /** The reason of a check that was given up; its connection is closed. */
  readonly givenUp: string;
  /** Why threads cannot start: all of them, and the one that is to take another's place. */
  readonly failures: readonly string[];
  /** How many checks a thread takes that has not begun them, and whether it takes more behind them. */
  readonly room: { readonly least: boolean; readonly isLimited: boolean; readonly comesBack: boolean };
}

const DUE = 1_000_000;
const never = new AbortController().signal;
const matcher = openLargeMatcher();
const LARGE = `${"x".repeat(300_000)}END`;

/** The workers that were started, in their order. */
class Workers {
  readonly all: Worker[] = [];
  /** From this one on they cannot start. */
  readonly #broken: number;

  constructor(broken = Infinity) {
    this.#broken = broken;
  }

  readonly start: NonNullable<CheckThreadsOptions["start"]> = (settings) => {
    const isBroken = this.all.length >= this.#broken;
    const worker = isBroken ? new Worker(new URL("nothing.ts", import.meta.url)) : startCheckWorker(settings);
    this.all.push(worker);
    return worker;
  };
}

const SETTINGS = {
  ...{ timeout: 60, location: "here", producer: "me", isGrouped: false, userAgent: "threads-test" },
  ...{ blockPrivateAddresses: false, denoCertificatesFile: null },
};

function open(workers: Workers, more: Partial<CheckThreadsOptions> = {}): Promise<CheckThreads> {
  return CheckThreads.open({
    threads: 2,
    settings: SETTINGS,
    matcher,
    start: workers.start,
    replaced() {},
    failed() {},
    ...more,
  });
}

const outcomeOf = (
  { address, check_id, status_code, is_valid, error, error_detail, scheduled_at }: Metric,
): Outcome => {
  const isOfDueTime = check_id === dueTimeId(SETTINGS.location, address, new Date(DUE));
  return { status_code, is_valid, error, error_detail, scheduled_at, isOfDueTime };
};

async function roomIn(checker: CheckThreads): Promise<void> {
  if (!checker.hasRoom) await new Promise<void>((resolve) => checker.whenRoom(resolve));
}

async function check(checker: CheckThreads, line: string, signal = never): Promise<Outcome> {
  await roomIn(checker);
  const [host] = hostsOf(line);
  if (host === undefined) throw new TypeError("A line has a host");
  return outcomeOf(await checker.check(host, DUE, signal));
}

/** A body that is longer than a check reads; its end follows in the same piece. */
const TOO_LARGE = Buffer.from(
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${
    `10000\r\n${"x".repeat(65_536)}\r\n`.repeat(16)
  }1\r\nx\r\n0\r\n\r\n`,
);

/** Answers each page at once, but for `/held`. */
const openPages = () =>
  openSite((socket, { path }) => {
    if (path === "/cut") socket.end(TOO_LARGE);
    else if (!path.startsWith("/held")) socket.end(answer("200 OK", {}, path.startsWith("/large") ? LARGE : "small"));
  });

async function pages(site: Site): Promise<Pick<Scenarios, "pages" | "started">> {
  const workers = new Workers();
  await using checker = await open(workers);
  const lines = {
    "/small": "(small)",
    "/small#other": "(large)",
    "/large": "(x+END$)",
    "/large#other": "(y+)",
    "/cut": "(y+)",
    "/": "",
  };
  const found = Object.entries(lines).map(async ([path, pattern]) =>
    [path, await check(checker, `http://127.0.0.1:${site.port}${path} 1h ${pattern}`)] as const
  );
  return { pages: Object.fromEntries(await Promise.all(found)), started: workers.all.length };
}

async function ended(site: Site): Promise<Scenarios["ended"]> {
  const [workers, ends] = [new Workers(), [] as ThreadEnd[]];
  // In a group another member may have made the check: its row takes the place of this one.
  const settings = { ...SETTINGS, isGrouped: true };
  await using checker = await open(workers, { settings, replaced: (end) => void ends.push(end) });
  const before = site.requests.length;
  const held = Array.from(
    { length: 10 },
    (_, index) => check(checker, `http://127.0.0.1:${site.port}/held/${index} 1h`),
  );
  await eventually(() => site.requests.length === before + held.length, () => "no request");
  await Promise.all(workers.all.slice(0, 2).map((worker) => worker.terminate()));
  const outcomes = await Promise.all(held);
  await eventually(() => ends.length === 2, () => "no other thread");
  return { outcomes, ends, later: await check(checker, `http://127.0.0.1:${site.port}/small 1h (small)`) };
}

async function givenUp(site: Site): Promise<string> {
  await using checker = await open(new Workers());
  const [before, signal] = [site.requests.length, new AbortController()];
  const checking = check(checker, `http://127.0.0.1:${site.port}/held/given-up 1h`, signal.signal);
  await eventually(() => site.requests.length > before && site.open === 1, () => "no request");
  signal.abort(new Error("the program ends"));
  const reason = await checking.catch((error: Error) => error.message);
  await eventually(() => site.open === 0, () => "an open connection");
  return String(reason);
}

async function failures(): Promise<readonly string[]> {
  const all = await open(new Workers(0)).then(() => "they start", (error: Error) => error.message);
  const { promise, resolve } = Promise.withResolvers<string>();
  const workers = new Workers(1);
  await using _checker = await open(workers, { threads: 1, failed: (error) => resolve(error.message) });
  await workers.all[0]?.terminate();
  return [all, await promise];
}

async function room(site: Site): Promise<Scenarios["room"]> {
  await using checker = await open(new Workers(), { threads: 1 });
  const givingUp = new AbortController();
  const checks: Promise<unknown>[] = [];
  while (checker.hasRoom && checks.length < 1000) {
    const [host] = hostsOf(`http://127.0.0.1:${site.port}/held/room/${checks.length} 1h`);
    if (host !== undefined) checks.push(checker.check(host, DUE, givingUp.signal).catch(() => {}));
  }
  await roomIn(checker);
  const comesBack = checker.hasRoom;
  givingUp.abort();
  await Promise.all(checks);
  return { least: checks.length > 1, isLimited: checks.length < 1000, comesBack };
}

await using site = await openPages();
const scenarios: Scenarios = {
  ...await pages(site),
  ended: await ended(site),
  givenUp: await givenUp(site),
  failures: await failures(),
  room: await room(site),
};
await matcher[Symbol.asyncDispose]();
stdout.write(`${JSON.stringify(scenarios)}\n`, () => exit(0));

import { describe, expect, it } from "vitest";
import { atOnce } from "../../lib/async/pieces.ts";
import { type Recall, Scheduler } from "../../lib/check/scheduler.ts";
import type { Host } from "../../lib/hosts/hosts.ts";
import { nextDue } from "../../lib/hosts/schedule.ts";
import { Random } from "../support/random.ts";
import { type Begun, type Course, hostsOf, NOON, Simulation } from "../support/simulation.ts";

const SECOND = 1000;
const HOUR = 3600 * SECOND;

const latenessOf = ({ scheduledAt, at }: Begun) => at.wall - scheduledAt;
const gaps = (numbers: readonly number[]) => numbers.slice(1).map((number, index) => number - (numbers[index] ?? NaN));
const numbered = (count: number, frequency: string) =>
  Array.from({ length: count }, (_, index) => `host${index}.example ${frequency}`);

describe("Scheduler, first checks", () => {
  it("lets hosts that wait more than 30 s be checked soon, at 50 a second, and then at their own due times", () => {
    const { begun } = new Simulation(hostsOf(...numbered(100, "1h"))).run(HOUR);
    const early = begun.slice(0, 100);
    expect(early.map(({ at }) => at.steady)).toEqual(Array.from({ length: 100 }, (_, index) => index * 20));
    expect(early.map(latenessOf)).toEqual(Array(100).fill(0));
    expect(new Set(begun.slice(100).map(({ address }) => address)).size).toBe(begun.length - 100);
    expect(begun.length).toBeGreaterThanOrEqual(199);
  });

  it.each([
    ["30s", 30 * SECOND],
    ['"0 13 * * *"', HOUR],
    ['"*/5 * * * *"', 300 * SECOND],
  ])("lets a host with the frequency %s wait for its first due time", (frequency, longest) => {
    const { begun } = new Simulation(hostsOf(`a.example ${frequency}`)).run(longest);
    expect(begun.length).toBe(1);
    expect(begun.map(latenessOf)).toEqual([0]);
  });

  it("checks every host once, in order and each as soon as there is a slot, where it is to be once", () => {
    const simulation = new Simulation(hostsOf(...numbered(10, "1s")), { once: true, concurrency: 3 });
    expect(simulation.scheduler.isOver).toBe(false);
    simulation.run(HOUR);
    expect(simulation.scheduler.isOver).toBe(true);
    expect(simulation.begun.map(({ at }) => at.steady)).toEqual([0, 0, 0, 50, 50, 50, 100, 100, 100, 150]);
    expect(new Set(simulation.begun.map(({ address }) => address)).size).toBe(10);
    expect(simulation.missed).toEqual([]);
  });
});

describe("Scheduler, in the long run", () => {
  it("keeps to the grid over 10,000 ticks, though every check ends at another moment", () => {
    let tick = 0;
    const { begun, missed } = new Simulation(hostsOf("a.example 30s"), {
      course: () => ({ takes: tick++ * 7919 % 30_000 }),
    }).run(10_000 * 30 * SECOND);
    expect(begun.length).toBe(10_000);
    expect(new Set(gaps(begun.map(({ scheduledAt }) => scheduledAt)))).toEqual(new Set([30 * SECOND]));
    expect(missed).toEqual([]);
  });

  it("waits a year for a yearly cron, without a hot loop", () => {
    const simulation = new Simulation(hostsOf('a.example "0 0 1 1 *"'));
    expect(simulation.scheduler.next).toBe(Date.parse("2027-01-01T00:00:00Z"));
    simulation.run(HOUR);
    // The caller looks once a second, to notice a change of the clock.
    expect(simulation.turns).toBeLessThanOrEqual(3602);
    expect(simulation.begun).toEqual([]);
  });
});

describe("Scheduler, due times that pass without a check", () => {
  const CASES: readonly [what: string, frequency: string, takes: number, checked: number, lost: number][] = [
    ["a check of 1.5 intervals", "10s", 15_000, 500, 499],
    ["a check of 2.05 intervals, two of which in three begin a little late", "10s", 20_500, 429, 571],
    ["a check of 7.5 intervals", "10s", 75_000, 125, 868],
    ["a check that ends a little after its interval, as with a timeout of the same length", "10s", 10_003, 997, 2],
  ];
  it.each(CASES)("%s: each due time is checked or lost, and none twice at a time", (_, frequency, takes, ...counts) => {
    const simulation = new Simulation(hostsOf(`a.example ${frequency}`), { course: () => ({ takes }) });
    simulation.run(10_000 * SECOND);
    const { checked, lost } = simulation.dueTimes("a.example");
    expect(simulation.mostOfOne).toBe(1);
    expect(new Set(gaps([...checked, ...lost].sort((a, b) => a - b)))).toEqual(new Set([10_000]));
    expect(checked.length).toBeGreaterThanOrEqual(counts[0] - 2);
    expect(checked.length).toBeLessThanOrEqual(counts[0] + 2);
    expect(lost.length).toBeGreaterThanOrEqual(counts[1] - 10);
    expect(new Set(simulation.missed.map(({ cause }) => cause))).toEqual(new Set(["running"]));
  });

  it("loses due times for which no slot was free until the next one, and lets hosts begin in the order of their due times", () => {
    const simulation = new Simulation(hostsOf(...numbered(5, "1s")), {
      concurrency: 1,
      course: () => ({ takes: 700 }),
    }).run(100 * SECOND);
    expect(simulation.most).toBe(1);
    for (let index = 0; index < 5; index++) {
      const { checked, lost } = simulation.dueTimes(`host${index}.example`);
      // Every host gets its part of the checks.
      expect(checked.length).toBeGreaterThanOrEqual(27);
      expect(new Set(gaps([...checked, ...lost].sort((a, b) => a - b)))).toEqual(new Set([1000]));
    }
    expect(simulation.missed.map(({ cause }) => cause)).toContain("waiting");
  });

  it("says whether the program stood still, or might not check as a member of a group", () => {
    const scheduler = new Scheduler(hostsOf("a.example 1s"), 10, { wall: NOON, steady: 0 });
    const advance = (time: number) => scheduler.advance({ wall: NOON + time, steady: time });
    const causes = () => scheduler.takeLosses().map(({ cause }) => cause);
    advance(3100);
    expect(new Set(causes())).toEqual(new Set(["stalled"]));
    scheduler.hold(true);
    for (let time = 3200; time < 6200; time += 100) advance(time);
    expect(new Set(causes())).toEqual(new Set(["unheard"]));
    scheduler.hold(false);
    for (let time = 6200; time < 9000; time += 100) advance(time);
    expect(new Set(causes())).toEqual(new Set(["waiting"]));
  });

  it("tells of 100 lost in a row, and of the others in one, as soon as the next check begins", () => {
    let takes = 500 * SECOND;
    const simulation = new Simulation(hostsOf("a.example 1s"), { course: () => ({ takes }) }).run(400 * SECOND);
    takes = 50;
    const { lost } = simulation.dueTimes("a.example");
    expect(lost.length).toBe(100);
    simulation.run(102 * SECOND);
    const [summary, ...others] = simulation.missed.filter(({ summary }) => summary !== null);
    expect(others).toEqual([]);
    const [first = NaN, second = NaN] = simulation.dueTimes("a.example").checked;
    expect(summary?.count).toBe((second - first) / 1000 - 1 - 100);
    expect(summary?.first).toBe((lost[99] ?? NaN) + 1000);
  });

  it("tells of what was not told yet when it is closed", () => {
    const simulation = new Simulation(hostsOf("a.example 1s"), { course: () => ({ takes: HOUR }) }).run(150 * SECOND);
    simulation.scheduler.close();
    // One of 150 due times is checked. 100 were reported one by one.
    expect(simulation.scheduler.takeLosses()).toMatchObject([{ count: 49, summary: {} }]);
    simulation.run(2 * HOUR);
    expect(simulation.begun.length).toBe(1);
    expect(simulation.scheduler.isOver).toBe(true);
  });
});

describe("Scheduler, after a sleep or a clock set forward", () => {
  const CASES: readonly [string, number, number, { lost: number; more: number }][] = [
    ["10s", 60 * SECOND, 100, { lost: 6, more: 0 }],
    ["10s", HOUR, 100, { lost: 100, more: 260 }],
    ["1s", 30 * 24 * HOUR, 10, { lost: 100, more: 2_591_900 }],
    ['"*/10 * * * * *"', HOUR, 10, { lost: 100, more: 260 }],
  ];
  it.each(CASES)("of hosts every %s, %i ms: each lost tick is told of, and no burst follows", (
    frequency,
    asleep,
    hosts,
    expected,
  ) => {
    const simulation = new Simulation(hostsOf(...numbered(hosts, frequency)));
    // Half a second later no check is under way.
    simulation.run(30.5 * SECOND);
    const before = simulation.begun.length;
    simulation.jump(asleep).run(0);
    expect(simulation.begun.length).toBe(before);
    simulation.run(20 * SECOND);
    expect(simulation.begun.slice(before).map(latenessOf).every((late) => late === 0)).toBe(true);
    const told = simulation.missed.filter(({ host }) => host.address === "host0.example");
    const sum = (missed: typeof told) => missed.reduce((sum, { count }) => sum + count, 0);
    expect({
      lost: sum(told.filter(({ summary }) => summary === null)),
      more: sum(told.filter(({ summary }) => summary !== null)),
    }).toEqual(expected);
  });

  it("counts a cron expression's lost due times to the last one", () => {
    const simulation = new Simulation(hostsOf('a.example "* * * * * *"')).run(1.5 * SECOND);
    simulation.jump(365 * 24 * HOUR).run(3 * SECOND);
    const summary = simulation.missed.find(({ summary }) => summary !== null);
    expect(summary?.count).toBe(365 * 24 * 3600 - 100);
  });

  it("trusts no check that was under way meanwhile: its due time is lost too", () => {
    const simulation = new Simulation(hostsOf("a.example 10s", "b.example 1h"), { course: () => ({ takes: 9000 }) });
    simulation.run(8 * SECOND);
    const running = [...simulation.begun];
    expect(running.length).toBe(2);
    simulation.jump(60 * SECOND).run(9 * SECOND);
    for (const { address, scheduledAt } of running) {
      expect(simulation.missed).toContainEqual(
        expect.objectContaining({ first: scheduledAt, cause: "asleep", host: expect.objectContaining({ address }) }),
      );
    }
  });

  it("makes up for a short stall: what is at most 5 s late is checked", () => {
    const simulation = new Simulation(hostsOf(...numbered(50, "1h"))).run(1);
    const next = simulation.scheduler.next - simulation.now.wall;
    simulation.jump(next + 4000).run(0);
    expect(simulation.missed).toEqual([]);
    expect(Math.max(...simulation.begun.map(latenessOf))).toBe(4000);
  });
});

/** These numbers look random, and are the same in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

it.each(Array.from({ length: 30 }, (_, seed) => seed))(
  "Scheduler accounts for every due time once, in whatever order things happen: %i",
  (seed) => {
    const random = randomFrom(seed);
    const hosts = hostsOf(...Array.from({ length: 30 }, (_, index) => `host${index}.example ${1 + random(20)}s`));
    const simulation = new Simulation(hosts, {
      concurrency: 1 + random(30),
      course: () => random(5) === 0 ? { takes: random(30_000), fails: true } : { takes: random(500) },
    });
    for (let round = 0; round < 50; round++) {
      simulation.run(random(20_000));
      if (random(4) === 0) simulation.jump(random(random(2) === 0 ? 4000 : 400_000));
    }
    simulation.close();
    expect(simulation.mostOfOne).toBe(1);
    for (const { address, frequency } of hosts) {
      const { checked, lost, summed } = simulation.dueTimes(address);
      const { interval } = frequency as Extract<typeof frequency, { kind: "interval" }>;
      expect(new Set(gaps([...checked, ...lost, ...summed].sort((a, b) => a - b)))).toEqual(new Set([interval]));
    }
  },
);

describe("Scheduler, with the wall clock set back", () => {
  const CASES: readonly [frequency: string, back: number, interval: number][] = [
    ["10s", HOUR, 10 * SECOND],
    ["10s", 1500, 10 * SECOND],
    ["10s", 300, 10 * SECOND],
    ["10s", 12_345, 10 * SECOND],
    ['"*/10 * * * * *"', HOUR, 10 * SECOND],
    ["1h", 10 * SECOND, HOUR],
    ["1d", HOUR, 24 * HOUR],
    ['"0 3 * * *"', HOUR, 24 * HOUR],
  ];
  it.each(CASES)("every %s, by %i ms: no check comes sooner than it would have, or much later, and none is lost", (
    frequency,
    back,
    interval,
  ) => {
    // By then the early checks have ended.
    const simulation = new Simulation(hostsOf(...numbered(20, frequency))).run(Math.max(60 * SECOND, 2.5 * interval));
    simulation.jump(-back).run(3 * interval);
    for (let index = 0; index < 20; index++) {
      const steady = simulation.begun.filter(({ address }) => address === `host${index}.example`).slice(1)
        .map(({ at }) => at.steady);
      expect(Math.min(...gaps(steady))).toBeGreaterThanOrEqual(interval);
      expect(Math.max(...gaps(steady))).toBeLessThan(2 * interval);
    }
    expect(simulation.missed).toEqual([]);
    expect(simulation.begun.map(latenessOf).every((late) => late >= 0)).toBe(true);
  });
});

describe("Scheduler, with hosts that never answer", () => {
  /** One host in five holds its slot for 10 s, and then fails. */
  const course = (address: string): Course =>
    Number(/\d+/.exec(address)?.[0]) % 5 === 0 ? { takes: 10_003, fails: true } : { takes: 100 };

  it("lets the others begin in time once it knows them, though they could hold all slots", () => {
    // 200 of the hosts are dead, and there are 100 slots.
    const simulation = new Simulation(hostsOf(...numbered(1000, "10s")), { concurrency: 100, course });
    simulation.run(30 * SECOND);
    const before = simulation.begun.length;
    simulation.run(120 * SECOND);
    const since = simulation.begun.slice(before);
    const live = since.filter(({ address }) => course(address).takes === 100);
    expect(live.length).toBe(800 * 12);
    expect(Math.max(...live.map(latenessOf))).toBe(0);
    // The dead hosts use their whole part of the slots, and each of them gets slots.
    const dead = since.filter(({ address }) => course(address).takes !== 100);
    expect(dead.length).toBeGreaterThan(75 * 11);
    expect(new Set(dead.map(({ address }) => address)).size).toBe(200);
  });

  it("believes a host that it answers again as soon as it does", () => {
    let isDown = true;
    const simulation = new Simulation(hostsOf(...numbered(10, "1s")), {
      concurrency: 4,
      course: () => isDown ? { takes: 2000, fails: true } : { takes: 10 },
    }).run(20 * SECOND);
    isDown = false;
    simulation.run(10 * SECOND);
    const before = simulation.missed.length;
    simulation.run(60 * SECOND);
    expect(simulation.missed.length).toBe(before);
  });
});

describe("Scheduler, after a start with 60 hosts that never answer, 28 that do, and 8 slots", () => {
  const isDead = (address: string) => Number(/\d+/.exec(address)?.[0]) % 22 < 15;
  const lines = numbered(88, "10s");
  const course = (address: string): Course => isDead(address) ? { takes: 10_000, fails: true } : { takes: 100 };
  const open = (recall?: Recall) =>
    new Simulation(hostsOf(...lines), { concurrency: 8, course, ...(recall === undefined ? {} : { recall }) });
  const ofTheLive = <T>(each: readonly T[], addressOf: (one: T) => string) =>
    each.filter((one) => !isDead(addressOf(one)));

  it("misses no check of those that answer, from the first moment on, and checks them in time once it knows them", () => {
    const simulation = open().run(130 * SECOND);
    const live = ofTheLive(simulation.begun, ({ address }) => address);
    expect(live.length).toBe(28 * 13);
    expect(ofTheLive(simulation.missed, ({ host }) => host.address)).toEqual([]);
    const later = live.filter(({ at }) => at.steady > 20 * SECOND);
    expect(Math.max(...later.map(latenessOf))).toBe(0);
    expect(simulation.most).toBe(8);
  });

  it("gives those that never answer their verdicts: each in its turn, and as many as their slots have room for", () => {
    const simulation = open().run(130 * SECOND);
    const isJudged = (begun: Begun) => isDead(begun.address) && !simulation.gaveWay.has(begun);
    // 6 slots for checks of 10 s each. In the first 20 s other hosts come first.
    expect(simulation.begun.filter(isJudged).length).toBeGreaterThanOrEqual(6 * 11);
    expect(new Set(simulation.begun.filter(isJudged).map(({ address }) => address)).size).toBe(60);
    // No host gives way twice. Each due time is checked or lost, and just once.
    expect(simulation.gaveWay.size).toBe(new Set([...simulation.gaveWay].map(({ address }) => address)).size);
    expect(new Set(simulation.missed.map(({ cause }) => cause))).toEqual(new Set(["suspect", "running"]));
    for (const line of lines) {
      const { checked, lost, summed } = simulation.close().dueTimes(line.split(" ")[0] as string);
      expect(new Set(gaps([...checked, ...lost, ...summed].sort((a, b) => a - b)))).toEqual(new Set([10_000]));
    }
  });

  it("does the same where hosts that answered all stop at once", () => {
    let isOut = false;
    const simulation = new Simulation(hostsOf(...lines), {
      concurrency: 8,
      course: (address) => isOut ? course(address) : { takes: 100 },
    }).run(30 * SECOND);
    expect(simulation.missed).toEqual([]);
    isOut = true;
    simulation.run(130 * SECOND);
    const lost = ofTheLive(simulation.missed, ({ host }) => host.address);
    expect(lost.length).toBeLessThanOrEqual(3);
    expect(simulation.most).toBe(8);
  });

  it("lets no check give way where each host has one turn, nor where nobody waits who may be quick", () => {
    const once = new Simulation(hostsOf(...lines), { concurrency: 8, course, once: true }).run(HOUR);
    expect(once.begun.length).toBe(88);
    const dead = hostsOf(...numbered(6, "1h"));
    const alone = new Simulation(dead, { concurrency: 8, course: () => ({ takes: 10_000, fails: true }) }).run(HOUR);
    expect([once.gaveWay.size, alone.gaveWay.size]).toEqual([0, 0]);
  });

  it("loses none of them where an earlier run knew those that never answer", () => {
    const simulation = open((address) => isDead(address) ? "suspect" : "unknown").run(60 * SECOND);
    const live = ofTheLive(simulation.begun, ({ address }) => address);
    expect(live.length).toBe(28 * 6);
    expect(Math.max(...live.map(latenessOf))).toBeLessThan(200);
    expect(ofTheLive(simulation.missed, ({ host }) => host.address)).toEqual([]);
    expect(simulation.begun.length - live.length).toBeGreaterThan(30);
  });

  it("tells what it knows of each", () => {
    const standings = new Map(open().run(130 * SECOND).scheduler.standings());
    expect(standings.size).toBe(88);
    for (const [address, standing] of standings) expect(standing).toBe(isDead(address) ? "suspect" : "quick");
  });
});

describe("Scheduler, with hosts that are well but slow", () => {
  it("lets them have slots that those which never answer cannot take", () => {
    // Two slow hosts have checks of 4 s every 5 s. Beside them are 40 dead hosts and a few quick
    // ones.
    const slow = ["slow0.example 5s", "slow1.example 5s"];
    const dead = numbered(40, "10s");
    const quick = Array.from({ length: 10 }, (_, index) => `quick${index}.example 1s`);
    const course = (address: string): Course => {
      if (address.startsWith("quick")) return { takes: 50 };
      return address.startsWith("slow") ? { takes: 4000 } : { takes: 10_000, fails: true };
    };
    const simulation = new Simulation(hostsOf(...slow, ...dead, ...quick), { concurrency: 16, course }).run(
      60 * SECOND,
    );
    const [begun, lost] = [simulation.begun.length, simulation.missed.length];
    simulation.run(60 * SECOND);
    const since = simulation.begun.slice(begun);
    expect(since.filter(({ address }) => address.startsWith("slow")).length).toBe(24);
    expect(since.filter(({ address }) => address.startsWith("quick")).length).toBe(600);
    const losers = new Set(simulation.missed.slice(lost).map(({ host }) => host.address.replace(/\d+.*/, "")));
    expect(losers).toEqual(new Set(["host"]));
    expect(since.filter(({ address }) => address.startsWith("host")).length).toBeGreaterThan(12 * 5);
  });

  it("keeps a slot for quick ones, however many slow ones there are, and never more than there are", () => {
    const course = (address: string): Course => ({ takes: address.startsWith("quick") ? 50 : 60_000 });
    const hosts = hostsOf(...numbered(50, "10s"), "quick.example 1s");
    const simulation = new Simulation(hosts, { concurrency: 8, course, recall: () => "quick" }).run(600 * SECOND);
    const [begun, lost] = [simulation.begun.length, simulation.missed.length];
    simulation.run(60 * SECOND);
    expect(simulation.begun.slice(begun).filter(({ address }) => address === "quick.example").length).toBe(60);
    expect(simulation.missed.slice(lost).filter(({ host }) => host.address === "quick.example")).toEqual([]);
    expect(simulation.most).toBe(8);
  });
});

describe("Scheduler.replace", () => {
  const lines = numbered(50, "10s");

  it("lets hosts whose line is the same keep their due times, and tells what is new, gone and changed", () => {
    const simulation = new Simulation(hostsOf(...lines)).run(25 * SECOND);
    const changed = [...lines.slice(5, 10).map((line) => `${line} (x)`), ...lines.slice(10)];
    const changes = simulation.scheduler.replace(hostsOf("new.example 10s", ...changed), simulation.now);
    expect(changes).toMatchObject({ added: 1, removed: 5, changed: 5 });
    const before = simulation.begun.length;
    simulation.run(30 * SECOND);
    const addresses = new Set(simulation.begun.slice(before).map(({ address }) => address));
    expect(addresses).toEqual(new Set(["new.example", ...lines.slice(5).map((line) => line.split(" ")[0])]));
    for (const { address } of hostsOf(...lines.slice(5))) {
      expect(new Set(gaps(simulation.dueTimes(address).checked))).toEqual(new Set([10_000]));
    }
    expect(simulation.missed).toEqual([]);
  });

  it.each(["a.example  10s", "# a remark\n\ta.example\t10s "])(
    "takes %j for the same line as a.example 10s",
    (line) => {
      const simulation = new Simulation(hostsOf("a.example 10s"));
      expect(simulation.scheduler.replace(hostsOf(...line.split("\n")), simulation.now))
        .toMatchObject({ added: 0, removed: 0, changed: 0 });
    },
  );

  it.each(["a.example 11s", "a.example 10s x", "me:secret@a.example 10s", 'a.example "* * * * *"'])(
    "takes %j for another line than a.example 10s",
    (line) => {
      const simulation = new Simulation(hostsOf("a.example 10s"));
      expect(simulation.scheduler.replace(hostsOf(line), simulation.now)).toMatchObject({
        added: 0,
        removed: 0,
        changed: 1,
      });
    },
  );

  it("checks new hosts that wait more than 30 s once soon, at 50 a second", () => {
    const simulation = new Simulation(hostsOf("a.example 10s")).run(SECOND);
    simulation.scheduler.replace(hostsOf("a.example 10s", ...numbered(50, "1d")), simulation.now);
    simulation.run(SECOND);
    const early = simulation.begun.filter(({ address }) => address !== "a.example");
    expect(early.map(({ at }) => at.steady - SECOND)).toEqual(Array.from({ length: 50 }, (_, index) => index * 20));
  });

  it("never checks a host twice at a time, though its line changes, goes and comes back within its check", () => {
    const simulation = new Simulation(hostsOf("a.example 1s"), { course: () => ({ takes: 900 }) });
    const texts = ["a.example 1s x", "b.example 1s", "a.example 1s", "a.example 2s", "b.example 3s"];
    for (let round = 0; round < 100; round++) {
      simulation.run(170);
      simulation.scheduler.replace(hostsOf(texts[round % texts.length] as string), simulation.now);
    }
    expect(simulation.begun.length).toBeGreaterThan(3);
    expect(simulation.mostOfOne).toBe(1);
    simulation.scheduler.replace(hostsOf("c.example 1d"), simulation.now);
    simulation.run(HOUR);
    expect(simulation.scheduler.running).toBe(0);
    expect(simulation.begun.at(-1)?.address).toBe("c.example");
  });

  it("counts no host that is gone, though its last check still runs", () => {
    const simulation = new Simulation(hostsOf("a.example 1s", "b.example 1d"), { course: () => ({ takes: HOUR }) });
    simulation.run(10 * SECOND).scheduler.replace(hostsOf("b.example 1d"), simulation.now);
    expect([simulation.scheduler.size, simulation.scheduler.running]).toEqual([1, 2]);
    simulation.scheduler.replace(hostsOf("a.example 1s", "b.example 1d"), simulation.now);
    expect(simulation.scheduler.size).toBe(2);
  });

  it("has the rest of a row of losses told of when its host goes", () => {
    const simulation = new Simulation(hostsOf("a.example 1s"), { course: () => ({ takes: HOUR }) }).run(150 * SECOND);
    simulation.scheduler.replace(hostsOf("b.example 1d"), simulation.now);
    expect(simulation.scheduler.takeLosses()).toMatchObject([{ host: { address: "a.example" }, summary: {} }]);
  });
});

describe("Scheduler.replaceInPieces", () => {
  const SEED = Date.now() % 2 ** 31;

  it(`brings about what replace does, though time passes in it, checks run, and hosts are replaced again (seed ${SEED})`, () => {
    const random = new Random(SEED);
    const anyHosts = () => {
      const addresses = random.shuffled(Array.from({ length: 40 }, (_, n) => n)).slice(0, random.between(0, 40));
      return hostsOf(
        ...addresses.map((n) => `h${n}.example ${random.pick(["10s", "10s x", "70s", "10m"])}`),
        "z.example 1s",
      );
    };
    const simulation = new Simulation(anyHosts(), { course: () => ({ takes: random.between(1, 3000) }) });
    let hosts: readonly Host[] = [];
    for (let round = 0; round < 200; round++) {
      const work = simulation.scheduler.replaceInPieces(hosts = anyHosts(), () => simulation.now);
      const isLeft = random.next() < 0.3;
      for (let step = work.next(); step.done !== true; step = work.next()) {
        if (random.next() < 0.1) simulation.run(random.between(1, 5000));
        if (isLeft && random.next() < 0.05) break;
      }
      if (!isLeft) expect(simulation.scheduler.size).toBe(hosts.length);
    }
    // One that is left behind changes nothing any more.
    const left = simulation.scheduler.replaceInPieces(anyHosts(), () => simulation.now);
    left.next();
    simulation.scheduler.replace(hosts, simulation.now);
    expect(atOnce(left)).toEqual({ added: 0, removed: 0, changed: 0, gone: [] });
    expect(simulation.scheduler.size).toBe(hosts.length);
    expect(simulation.mostOfOne).toBe(1);
    // Early checks are over by then.
    simulation.run(300 * SECOND);
    const before = simulation.begun.length;
    simulation.run(900 * SECOND);
    const checked = Map.groupBy(simulation.begun.slice(before), ({ address }) => address);
    expect(new Set(checked.keys())).toEqual(new Set(hosts.map(({ address }) => address)));
    for (const { address, frequency } of hosts) {
      const times = checked.get(address)?.map(({ scheduledAt }) => scheduledAt) ?? [];
      const grid = times.map((time) => nextDue(frequency, address, time - 1));
      expect([address, times]).toEqual([address, grid]);
    }
  });
});

describe("Scheduler, hosts that a group divides", () => {
  const A = "a.example";
  const take = (simulation: Simulation, lines: readonly string[], lastDue: (address: string) => number | undefined) =>
    void simulation.scheduler.replace(hostsOf(...lines), simulation.now, lastDue);
  /** The due times of the one host, as they come without a group. */
  const gridOf = (line: string, duration: number) => new Simulation(hostsOf(line)).run(duration).dueTimes(A).checked;

  it("goes on behind the last due time that has a result, with no early check", () => {
    const grid = gridOf("a.example 10m", 2 * HOUR).slice(1);
    const simulation = new Simulation([]).run((grid[1] ?? NaN) + 60 * SECOND - NOON);
    take(simulation, ["a.example 10m"], () => grid[1]);
    simulation.run(HOUR);
    expect(simulation.dueTimes(A).checked).toEqual(grid.slice(2, 8));
    expect(simulation.missed).toEqual([]);
  });

  it("checks the newest due time without a result late, where that is in time, and tells of those before it", () => {
    const grid = gridOf("a.example 10s", 60 * SECOND);
    const simulation = new Simulation([]).run((grid[3] ?? NaN) + 900 - NOON);
    take(simulation, ["a.example 10s"], () => grid[0]);
    simulation.run(SECOND);
    expect(simulation.dueTimes(A)).toEqual({ checked: [grid[3]], lost: [grid[1], grid[2]], summed: [] });
    expect(simulation.begun.map(latenessOf)).toEqual([900]);
    expect(simulation.missed.map(({ cause }) => cause)).toEqual(["untended"]);
  });

  it("tells of the newest due time too, where it is too late for it", () => {
    const grid = gridOf("a.example 10s", 60 * SECOND);
    const simulation = new Simulation([]).run((grid[2] ?? NaN) + 1100 - NOON);
    take(simulation, ["a.example 10s"], () => grid[0]);
    simulation.run(20 * SECOND);
    expect(simulation.dueTimes(A)).toEqual({ checked: [grid[3], grid[4]], lost: [grid[1], grid[2]], summed: [] });
  });

  it("tells of a hole of a thousand due times in a hundred and one", () => {
    const [first = NaN] = gridOf("a.example 1s", 10 * SECOND);
    const simulation = new Simulation([]).run(first + 1000 * SECOND + 500 - NOON);
    take(simulation, ["a.example 1s"], () => first);
    simulation.run(SECOND);
    expect(simulation.dueTimes(A).lost.length).toBe(100);
    expect(simulation.missed.map(({ count, summary }) => [count, summary !== null])).toEqual([[100, false], [
      900,
      true,
    ]]);
  });

  it("does not check a due time again that another clock has seen come before", () => {
    const grid = gridOf("a.example 10s", 60 * SECOND);
    const simulation = new Simulation([]).run((grid[1] ?? NaN) - 3000 - NOON);
    take(simulation, ["a.example 10s"], () => grid[1]);
    simulation.run(20 * SECOND);
    expect(simulation.dueTimes(A).checked).toEqual([grid[2]]);
  });

  it("plans a host of which nothing is known as one that is new", () => {
    const simulation = new Simulation([]).run(SECOND);
    take(simulation, ["a.example 1h"], () => undefined);
    simulation.run(SECOND);
    expect(simulation.begun.length).toBe(1);
  });

  it("tells nothing of hosts that go to another program, also of what it slept through", () => {
    const simulation = new Simulation(hostsOf("a.example 1s", "b.example 1s")).run(10 * SECOND);
    const before = simulation.missed.length;
    simulation.jump(60 * SECOND);
    simulation.scheduler.advance(simulation.now);
    const gone = simulation.scheduler.withdraw(new Set(["b.example"]));
    expect(gone.map(({ address }) => address)).toEqual([A]);
    simulation.run(10 * SECOND);
    const told = simulation.missed.slice(before);
    expect(new Set(told.map(({ host }) => host.address))).toEqual(new Set(["b.example"]));
    expect(simulation.scheduler.size).toBe(1);
  });

  it("does not repeat a due time whose check still runs, where a host goes and comes back", () => {
    const simulation = new Simulation(hostsOf("a.example 10s"), { course: () => ({ takes: 900 }) });
    simulation.run((gridOf("a.example 10s", 20 * SECOND)[0] ?? NaN) + 100 - NOON);
    expect(simulation.begun.length).toBe(1);
    simulation.scheduler.withdraw(new Set());
    take(simulation, ["a.example 10s"], () => (simulation.begun[0]?.scheduledAt ?? NaN) - 10 * SECOND);
    simulation.run(9 * SECOND);
    expect(simulation.begun.length).toBe(1);
    simulation.run(SECOND);
    expect(simulation.begun.length).toBe(2);
    expect(simulation.missed).toEqual([]);
  });
});

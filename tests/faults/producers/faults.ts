import process from "node:process";
import type { TeamMember } from "./team.ts";
import { type ProducerWorld, REMOTE } from "./world.ts";
import { PLACES } from "./team.ts";

/** A fault that `npm run test:faults -- --producers` can strike with. It is over when `strike` ends. */
export interface ProducerFault {
  readonly name: string;
  /**
   * A site may be asked twice for a due time. `killed`: of a check that was killed in the middle. `cut`: as
   * long as a member cannot know that it was replaced.
   */
  readonly mayRepeat?: "killed" | "cut";
  /** A host that stays may miss a due time, as all partitions are shared anew. */
  readonly mayMiss?: boolean;
  /** Seconds that the longest hole may have. */
  readonly longestHole?: number;
  /** Clocks are apart while it lasts. */
  readonly isSkewed?: boolean;
  strike(world: ProducerWorld, note: NoteStrike): Promise<void>;
}

/** Takes down that a fault strikes now: one producer, or what all of them need. */
export type NoteStrike = (member?: TeamMember) => void;

/** Milliseconds that clocks are apart. */
const SKEW = 3000;
const SKEWED_CLOCK = new URL("skewed_clock.ts", import.meta.url).href;
const MOST_PARTITIONS = 40;

export const FAULTS_OF_PRODUCERS: readonly ProducerFault[] = [
  { name: "killed", mayRepeat: "killed", longestHole: 12, strike: (world, note) => endOne(world, note, "SIGKILL") },
  { name: "stopped", longestHole: 2, strike: (world, note) => endOne(world, note, "SIGTERM") },
  {
    name: "two killed at once",
    mayRepeat: "killed",
    longestHole: 12,
    async strike({ team, random, settled }, note) {
      const [kept, ...ended] = random.shuffled(team.members);
      for (const member of ended) note(member);
      await Promise.all(ended.map((member) => team.end(member, "SIGKILL")));
      if (kept !== undefined) await settled();
      for (const { place } of ended) team.start(place);
    },
  },
  {
    name: "all gone",
    mayRepeat: "killed",
    async strike({ team, random, pass }, note) {
      const signal = random.pick(["SIGTERM", "SIGKILL"] as const);
      for (const member of team.members) note(member);
      await Promise.all(team.members.map((member) => team.end(member, signal)));
      await pass(3_000, 30_000);
      for (let place = 0; place < PLACES; place++) team.start(place);
    },
  },
  { name: "frozen for 3 s", mayRepeat: "cut", strike: (world, note) => freezeOne(world, note, 3_000) },
  { name: "frozen for 10 s", mayRepeat: "cut", strike: (world, note) => freezeOne(world, note, 10_000) },
  { name: "frozen for 60 s", mayRepeat: "cut", strike: (world, note) => freezeOne(world, note, 60_000) },
  {
    name: "cut off from the broker",
    mayRepeat: "cut",
    async strike({ team, cutOff, pass }, note) {
      note(team.member(REMOTE));
      const reconnect = await cutOff();
      await pass(3_000, 25_000);
      await reconnect();
    },
  },
  {
    name: "connections to the broker dead",
    strike({ team, silence }, note) {
      note(team.member(REMOTE));
      silence();
      return Promise.resolve();
    },
  },
  {
    name: "broker killed",
    async strike({ broker, pass }, note) {
      note();
      await broker.kill();
      await pass(0, 20_000);
      await broker.restart();
    },
  },
  {
    name: "broker frozen",
    mayRepeat: "cut",
    async strike({ broker, pass }, note) {
      note();
      process.kill(broker.pid, "SIGSTOP");
      await pass(3_000, 40_000);
      process.kill(broker.pid, "SIGCONT");
    },
  },
  {
    name: "rolling restart",
    longestHole: 2,
    async strike({ team, random, settled }, note) {
      team.shuffle();
      for (const member of random.shuffled(team.members)) {
        note(member);
        await team.end(member, "SIGTERM");
        team.start(member.place);
        await settled();
      }
    },
  },
  {
    name: "partitions added",
    mayMiss: true,
    async strike({ topic, random }, note) {
      const { partitions } = await topic.describe();
      note();
      await topic.addPartitions(Math.min(MOST_PARTITIONS, partitions + random.between(1, 3)));
      const isSeen = async () => (await topic.describe()).partitions > partitions;
      if (partitions < MOST_PARTITIONS && !await isSeen()) throw new Error("There is no new partition");
    },
  },
  {
    name: "hosts file changed at one first",
    async strike({ team, random, replaceHost, pass }, note) {
      const [first = 0, ...others] = random.shuffled(team.members.map(({ place }) => place));
      note();
      const { writeAt, complete } = replaceHost();
      writeAt(first);
      await pass(4_000, 8_000);
      for (const place of others) writeAt(place);
      const isAgreed = () =>
        team.members.every(({ running }) =>
          /all producers have the same hosts file again(?!.*different)/s.test(running.stderr)
        );
      for (let n = 0; n < 200 && !isAgreed(); n++) await pass(100, 100);
      await pass(1_000, 1_000);
      complete();
    },
  },
  {
    name: "clocks apart",
    mayRepeat: "cut",
    isSkewed: true,
    async strike({ team, random, settled, pass }, note) {
      const skewed = random.pick(team.members.filter(({ variant }) => variant.runtime === "node"));
      const skew = String(random.pick([SKEW, -SKEW]));
      note(skewed);
      await team.end(skewed, "SIGTERM");
      const clock = { NODE_OPTIONS: `--import=${SKEWED_CLOCK}`, CLOCK_SKEW: skew };
      const member = team.start(skewed.place, clock);
      await settled();
      await pass(2_000, 6_000);
      const other = random.pick(team.members.filter((one) => one !== member));
      note(other);
      await team.end(other, "SIGKILL");
      await settled();
      team.start(other.place);
      await settled();
      note(member);
      await team.end(member, "SIGTERM");
      team.start(member.place);
    },
  },
  {
    name: "spool comes late",
    mayRepeat: "cut",
    async strike({ team, cutOff, settled, pass }, note) {
      const member = team.member(REMOTE);
      note(member);
      const reconnect = await cutOff();
      await pass(10_000, 20_000);
      await team.end(member, "SIGKILL");
      await reconnect();
      await settled();
      team.start(REMOTE);
    },
  },
];

async function endOne(
  { team, random, settled }: ProducerWorld,
  note: NoteStrike,
  signal: "SIGTERM" | "SIGKILL",
): Promise<void> {
  const member = random.pick(team.members);
  note(member);
  await team.end(member, signal);
  await settled();
  team.start(member.place);
}

async function freezeOne({ team, random, pass }: ProducerWorld, note: NoteStrike, time: number): Promise<void> {
  const member = random.pick(team.members);
  note(member);
  member.running.kill("SIGSTOP");
  await pass(time, time);
  member.running.kill("SIGCONT");
}

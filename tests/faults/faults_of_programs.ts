import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import type { Fault } from "./fault.ts";
import type { World } from "./world.ts";

/** Milliseconds that a frozen consumer sleeps: longer than the group waits for it. */
const OVERSLEPT = [17_000, 22_000] as const;
const MOST_MEMBERS = 4;

export const FAULTS_OF_PROGRAMS: readonly Fault[] = [
  {
    name: "consumer killed",
    part: "programs",
    strike: ({ crew, random }) => crew.kill(random.pick(crew.members)),
  },
  {
    // Each consumer is in a group of its own. A shared group would wait for the dead one's session,
    // and nothing would be under way.
    name: "consumers killed at work",
    part: "programs",
    needsFlow: true,
    async strike(world) {
      const kills = world.isShort ? 3 : 8;
      for (let n = 0; n < kills; n++) await killAtWork(world);
      return { times: kills };
    },
  },
  {
    name: "generator killed",
    part: "programs",
    async strike({ source, planned, isShort, pass }) {
      const times = isShort ? 2 : 4;
      for (let n = 0; n < times; n++) {
        source.kill();
        planned.kill();
        await pass(1000, 2000);
      }
      return { times };
    },
  },
  {
    name: "consumers come and go",
    part: "programs",
    async strike({ crew, random, isShort, pass }) {
      const changes = random.between(3, 6);
      for (let n = 0; n < changes; n++) {
        const { length } = crew.members;
        const grows = length < 2 || (length < MOST_MEMBERS && random.next() < 0.5);
        if (grows) crew.add();
        else await crew.dismiss(random.pick(crew.members));
        // Long enough for a new member to store something before it goes.
        await pass(200, isShort ? 3000 : 12_000);
      }
      return { heal: () => crew.resize(2) };
    },
  },
  {
    name: "consumer frozen past its session",
    part: "programs",
    lasts: { short: OVERSLEPT, long: OVERSLEPT },
    strike({ crew, random }) {
      const { running } = random.pick(crew.members);
      running.kill("SIGSTOP");
      return Promise.resolve({ heal: () => running.kill("SIGCONT") });
    },
  },
];

async function killAtWork({ crew, random }: World): Promise<void> {
  const member = crew.add(`own-${crypto.randomUUID()}`);
  const atWork = () => /messages? stored/.test(member.running.stderr);
  await eventually(atWork, () => `A consumer stores nothing:\n${member.running.stderr}`, {
    timeout: 60_000,
    interval: 5,
  });
  await delay(random.between(0, 300));
  await crew.dismiss(member, "SIGKILL");
}

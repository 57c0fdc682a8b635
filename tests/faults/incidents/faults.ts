import type { Behaviour } from "../../support/receiver.ts";
import type { Fault } from "../fault.ts";
import type { World } from "../world.ts";

const BEHAVIOURS: readonly Behaviour[] = [500, "hang", "accept and die", 204];
/** Milliseconds from the moment at which a message comes to the one at which its sender is killed. */
const KILLED_AFTER = [0, 1, 3, 10, 30];
const LASTS = { short: [3000, 5000], long: [5000, 40_000] } as const;

/** A receiver that does so with each message until it recovers. */
function badReceiver(name: string, behaviour: Behaviour): Fault {
  return {
    name,
    part: "receiver",
    lasts: LASTS,
    strike({ planned }) {
      planned.receiver.usual = behaviour;
      return Promise.resolve({ heal: () => void (planned.receiver.usual = 204) });
    },
  };
}

/** Faults of the receiver of notifications, and of the consumers that send them. */
export const FAULTS_OF_THE_RECEIVER: readonly Fault[] = [
  badReceiver("receiver answers 500", 500),
  badReceiver("receiver hangs", "hang"),
  badReceiver("receiver accepts and dies", "accept and die"),
  {
    name: "receiver away",
    part: "receiver",
    lasts: LASTS,
    async strike({ planned }) {
      const gone = await planned.leave();
      return { heal: () => gone.return() };
    },
  },
  {
    name: "consumers killed as they tell",
    part: "receiver",
    needsFlow: true,
    async strike(world) {
      const kills = world.isShort ? 3 : 8;
      for (let n = 0; n < kills; n++) await killAsItTells(world);
      return { times: kills };
    },
  },
];

/** One of the consumers holds the lease of the receiver: either it is the one, or all are. */
async function killAsItTells({ planned, crew, random }: World): Promise<void> {
  planned.receiver.behaviours.push(random.pick(BEHAVIOURS));
  await planned.hurry();
  await planned.nextMessage(random.pick(KILLED_AFTER));
  const { members } = crew;
  const some = random.next() < 0.5 ? members : [random.pick(members)];
  await Promise.all(some.map((member) => crew.kill(member)));
}

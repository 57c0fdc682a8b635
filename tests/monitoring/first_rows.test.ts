import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { AssignedPartition, ConsumerSession } from "../../lib/kafka/kafka.ts";
import { FirstRows, type StartProgress, whyNothing } from "../../lib/monitoring/first_rows.ts";
import { Log } from "../../lib/monitoring/log.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function reading(partitions: readonly AssignedPartition[], isKafka = true): ConsumerSession {
  return {
    assignment: { topic: "metrics", topicId: "t", partitions },
    positions: new Map(),
    async *messages() {},
    ...(isKafka ? { logEnds: () => Promise.resolve(new Map()) } : {}),
  } as unknown as ConsumerSession;
}
const empty = { partition: 0, logStart: 5, logEnd: 5 };
const full = { partition: 1, logStart: 0, logEnd: 9 };
const none: StartProgress = { troubles: [], isMember: true, session: null, lag: new Map() };

it.each<readonly [Partial<StartProgress>, string]>([
  [{ troubles: ["PostgreSQL is away", "Kafka is too"], session: reading([full]) }, "PostgreSQL is away; Kafka is too"],
  [{}, "the consumer group has not shared out"],
  [{ isMember: false }, "the database has only just been opened"],
  [{ session: reading([]) }, "gave this consumer no partition: others have them all"],
  [{ isMember: false, session: reading([empty], false) }, "no line has come on standard input"],
  [{ session: reading([full]) }, "the brokers do not say how many messages there are"],
  [
    { session: reading([full]), lag: new Map([[1, 9]]) },
    "none of 9 messages in the topic metrics has come",
  ],
  [
    { session: reading([empty]), lag: new Map([[0, 0]]) },
    "no message is in the partition of the topic metrics that this consumer has: is the producer running?",
  ],
  [
    { session: reading([empty, full]), lag: new Map([[0, 0], [1, 0]]) },
    "nothing new is in the 2 partitions of the topic metrics behind what the database has marked",
  ],
])("whyNothing of %j tells the reason", (standing, reason) => {
  expect(whyNothing({ ...none, ...standing })).toContain(reason);
});

function logged() {
  const lines: string[] = [];
  return { lines, log: new Log("consumer", "INFO", ({ message }) => message, (line) => void lines.push(line)) };
}

it("FirstRows says why nothing is stored within 10 s, and that messages arrive when they do, once", async () => {
  const { lines, log } = logged();
  using first = new FirstRows(log, () => Promise.resolve(none));
  first.stored(0);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toEqual([expect.stringMatching(/^Nothing is stored yet: the consumer group/)]);
  first.stored(1);
  first.stored(2);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(lines.slice(1)).toEqual(["Messages arrive: the first 1 message went to the database"]);
});

it("FirstRows has nothing to explain where messages came first, though it was asking", async () => {
  const { lines, log } = logged();
  const asked = Promise.withResolvers<StartProgress>();
  using first = new FirstRows(log, () => asked.promise);
  await vi.advanceTimersByTimeAsync(7_000);
  first.stored(3);
  asked.resolve(none);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(lines).toEqual(["Messages arrive: the first 3 messages went to the database"]);
});

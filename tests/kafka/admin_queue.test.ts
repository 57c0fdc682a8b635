import { describe, expect, it } from "vitest";
import { UnknownPartitionError } from "../../lib/kafka/consumer_member.ts";
import { AdminQueue } from "../../lib/kafka/librdkafka/admin_queue.ts";
import type { Librdkafka, NativeAdmin, NativeClient } from "../../lib/kafka/librdkafka/library.ts";

type Answer = Parameters<NativeAdmin["describeTopics"]>[2];

describe("AdminQueue", () => {
  /** An admin whose questions the test answers. */
  function stage() {
    const open: Answer[] = [];
    const notAsked = () => {
      throw Object.assign(new Error("not known"), { code: -190 });
    };
    const library: Pick<Librdkafka, "AdminClient" | "OffsetSpec"> = {
      AdminClient: {
        createFrom: () => ({
          describeTopics: (_topics, _options, done) => void open.push(done),
          createTopic: notAsked,
          listOffsets: notAsked,
        }),
      },
      OffsetSpec: Object,
    };
    const adminQueue = new AdminQueue(library, {} as NativeClient, "t");
    return { open, adminQueue, ask: () => adminQueue.identifyTopic() };
  }
  const aTurn = () => new Promise((resolve) => setImmediate(resolve));
  const found = {
    topicId: { mostSignificantBits: 1n, leastSignificantBits: 2n },
    partitions: [{ partition: 0, leader: {} }, { partition: 1, leader: null }],
  };

  it("asks one question after the other, also where one fails", async () => {
    const { open, ask } = stage();
    const answers = [ask(), ask()];
    await aTurn();
    expect(open).toHaveLength(1);
    open[0]?.(Object.assign(new Error("away"), { code: -1 }), []);
    await expect(answers[0]).rejects.toThrow("away");
    await aTurn();
    expect(open).toHaveLength(2);
    open[1]?.(null, [found]);
    expect(await answers[1]).toEqual({ id: "00000000000000010000000000000002", partitions: 2, leaderless: [1] });
  });

  it("is closed when no question is under way, and asks none from then on", async () => {
    const { open, adminQueue, ask } = stage();
    const first = ask();
    await aTurn();
    const second = ask();
    let isClosed = false;
    const closing = adminQueue.close().then(() => isClosed = true);
    await aTurn();
    expect(isClosed).toBe(false);
    open[0]?.(null, [found]);
    await first;
    await expect(second).rejects.toThrow("The consumer was closed");
    await closing;
    await expect(ask()).rejects.toThrow("The consumer was closed");
    expect(open).toHaveLength(1);
  });

  it("tells where only a new client knows a partition", async () => {
    const { adminQueue } = stage();
    await expect(adminQueue.findOffsets([0], -1)).rejects.toThrow(UnknownPartitionError);
    await expect(adminQueue.createTopic(1)).rejects.toThrow("not known");
  });
});

import { describe, expect, it } from "vitest";
import { AdminQueue } from "../../lib/kafka/librdkafka/admin_queue.ts";
import { promised } from "../../lib/kafka/librdkafka/connection.ts";
import type { NativeAdmin } from "../../lib/kafka/librdkafka/library.ts";

type Answer = Parameters<NativeAdmin["describeTopics"]>[2];

describe("AdminQueue", () => {
  /** An admin whose questions are answered by hand. */
  function stage() {
    const open: Answer[] = [];
    const adminQueue = new AdminQueue({
      describeTopics: (_topics, _options, done) => void open.push(done),
      listOffsets: () => {
        throw new Error("not asked");
      },
    });
    const ask = () => promised((done) => adminQueue.describeTopics(["t"], { timeout: 1 }, done as Answer));
    return { open, adminQueue, ask };
  }
  const aTurn = () => new Promise((resolve) => setImmediate(resolve));

  it("asks one question after the other, also where one fails", async () => {
    const { open, ask } = stage();
    const answers = [ask(), ask()];
    await aTurn();
    expect(open).toHaveLength(1);
    open[0]?.(Object.assign(new Error("away"), { code: -1 }) as never, undefined as never);
    await expect(answers[0]).rejects.toThrow("away");
    await aTurn();
    expect(open).toHaveLength(2);
    open[1]?.(null as never, ["t"] as never);
    expect(await answers[1]).toEqual(["t"]);
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
    open[0]?.(null as never, [] as never);
    await first;
    await expect(second).rejects.toThrow("The consumer was closed");
    await closing;
    await expect(ask()).rejects.toThrow("The consumer was closed");
    expect(open).toHaveLength(1);
  });
});

import { describe, expect, it } from "vitest";
import type { NativeConsumer } from "../../lib/kafka/librdkafka/library.ts";
import { PollLoop } from "../../lib/kafka/librdkafka/poll_loop.ts";

describe("PollLoop", () => {
  type Pull = Parameters<NativeConsumer["consume"]>[1];

  /** A client whose pulls are answered by hand. */
  function stage() {
    const open: Pull[] = [];
    const client = {
      consume: (_count: number, done: Pull) => void open.push(done),
      setDefaultConsumeTimeout: () => {},
      isConnected: () => true,
    } as unknown as NativeConsumer;
    const loop = new PollLoop(client, () => {});
    const answer = () => open.shift()?.(null, []);
    return { open, loop, answer };
  }
  const aTurn = () => new Promise((resolve) => setImmediate(resolve));

  it("gives the news as they come, and waits for no pull that is still under way", async () => {
    const { open, loop, answer } = stage();
    const { promise: news, resolve } = Promise.withResolvers<string>();
    const brought = loop.bring(news);
    await aTurn();
    expect(open).toHaveLength(1);
    resolve("two partitions");
    expect(await brought).toBe("two partitions");
    const again = loop.bring(Promise.resolve("the same"));
    expect(await again).toBe("the same");
    answer();
    await loop.stop({ areAnswered: true });
    expect(open).toHaveLength(0);
  });

  it("pulls again as long as the news are not there, one pull at a time", async () => {
    const { open, loop, answer } = stage();
    const { promise: news, resolve } = Promise.withResolvers<void>();
    const brought = [loop.bring(news), loop.bring(news)];
    for (let pulls = 0; pulls < 3; pulls++) {
      await aTurn();
      expect(open).toHaveLength(1);
      answer();
    }
    await aTurn();
    resolve();
    await Promise.all(brought);
    answer();
    await loop.stop({ areAnswered: true });
    expect(open).toHaveLength(0);
  });

  it("stops once the pull under way has come back", async () => {
    const { loop, open, answer } = stage();
    await loop.bring(aTurn());
    let isStopped = false;
    const stopping = loop.stop({ areAnswered: true }).then(() => isStopped = true);
    await aTurn();
    expect(open).toHaveLength(1);
    expect(isStopped).toBe(false);
    answer();
    await stopping;
  });
});

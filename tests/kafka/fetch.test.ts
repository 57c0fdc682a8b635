import { describe, expect, it } from "vitest";
import { CutLogError, Fetcher, type FetchingClient } from "../../lib/kafka/javascript/fetch.ts";
import type { FetchAnswer, PartitionAnswer } from "../../lib/kafka/javascript/raw_fetch.ts";
import { readBatches } from "../../lib/kafka/javascript/record_batches.ts";
import type { IncomingMessage, LogPosition } from "../../lib/kafka/kafka.ts";
import { type BatchOptions, rawBatch } from "../support/raw_batches.ts";

const options = { bootstrapServers: ["127.0.0.1:1"], topic: "t" };
const TOPIC_ID = "00000000-0000-0000-0000-000000000001";
const partitions = [{ partition: 0, logStart: 0, logEnd: 0 }];
const share = { assignment: { topic: "t", topicId: TOPIC_ID.replaceAll("-", ""), partitions }, partitions: 1 };

const fetcher = (client: unknown, stop: AbortSignal, position: LogPosition = { offset: 0, epoch: null }) =>
  new Fetcher(client as FetchingClient, options, share, new Map([[0, position]]), stop);

describe("a fetcher whose broker is frozen", () => {
  // A real broker cannot be made to hit this moment: the library's memory of the leaders is empty.
  /** Reads until `stop` aborts, which it does as soon as the leaders are asked for. */
  async function read(metadata: (stop: AbortController) => Promise<never>): Promise<unknown[]> {
    const stop = new AbortController();
    return await Array.fromAsync(fetcher({ metadata: () => metadata(stop) }, stop.signal).messages());
  }

  it("ends when it is told to, though no broker says who leads the partitions", async () => {
    const silence = (stop: AbortController) => {
      queueMicrotask(() => stop.abort());
      return new Promise<never>(() => {});
    };
    expect(await read(silence)).toEqual([]);
  });

  it("throws what a broker says instead", async () => {
    await expect(read(() => Promise.reject(new Error("no leader")))).rejects.toThrow("no leader");
  });
});

const TRANSACTIONAL = 16;
const CONTROL = 32;

describe("a fetcher that is given batches", () => {
  /** A batch of messages. They end at the last offset of the batch, or before it. */
  async function batch(firstOffset: number, count: number, rest: BatchOptions = {}): Promise<Buffer> {
    const value = Buffer.from("a message");
    return await rawBatch(Array.from({ length: count }, () => ({ value })), { firstOffset, ...rest });
  }

  /** The mark that ends a transaction. Its key has a version, and then 1 for a commit. */
  const mark = (firstOffset: number, isCommitted: boolean, producerId: bigint) => {
    const attributes = TRANSACTIONAL | CONTROL;
    const record = { key: Buffer.of(0, 0, 0, isCommitted ? 1 : 0), value: Buffer.alloc(6) };
    return rawBatch([record], { firstOffset, attributes, producerId });
  };

  const damaged = async (firstOffset: number, count: number, epoch: number) => {
    const bytes = await batch(firstOffset, count, { epoch });
    bytes[bytes.length - 2] = 0;
    return bytes;
  };

  const answerOf = (batches: readonly Buffer[], rest: Partial<PartitionAnswer> = {}): FetchAnswer => ({
    responses: [{
      topicId: TOPIC_ID,
      partitions: [{
        partitionIndex: 0,
        batches: readBatches(Buffer.concat(batches), 1_000),
        ...rest,
      } as unknown as PartitionAnswer],
    }],
  } as unknown as FetchAnswer);

  interface Asked {
    readonly fetchOffset: bigint;
    readonly lastFetchedEpoch: number;
    readonly currentLeaderEpoch: number;
  }

  /**
   * The messages of these answers, and the request before each of them. Afterwards the broker is
   * silent.
   */
  async function read(answers: readonly (FetchAnswer | Error)[], position?: LogPosition) {
    const stop = new AbortController();
    const asked: Asked[] = [];
    const leaders = [{ leader: 1, leaderEpoch: 9 }];
    const topics = new Map([["t", { id: TOPIC_ID, partitionsCount: 1, partitions: leaders }]]);
    const client = {
      metadata: () => Promise.resolve({ topics }),
      fetch: ({ topics: [topic] }: { topics: { partitions: Asked[] }[] }) => {
        const answer = answers[asked.length];
        asked.push({ ...topic?.partitions[0] as Asked });
        if (answer === undefined) setImmediate(() => stop.abort());
        if (answer instanceof Error) return Promise.reject(answer);
        return answer === undefined ? new Promise(() => {}) : Promise.resolve(answer);
      },
    };
    const messages: IncomingMessage[] = [];
    for await (const some of fetcher(client, stop.signal, position).messages()) messages.push(...some);
    return { asked, messages };
  }

  const told = (messages: readonly IncomingMessage[]) =>
    messages.map(({ offset, since, unreadable }) => [unreadable?.first ?? offset, since]);

  it("vouches for holes in batches, and for what does not count, not for holes between batches", async () => {
    const answer = answerOf([
      // Two messages are gone behind the two of this batch.
      await batch(0, 2, { lastDelta: 3 }),
      await batch(4, 1, { attributes: TRANSACTIONAL, producerId: 7n }),
      await mark(5, true, 7n),
      await batch(6, 1),
      // A hole between batches. Then an aborted message, and its mark.
      await batch(10, 3, { attributes: TRANSACTIONAL, producerId: 8n }),
      await mark(13, false, 8n),
      await batch(14, 1, { attributes: TRANSACTIONAL, producerId: 8n }),
      await batch(20, 1),
    ], { abortedTransactions: [{ producerId: 8n, firstOffset: 10n }] });
    expect(told((await read([answer])).messages)).toEqual([
      [0, undefined],
      [1, undefined],
      [4, 2],
      [6, 5],
      // The log shows nothing from 7 to 9.
      [14, 10],
      [20, undefined],
    ]);
  });

  it("vouches from one answer to the next", async () => {
    const answers = [
      answerOf([await batch(0, 1), await mark(1, true, 7n)]),
      answerOf([await batch(5, 2, { attributes: TRANSACTIONAL, producerId: 8n }), await mark(7, false, 8n)], {
        abortedTransactions: [{ producerId: 8n, firstOffset: 5n }],
      }),
      answerOf([await mark(8, true, 9n), await batch(9, 1)]),
    ];
    const { asked, messages } = await read(answers);
    expect(told(messages)).toEqual([[0, undefined], [9, 5]]);
    expect(asked.map(({ fetchOffset }) => fetchOffset)).toEqual([0n, 2n, 8n, 10n]);
  });

  it("vouches for holes before what cannot be read, and begins in the middle of a batch", async () => {
    const answers = [
      answerOf([await batch(0, 4), await mark(4, true, 7n), await damaged(5, 3, 2)]),
      answerOf([await damaged(5, 3, 2), await mark(8, true, 7n), await batch(9, 1)]),
    ];
    expect(told((await read(answers, { offset: 2, epoch: 1 })).messages)).toEqual([[2, undefined], [3, undefined], [
      5,
      4,
    ], [9, 8]]);
  });

  it("tells the broker under which leader's epoch it read what is before, where that can be known", async () => {
    const old = await batch(6, 1, { epoch: 5 });
    old[16] = 1;
    const answers = [
      answerOf([await batch(0, 1, { epoch: 3 }), await batch(1, 2, { epoch: 4 })]),
      answerOf([await damaged(3, 2, 77)]),
      answerOf([await damaged(3, 2, 77)]),
      answerOf([await batch(5, 1, { epoch: 5 })]),
      answerOf([old]),
    ];
    const { asked, messages } = await read(answers);
    expect(messages.map(({ offset, epoch }) => [offset, epoch])).toEqual([[0, 3], [1, 4], [2, 4], [4, null], [5, 5], [
      6,
      null,
    ]]);
    const places = asked.map(({ fetchOffset, lastFetchedEpoch }) => [Number(fetchOffset), lastFetchedEpoch]);
    expect(places).toEqual([[0, -1], [3, 4], [3, 4], [5, -1], [6, 5], [7, -1]]);
    expect(new Set(asked.map(({ currentLeaderEpoch }) => currentLeaderEpoch))).toEqual(new Set([9]));
  });

  it.each([
    { what: "with the same leader's messages below", epoch: 3, endOffset: 4n, to: { offset: 4, epoch: 3 } },
    { what: "with an earlier leader's messages below", epoch: 2, endOffset: 6n, to: { offset: 6, epoch: null } },
  ])("throws where the broker says that the log was cut, $what", async ({ epoch, endOffset, to }) => {
    const cut = answerOf([], { divergingEpoch: { epoch, endOffset } });
    const expected = new CutLogError(0, { from: { offset: 9, epoch: 3 }, to });
    await expect(read([answerOf([await batch(0, 9, { epoch: 3 })]), cut])).rejects.toEqual(expected);
    // The first answer may show it too, by the epoch of the mark.
    const { from } = expected.cut;
    await expect(read([cut], from)).rejects.toEqual(expected);
  });

  it("takes a refused position for a cut of unknown extent, if the broker was told an epoch", async () => {
    const refusal = (partitionIndex: number, errorCode: number) =>
      Object.assign(new Error("refused"), {
        response: { responses: [{ partitions: [{ partitionIndex, errorCode }] }] },
      });
    const from = { offset: 9, epoch: 3 };
    const expected = new CutLogError(0, { from, to: { offset: 9, epoch: null } });
    await expect(read([refusal(0, 1)], from)).rejects.toEqual(expected);
    for (const [partition, code] of [[0, 6], [1, 1]] as const) {
      await expect(read([refusal(partition, code)], from)).rejects.toThrow("refused");
    }
    await expect(read([refusal(0, 1)], { offset: 9, epoch: null })).rejects.toThrow("refused");
  });

  it("begins with the epoch that it is given", async () => {
    const { asked: [first] } = await read([], { offset: 9, epoch: 3 });
    expect(first).toMatchObject({ fetchOffset: 9n, lastFetchedEpoch: 3 });
  });
});

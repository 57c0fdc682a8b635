import { describe, expect, it } from "vitest";
import { vouched } from "../lib/kafka_librdkafka/vouched.ts";
import { Queue } from "../lib/queue.ts";
import { eventually } from "./support/eventually.ts";

describe("vouched", () => {
  /** A source that is fed, and questions that are answered, by hand. */
  function stage() {
    const source = new Queue<string>();
    const questions: PromiseWithResolvers<boolean>[] = [];
    const ask = () => {
      const question = Promise.withResolvers<boolean>();
      questions.push(question);
      return question.promise;
    };
    const given: string[] = [];
    const work = (async () => {
      for await (const value of vouched(source, ask)) given.push(value);
    })();
    const asked = (count: number) =>
      eventually(() => questions.length === count, () => `${questions.length} questions`);
    const has = (...values: string[]) =>
      eventually(() => given.join() === values.join(), () => `${given.join()} instead of ${values.join()}`);
    return { source, questions, given, work, asked, has };
  }

  it("gives nothing before its question is answered, and what came meanwhile only after the next", async () => {
    const { source, questions, given, work, asked, has } = stage();
    source.push("a");
    await asked(1);
    source.push("b");
    source.push("c");
    await eventually(() => source.length === 0, () => "b and c are not taken");
    expect([given, questions.length]).toEqual([[], 1]);
    questions[0]?.resolve(true);
    await has("a");
    await asked(2);
    expect(given).toEqual(["a"]);
    questions[1]?.resolve(true);
    await has("a", "b", "c");
    source.end();
    await work;
  });

  it("ends at the first no, without what was asked about", async () => {
    const { source, questions, given, work, asked } = stage();
    source.push("a");
    await asked(1);
    questions[0]?.resolve(false);
    await work;
    expect(given).toEqual([]);
  });

  it("fails where the question does, or the source", async () => {
    const one = stage();
    one.source.push("a");
    await one.asked(1);
    one.questions[0]?.reject(new Error("no answer"));
    await expect(one.work).rejects.toThrow("no answer");

    // deno-lint-ignore require-yield
    const broken = async function* (): AsyncGenerator<string> {
      await Promise.resolve();
      throw new Error("no source");
    };
    await expect(vouched(broken(), () => Promise.resolve(true)).next()).rejects.toThrow("no source");
  });

  it("takes no more than a few values while an answer is awaited, and ends the source when it is left", async () => {
    let taken = 0;
    let isEnded = false;
    const endless = async function* () {
      try {
        while (true) yield await Promise.resolve(++taken);
      } finally {
        isEnded = true;
      }
    };
    const first = Promise.withResolvers<boolean>();
    const values = vouched(endless(), () => first.promise);
    const next = values.next();
    await eventually(() => taken === 4, () => `${taken} taken`);
    first.resolve(true);
    expect(await next).toEqual({ done: false, value: 1 });
    await values.return();
    await eventually(() => isEnded, () => "The source goes on");
    expect(taken).toBeLessThan(8);
  });
});

import { promised } from "./connection.ts";
import type { Callback, NativeAdmin } from "./library.ts";

type Questions = Pick<NativeAdmin, "describeTopics" | "listOffsets">;

/**
 * Asks the brokers through a consumer's client: one question after the other, as each holds one of
 * the few threads that also pull messages and resolve names; and none once it is closed, since the
 * add-on does not look whether that client is still there, and ends the process where it is not.
 */
export class AdminQueue implements Questions {
  readonly #admin: Questions;
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(admin: Questions) {
    this.#admin = admin;
  }

  describeTopics: Questions["describeTopics"] = (topics, options, done) =>
    this.#ask<Parameters<typeof done>[1]>((answer) => this.#admin.describeTopics(topics, options, answer), done);

  listOffsets: Questions["listOffsets"] = (partitions, options, done) =>
    this.#ask<Parameters<typeof done>[1]>((answer) => this.#admin.listOffsets(partitions, options, answer), done);

  /** Another question through the same client, in its turn. */
  async ask<T>(call: (answer: Callback<T>) => void): Promise<T> {
    return await promised<T>((done) => this.#ask(call, done));
  }

  /** Resolves when no question is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last;
  }

  #ask<T>(call: (answer: Callback<T>) => void, done: Callback<T>): void {
    const answer = this.#last.then(() => {
      if (this.#isClosed) throw new Error("The consumer was closed");
      return promised(call);
    });
    this.#last = answer.catch(() => {});
    answer.then((found) => done(null, found), (error) => done(error, undefined as T));
  }
}

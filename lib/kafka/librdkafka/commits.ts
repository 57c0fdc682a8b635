import type { NativeConsumer, NativePartition } from "./library.ts";

/**
 * The commits of one client, and whether each was answered. The library waits for the answers when
 * it leaves the group, and for ever where no broker gives them: it tries again without end. A
 * thread of the process would wait too, which then cannot end.
 */
export class Commits {
  #unanswered = 0;

  /**
   * For the client's setting `offset_commit_cb`: it is called once for each commit, failed or not,
   * while the client is served.
   */
  readonly answered = (): void => {
    this.#unanswered--;
  };

  get areAnswered(): boolean {
    return this.#unanswered === 0;
  }

  /** Sends offsets in the background. A hint only: what fails is not sent again. */
  send(client: Pick<NativeConsumer, "commit">, offsets: NativePartition[]): void {
    try {
      client.commit(offsets);
      this.#unanswered++;
    } catch {
      // The next commit tells more.
    }
  }
}

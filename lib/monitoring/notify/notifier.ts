import { randomUUID } from "node:crypto";
import { delay, inBackground } from "../../async/waits.ts";
import { count } from "../../config/count.ts";
import type { NotifyTarget } from "../../config/notify_targets.ts";
import { classifyError, explain } from "../../postgres/database.ts";
import type { Notification, NotificationOutbox, Store } from "../../postgres/store.ts";
import type { Log } from "../log.ts";
import { mostEvents } from "./http_requests.ts";
import { sendMessage } from "./sender.ts";

/** Milliseconds between two looks. */
const LOOK_INTERVAL = 1_000;
/** Milliseconds between two looks for what is to be told again, and for what has to be given up. */
const CARE_INTERVAL = 60_000;
/** Seconds until a message is tried again: the first time, and at most. */
const FIRST_WAIT = 5;
const LONGEST_WAIT = 300;
/** Milliseconds that the end waits for a message under way. */
const LAST_MESSAGE = 2_000;

/** Who is told, after how many seconds, and the address of the page, for links. */
export interface NotifierOptions {
  readonly targets: readonly NotifyTarget[];
  readonly wait: number;
  /** Seconds after which what lasts is told again; null: never. */
  readonly again: number | null;
  readonly page: string | null;
}

/**
 * Tells the targets of incidents, from the table of notifications, until it is disposed of. Several
 * consumers may do so: each message is taken by one of them, and by another one if that dies.
 */
export function startNotifier(
  { outbox, hasIncidents }: Pick<Store, "outbox" | "hasIncidents">,
  options: NotifierOptions,
  log: Log,
): AsyncDisposable {
  const isPossible = options.targets.length > 0 && hasIncidents;
  return inBackground(
    (signal) => isPossible ? new Notifier(outbox, options, log, signal).run() : Promise.resolve(),
    LAST_MESSAGE,
  );
}

class Notifier {
  readonly #outbox: NotificationOutbox;
  readonly #options: NotifierOptions;
  readonly #log: Log;
  readonly #end: AbortSignal;
  readonly #holder = randomUUID();

  constructor(outbox: NotificationOutbox, options: NotifierOptions, log: Log, end: AbortSignal) {
    this.#outbox = outbox;
    this.#options = options;
    this.#log = log;
    this.#end = end;
  }

  /** One target that is slow does not hold up the others. Never rejects. */
  async run(): Promise<void> {
    const { targets } = this.#options;
    await Promise.all([
      ...targets.map((target) => this.#repeat(LOOK_INTERVAL, () => this.#tell(target))),
      this.#repeat(CARE_INTERVAL, () => this.#remind()),
      this.#repeat(CARE_INTERVAL, () => this.#giveUp()),
    ]);
    // Where that fails, the others wait until the lease is over.
    await this.#outbox.release(this.#holder).catch(() => {});
  }

  async #repeat(interval: number, work: () => Promise<void>): Promise<void> {
    while (!this.#end.aborted) {
      try {
        await work();
      } catch (error) {
        // While the server is away, the storing says so.
        if (!this.#end.aborted && classifyError(error) !== "wait") {
          this.#log.warn(`Notifications cannot be sent: ${explain(error)}`);
        }
      }
      await delay(interval, this.#end);
    }
  }

  async #tell(target: NotifyTarget): Promise<void> {
    const ids = { message: randomUUID(), holder: this.#holder };
    const { wait: patience, page } = this.#options;
    const message = await this.#outbox.take(target.name, { wait: patience, most: mostEvents(target) }, ids);
    if (message === null) return;
    try {
      await sendMessage(target, message, { page, stop: this.#end });
    } catch (error) {
      const why = (error as Error).message;
      const wait = Math.min(FIRST_WAIT * 2 ** Math.min(message.tries - 1, 10), LONGEST_WAIT);
      if (!this.#end.aborted) {
        const what = count(message.notifications.length, "notification");
        this.#log.warn(`${target.name}: ${what} not sent (${why}): trying again in ${wait} s`);
      }
      return await this.#outbox.failed(target.name, message.id, why, this.#end.aborted ? 0 : wait);
    }
    await this.#outbox.sent(target.name, message.id);
    this.#log.debug(`${target.name}: ${count(message.notifications.length, "notification")} sent`);
  }

  async #remind(): Promise<void> {
    const { targets, again } = this.#options;
    if (again !== null) await this.#outbox.remind(targets.map(({ name }) => name), again);
  }

  async #giveUp(): Promise<void> {
    const givenUp = await this.#outbox.giveUp();
    for (const [target, number] of givenUp) {
      this.#log.error(`${target}: ${count(number, "notification")} given up after a day`);
    }
  }
}

/**
 * Tells each target of an incident that never was, and of its end. Says how it went, and gives the
 * number of targets that did not accept it.
 */
export async function testTargets(
  targets: readonly NotifyTarget[],
  print: (text: string) => Promise<void>,
  stop: AbortSignal,
): Promise<number> {
  let failures = 0;
  const opened = testOpening(new Date());
  for (const target of targets) {
    let outcome = "accepted";
    try {
      for (const notification of [opened, { ...opened, event: "closed" as const, closedAt: new Date() }]) {
        const message = { id: randomUUID(), tries: 1, notifications: [notification] };
        await sendMessage(target, message, { page: null, stop });
      }
    } catch (error) {
      failures++;
      outcome = (error as Error).message;
    }
    await print(`${target.name}: ${outcome}\n`);
  }
  return failures;
}

function testOpening(now: Date): Notification {
  return {
    event: "opened",
    incident: randomUUID(),
    kind: "down",
    address: "https://test.host-checker.invalid",
    openedAt: now,
    closedAt: null,
    locations: [],
    error: "connect",
    errorDetail: "a test of --notify-test: nothing is wrong",
    statusCode: null,
    checks: 2,
    lastUp: null,
  };
}

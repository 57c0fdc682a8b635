import { setTimeout as delay } from "node:timers/promises";
import type { IncidentSettings } from "../../../lib/config/settings.ts";
import { eventually } from "../../support/eventually.ts";
import type { Random } from "../../support/random.ts";
import { openReceiver, type Received, type Receiver } from "../../support/receiver.ts";
import type { SendingOptions } from "../sending.ts";
import { NumberSource } from "../source.ts";
import { eventsToTell, type FoundIncident, type Incidents, type ToldEvent } from "./account.ts";
import type { FeedOptions } from "./feed.ts";
import { dueIncidents } from "./oracle.ts";
import { checkId, type PlannedCheck, type PlanOptions, TICK, ticksOf } from "./plan.ts";

const FEED = new URL("feed.ts", import.meta.url);
const HOSTS = 60;
/** Ticks of the plan in a second: the plan goes three times as fast as the clock. */
const RATE = 12;
/**
 * Milliseconds by which the plan is ahead of the clock. So no host is ever silent, however long the
 * feed rests.
 */
const AHEAD = 3_600_000;
/** Milliseconds until what was written is in the table, and until all of it is told. */
const LIMIT = 180_000;

type Sql = (text: string) => Promise<readonly Readonly<Record<string, unknown>>[]>;

/** Hosts that go down and up by a plan, and a receiver that is told of it. */
export class PlannedHosts implements AsyncDisposable {
  readonly #sql: Sql;
  readonly #table: string;
  readonly #plan: PlanOptions;
  readonly #rules: IncidentSettings;
  readonly #feed: NumberSource<Omit<FeedOptions, "from">>;
  readonly #ticks: Iterator<readonly PlannedCheck[]>;
  /** The checks of all ticks that were made, by address. */
  readonly #checks = new Map<string, PlannedCheck[]>();
  #taken = 0;
  #receiver: Receiver;
  /** How many requests of the receiver are among what was told. */
  #heard = 0;
  readonly #told: ToldEvent[] = [];
  readonly #toTell = new Set<string>();

  private constructor(sql: Sql, table: string, where: SendingOptions, random: Random, receiver: Receiver) {
    this.#sql = sql;
    this.#table = table;
    const base = Math.ceil((Date.now() + AHEAD) / 1000) * 1000;
    this.#plan = { seed: random.between(1, 1_000_000), hosts: HOSTS, base };
    this.#rules = {
      downAfter: random.between(2, 3),
      upAfter: random.between(1, 2),
      places: random.pick([2, "majority"]),
      certificateDays: 21,
    };
    this.#feed = new NumberSource({ ...where, plan: this.#plan, rate: RATE }, FEED);
    this.#ticks = ticksOf(this.#plan);
    this.#receiver = receiver;
  }

  static async open(sql: Sql, table: string, where: SendingOptions, random: Random): Promise<PlannedHosts> {
    return new PlannedHosts(sql, table, where, random, await openReceiver());
  }

  /** The settings of consumers that follow. */
  get environment(): Readonly<Record<string, string>> {
    const { downAfter, upAfter, places } = this.#rules;
    return {
      DOWN_AFTER: String(downAfter),
      UP_AFTER: String(upAfter),
      PLACES: String(places),
      NOTIFY: `http://127.0.0.1:${this.#receiver.port}/`,
      NOTIFY_WAIT: "1",
    };
  }

  /** The receiver of the notifications. */
  get receiver(): Receiver {
    return this.#receiver;
  }

  /** The ticks that are in the topic. */
  get made(): number {
    return this.#feed.made;
  }

  /** The due time of the next tick. */
  get now(): number {
    return this.#plan.base + this.made * TICK;
  }

  resume(): void {
    this.#feed.resume();
  }

  kill(): void {
    this.#feed.kill();
  }

  /** Nobody can reach the receiver, until `return` is called. */
  async leave(): Promise<{ return(): Promise<void> }> {
    const { port } = this.#receiver;
    this.#hear();
    await this.#receiver[Symbol.asyncDispose]();
    const comeBack = async () => {
      this.#receiver = await openReceiver(port);
      this.#heard = 0;
    };
    return { return: comeBack };
  }

  /** Stops the feed. Waits until all that it made is in the table. */
  async rest(): Promise<void> {
    await this.#feed.pause();
    for (; this.#taken < this.made; this.#taken++) {
      for (const check of this.#ticks.next().value as readonly PlannedCheck[]) {
        const own = this.#checks.get(check.address);
        if (own === undefined) this.#checks.set(check.address, [check]);
        else own.push(check);
      }
    }
    // Those of an address are stored in their order.
    const last = [...this.#checks.values()].flatMap((own) => own.slice(-1));
    if (last.length === 0) return;
    const values = last.map((check) =>
      `('${check.address}', '${new Date(check.due).toISOString()}'::timestamptz, '${checkId(check)}'::uuid)`
    );
    await eventually(
      async () => {
        const [row] = await this.#sql(`select count(*)::int as n from (values ${values.join()}) v(address, due, id)
          where exists (select from ${this.#table} m
            where m.address = v.address and m.scheduled_at = v.due and m.check_id::uuid = v.id)`);
        return row?.n === last.length;
      },
      () => `The checks of the plan are not all stored after ${LIMIT / 1000} s`,
      { timeout: LIMIT, interval: 300 },
    );
  }

  /**
   * Waits until all that waits was sent. Whoever died with a lease, and what could not be sent,
   * would hold that up for minutes.
   */
  async tellAll(): Promise<void> {
    await eventually(
      async () => {
        await this.hurry();
        const [row] = await this.#sql(
          `select count(*)::int as n from ${this.#table}_notifications where sent_at is null`,
        );
        return row?.n === 0;
      },
      () => `Notifications are not sent after ${LIMIT / 1000} s`,
      { timeout: LIMIT, interval: 500 },
    );
    for (const event of eventsToTell(await this.#found())) this.#toTell.add(event);
  }

  /** Nobody waits for a lease of the dead, nor for the next try. */
  async hurry(): Promise<void> {
    await this.#sql(
      `update ${this.#table}_leases set held_until = now() - interval '1 second' where what like 'notify %'`,
    );
    await this.#sql(
      `update ${this.#table}_notifications set due_at = now() where sent_at is null and message is not null`,
    );
  }

  /** Waits until the receiver gets one more message, and for some milliseconds. */
  async nextMessage(then: number): Promise<void> {
    const { received } = this.#receiver;
    const before = received.length;
    await eventually(() => received.length > before, () => "Nobody tells anything", { timeout: 90_000, interval: 1 });
    await delay(then);
  }

  /** Tells it, if there are not as many rows of the plan's checks as there are checks. */
  async lostRows(): Promise<string[]> {
    const [row] = await this.#sql(`select count(*)::int as n from ${this.#table} where address like 'https://plan%'`);
    const due = [...this.#checks.values()].reduce((sum, { length }) => sum + length, 0);
    return row?.n === due ? [] : [`of ${due} planned checks there are ${row?.n} rows`];
  }

  /** What must be, and what is, once the feed rests. */
  async incidents(): Promise<Incidents> {
    this.#hear();
    const due = [...this.#checks.values()].flatMap((checks) => dueIncidents(checks, this.#rules));
    return { due, found: await this.#found(), told: this.#told, toTell: this.#toTell };
  }

  async #found(): Promise<FoundIncident[]> {
    const time = (column: string) => `(extract(epoch from ${column}) * 1000)::float8 as ${column}`;
    const rows = await this.#sql(
      `select id, kind, address, ${["opened_at", "confirmed_at", "closed_at"].map(time)},
         to_json(locations)::text as locations, error, error_detail, status_code, checks::int
       from ${this.#table}_incidents`,
    );
    return rows.map((row) => ({
      ...{ id: String(row.id), kind: String(row.kind), address: String(row.address) },
      ...{ openedAt: Number(row.opened_at), confirmedAt: Number(row.confirmed_at) },
      closedAt: row.closed_at === null ? null : Number(row.closed_at),
      locations: JSON.parse(String(row.locations)) as string[],
      ...{ error: row.error as string | null, detail: row.error_detail as string | null },
      ...{ status: row.status_code as number | null, checks: Number(row.checks) },
    }));
  }

  /** Takes down what the receiver got. */
  #hear(): void {
    const { received } = this.#receiver;
    for (; this.#heard < received.length; this.#heard++) {
      const { headers, body, behaviour } = received[this.#heard] as Received;
      const { data } = JSON.parse(body) as { data: { incidents: readonly { id: string; event: string }[] } };
      const key = String(headers["idempotency-key"]);
      // Whoever accepts and dies has kept it.
      const isAccepted = behaviour === 204 || behaviour === "accept and die";
      for (const { id, event } of data.incidents) this.#told.push({ event: `${id} ${event}`, key, isAccepted });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#feed[Symbol.asyncDispose]();
    await this.#receiver[Symbol.asyncDispose]();
  }
}

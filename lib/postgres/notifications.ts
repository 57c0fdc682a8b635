import type { Database } from "./database.ts";
import { upSql } from "./host_state.ts";
import { leaseSql } from "./leases.ts";
import { inMaintenanceSql } from "./maintenance_sql.ts";
import { arrayText } from "./pg_text.ts";
import type { QuotedTables } from "./schema.ts";
import type { Tables } from "./tables.ts";

/** An event of an incident that somebody is to be told of. */
export interface Notification {
  /** `again`: it lasts, and was told a while ago. */
  readonly event: "opened" | "closed" | "again";
  /** The incident's id. */
  readonly incident: string;
  readonly kind: string;
  readonly address: string;
  readonly openedAt: Date;
  /** Null: it lasts. */
  readonly closedAt: Date | null;
  readonly locations: readonly string[];
  readonly error: string | null;
  readonly errorDetail: string | null;
  readonly statusCode: number | null;
  readonly checks: number;
  /** When the last check was due that was up; null: none is known. */
  readonly lastUp: Date | null;
  /** True if the address tells of the network of a place; absent: it does not. */
  readonly isCanary?: boolean;
}

/** Events that go to a target together. The id stays the same when they are sent again. */
export interface NotificationMessage {
  readonly id: string;
  /** How often it was tried, this time included. */
  readonly tries: number;
  readonly notifications: readonly Notification[];
}

/** How events become messages. */
export interface MessageLimits {
  /** Seconds: what comes in this time after the first event goes into one message with it. */
  readonly wait: number;
  /** Events in one message, at most. */
  readonly most: number;
}

/** A consumer that has not taken a target's messages again for so long is taken for dead. */
const LEASE = "60 seconds";
/** Rows that nobody needs any more go after this time. */
const KEPT = "30 days";
/** A message is given up when it could not be sent for so long. */
const LIFE = "1 day";
/** Checks before an outage among which the last good one is looked for. */
const LOOKED_BACK = 100;

/** The name of a target's lease. */
const leaseOf = (target: string) => `notify ${target}`;

/**
 * Part of a statement that opens or closes incidents: each of them is to be told to each target, an
 * array as text. Its parts `opened` and `closed` give what it has opened and closed.
 */
export function tellSql({ notifications }: Pick<QuotedTables, "notifications">, targets: string): string {
  return `told as (
  insert into ${notifications} (id, incident, event, target)
  select md5(e.id::text || e.event || t.target)::uuid, e.id, e.event, t.target
  from (
    select id, case when closed_at is null then 'opened' else 'closed' end as event from opened
    union all select id, 'closed' from closed
  ) e cross join unnest(${targets}::text[]) t(target)
  on conflict do nothing
)`;
}

/** What is neither sent nor given up. */
const LEFT = "n.target = $1::text and n.sent_at is null and n.given_up_at is null";

interface TakenRow {
  readonly message: string;
  readonly tries: number;
  /** JSON. */
  readonly events: string;
}

/** A notification in JSON. */
type TakenEvent = Omit<Notification, "openedAt" | "closedAt" | "lastUp" | "isCanary"> & {
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly lastUp: string | null;
};

/** The messages to targets that are to be sent, as the database keeps them. */
export class NotificationOutbox {
  readonly #database: Database;
  readonly #tables: () => Tables;
  readonly #isCanary: (address: string) => boolean;

  constructor(database: Database, tables: () => Tables, isCanary: (address: string) => boolean = () => false) {
    this.#database = database;
    this.#tables = tables;
    this.#isCanary = isCanary;
  }

  /**
   * Puts the events that wait for a target into one message, with the id `message`, once the oldest
   * has waited. Then takes the message that is due first; null: there is none, or another consumer
   * sends to this target. Nobody else does so for a minute.
   */
  async take(
    target: string,
    { wait, most }: MessageLimits,
    ids: { readonly message: string; readonly holder: string },
  ): Promise<NotificationMessage | null> {
    const tables = this.#tables();
    const { notifications } = tables;
    const isOld = "n.message is null and n.created_at <= now() - $2::text::float8 * interval '1 second'";
    // Nothing is written as long as nothing is due.
    const [due] = await this.#database.query(
      `select 1 as due from ${notifications} n where ${LEFT} and (n.due_at <= now() or ${isOld}) limit 1`,
      [target, String(wait)],
    );
    if (due === undefined) return null;
    const [lease] = await this.#database.query(leaseSql(tables, LEASE), [leaseOf(target), ids.holder]);
    if (lease === undefined) return null;
    await this.#database.query(
      `update ${notifications} set message = $3::text::uuid, due_at = now()
       where id in (
         select n.id from ${notifications} n where ${LEFT} and n.message is null order by n.created_at limit ${most}
       ) and message is null and exists (select from ${notifications} n where ${LEFT} and ${isOld})`,
      [target, String(wait), ids.message],
    );
    const [row] = await this.#database.query<TakenRow>(takeSql(tables), [target]);
    return row === undefined ? null : messageOf(row, this.#isCanary);
  }

  /**
   * The target has accepted the message. Where it tells an end, its beginning need not be told any
   * more: it would look like a new incident.
   */
  async sent(target: string, message: string): Promise<void> {
    const { notifications } = this.#tables();
    await this.#database.query(
      `with sent as (
         update ${notifications} n set sent_at = now(), failure = null
         where ${LEFT} and n.message = $2::text::uuid returning n.incident, n.event
       )
       update ${notifications} n set sent_at = now(), failure = 'its end was told first'
       from sent s where ${LEFT} and n.message is distinct from $2::text::uuid
         and n.incident = s.incident and s.event = 'closed'`,
      [target, message],
    );
  }

  /** The message is to be tried again after so many seconds. */
  async failed(target: string, message: string, why: string, seconds: number): Promise<void> {
    await this.#database.query(
      `update ${this.#tables().notifications} n set failure = $3::text,
         due_at = now() + $4::text::float8 * interval '1 second'
       where ${LEFT} and n.message = $2::text::uuid`,
      [target, message, why, String(seconds)],
    );
  }

  /** Lets another consumer send to the targets at once. */
  async release(holder: string): Promise<void> {
    await this.#database.query(
      `update ${this.#tables().leases} set held_until = now()
       where holder = $1::text::uuid and starts_with(what, '${leaseOf("")}')`,
      [holder],
    );
  }

  /**
   * Whatever lasts is to be told to each target once more, so many seconds after that was told of it
   * last. Whoever finds that out writes the same row. Nobody is reminded of a site at which people
   * work.
   */
  async remind(targets: readonly string[], seconds: number): Promise<void> {
    const tables = this.#tables();
    const { incidents, notifications } = tables;
    await this.#database.query(
      `insert into ${notifications} (id, incident, event, target)
       select md5(i.id::text || 'again' || t.target || extract(epoch from l.told_at))::uuid, i.id, 'again', t.target
       from ${incidents} i cross join unnest($1::text[]) t(target) cross join lateral (
         select max(n.sent_at) as told_at, bool_or(n.sent_at is null and n.given_up_at is null) as is_waiting
         from ${notifications} n where n.incident = i.id and n.target = t.target
       ) l
       where i.closed_at is null and l.told_at <= now() - $2::text::float8 * interval '1 second' and not l.is_waiting
         and not ${inMaintenanceSql(tables, "i.address", "now()")}
       on conflict do nothing`,
      [arrayText(targets), String(seconds)],
    );
  }

  /** Gives up what could not be sent for a day. Gives the number of events for each target. */
  async giveUp(): Promise<ReadonlyMap<string, number>> {
    const { notifications } = this.#tables();
    const rows = await this.#database.query<{ target: string; count: number }>(
      `with given_up as (
         update ${notifications} set given_up_at = now()
         where sent_at is null and given_up_at is null and created_at < now() - interval '${LIFE}'
         returning target
       ), gone as (
         delete from ${notifications} where created_at < now() - interval '${KEPT}' and
           coalesce(sent_at, given_up_at) is not null
       )
       select target, count(*)::int as count from given_up group by target`,
    );
    return new Map(rows.map(({ target, count }) => [target, count]));
  }
}

/**
 * Takes the message of the target $1 that is due first. The commit waits for the disk, and so for
 * all that was written before it: a crash of the server that took back the message's id, or its
 * incident, would let it be told again under another id.
 */
function takeSql({ main, incidents, notifications, columns, repeatKey }: Tables): string {
  const up = upSql({ error: true, up: columns.includes("up") });
  // Without an index all rows would have to be read.
  const lastUp = repeatKey === null ? "select null::timestamptz as at" : `select max(m.scheduled_at) as at from (
    select m.scheduled_at, ${up} as is_up from ${main} m
    where m.address = i.address and m.scheduled_at < i.opened_at and i.kind = 'down'
    order by m.scheduled_at desc limit ${LOOKED_BACK}
  ) m where m.is_up`;
  return `with due as (
  select n.message from ${notifications} n
  where ${LEFT} and n.message is not null and n.due_at <= now()
    and exists (select from ${incidents} i where i.id = n.incident)
  order by n.due_at limit 1
), taken as (
  update ${notifications} n set tries = n.tries + 1 where ${LEFT} and n.message = (select message from due)
    and set_config('synchronous_commit', 'on', true) is not null
  returning n.message, n.incident, n.event, n.tries, n.created_at
)
select t.message, max(t.tries) as tries, json_agg(json_build_object('event', t.event, 'incident', i.id,
  'kind', i.kind, 'address', i.address, 'openedAt', i.opened_at, 'closedAt', i.closed_at, 'locations', i.locations,
  'error', i.error, 'errorDetail', i.error_detail, 'statusCode', i.status_code, 'checks', i.checks,
  'lastUp', u.at) order by t.created_at, i.opened_at, i.address)::text as events
from taken t join ${incidents} i on i.id = t.incident
left join lateral (${lastUp}) u on true
group by t.message`;
}

function messageOf(
  { message, tries, events }: TakenRow,
  isCanary: (address: string) => boolean,
): NotificationMessage {
  const timeOf = (time: string | null) => time === null ? null : new Date(time);
  return {
    id: message,
    tries: Number(tries),
    notifications: (JSON.parse(events) as TakenEvent[]).map((event) => ({
      ...event,
      openedAt: new Date(event.openedAt),
      closedAt: timeOf(event.closedAt),
      lastUp: timeOf(event.lastUp),
      isCanary: isCanary(event.address),
    })),
  };
}

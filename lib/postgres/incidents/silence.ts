import { randomUUID } from "node:crypto";
import { addAbortListener } from "node:events";
import { delay } from "../../async/waits.ts";
import { classifyError, type Database, explain } from "../database.ts";
import { CHECK_GRACE } from "../host_state.ts";
import { leaseSql } from "../leases.ts";
import { inMaintenanceSql } from "../maintenance_sql.ts";
import { tellSql } from "../notifications.ts";
import { arrayText } from "../pg_text.ts";
import type { Foreground } from "../roll_up.ts";
import type { Tables } from "../tables.ts";
import { viewQuery } from "../views.ts";

/** Milliseconds between two looks. */
const LOOK_INTERVAL = 60_000;
/** A consumer that does not look for so long is taken for dead, and another one looks. */
const LEASE = "150 seconds";
/** Names in the table of the leases. */
const LOOKING = "silence";
const BEHIND = "behind";

/** What a look for silence needs, and who hears of it. */
export interface SilenceWork {
  /** A way to the database on which nobody else waits: the look goes over all addresses. */
  open(): Database;
  /** True if everything is stored that was in the topic a minute ago, as far as it is read here. */
  isCaughtUp(): Promise<boolean>;
  /** Addresses of which no check has come in time, or of which checks come again. */
  changed(opened: readonly string[], closed: readonly string[]): void;
  /** It could not be looked. */
  failed(why: string): void;
}

/**
 * Looks for addresses that nobody checks any more: each that is due, and of which no check came.
 * Nobody else would say so, since no message tells it. Of several consumers one looks at a time.
 *
 * While a consumer is behind nobody looks: what it has not stored yet would seem never to have come.
 */
export class SilenceWatch {
  readonly #database: Database;
  readonly #tables: Tables;
  readonly #foreground: Foreground;
  /** Whom to tell, by name. */
  readonly #targets: readonly string[];
  readonly #holder = randomUUID();

  constructor(database: Database, tables: Tables, foreground: Foreground, targets: readonly string[]) {
    this.#database = database;
    this.#tables = tables;
    this.#foreground = foreground;
    this.#targets = targets;
  }

  /** Looks each minute, until `signal` aborts. Never rejects. */
  async run(work: SilenceWork, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (!await work.isCaughtUp()) await this.holdOff();
        else {
          await this.#foreground.quiet(signal);
          if (!signal.aborted) await this.look(work, signal);
        }
      } catch (error) {
        // While the server is away, the storing says so.
        if (!signal.aborted && classifyError(error) !== "wait") work.failed(explain(error));
      }
      await delay(LOOK_INTERVAL, signal);
    }
  }

  /** Asks all consumers not to look for some time. */
  async holdOff(): Promise<void> {
    await this.#database.query(
      `insert into ${this.#tables.leases} as l (what, holder, held_until)
       values ('${BEHIND}', $1::text::uuid, now() + interval '${LEASE}')
       on conflict (what) do update set holder = excluded.holder, held_until = excluded.held_until`,
      [this.#holder],
    );
  }

  /** Looks once, unless another consumer does so, or one is behind. Ends when `signal` aborts. */
  async look({ open, changed }: Pick<SilenceWork, "open" | "changed">, signal: AbortSignal): Promise<void> {
    const noneBehind = `not exists (
  select from ${this.#tables.leases} b where b.what = '${BEHIND}' and b.held_until > now()
)`;
    const lease = leaseSql(this.#tables, LEASE, noneBehind);
    const [taken] = await this.#database.query(lease, [LOOKING, this.#holder]);
    if (taken === undefined) return;
    await using database = open();
    using _listening = addAbortListener(signal, () => void database[Symbol.asyncDispose]());
    const rows = await database.query<{ address: string; opened: boolean }>(silenceSql(this.#tables), [
      arrayText(this.#targets),
    ]);
    const addresses = (isOpened: boolean) =>
      rows.filter(({ opened }) => opened === isOpened).map(({ address }) => address);
    if (rows.length > 0) changed(addresses(true), addresses(false));
  }
}

/**
 * Opens an incident for each address that is due and was not checked, and closes those of addresses
 * that are checked again, or have left the hosts file. An address with a place that is not due yet
 * is not silent. Nothing is opened for an address in maintenance.
 */
function silenceSql(tables: Tables): string {
  const { main, incidents, columns } = tables;
  const told = "m.error is distinct from 'missed'";
  return `with silent as materialized (
  select n.address, n.location, n.next_at from (${
    viewQuery(tables, "now", columns, { ...tables, hasMaintenance: false })
  }) n
  where n.state = 'stale' and not exists (
    select from (
      select m.next_at from ${main} m where m.address = n.address and ${told} order by m.scheduled_at desc limit 32
    ) r where r.next_at + interval '${CHECK_GRACE} seconds' >= now()
  )
), closed as (
  update ${incidents} i set closed_at = coalesce((
    select m.scheduled_at from ${main} m where m.address = i.address and m.scheduled_at >= i.opened_at and ${told}
    order by m.scheduled_at limit 1
  ), now())
  where i.kind = 'silence' and i.closed_at is null and not exists (select from silent s where s.address = i.address)
  returning i.id, i.address
), opened as (
  insert into ${incidents} (id, kind, address, opened_at, confirmed_at, locations, error_detail, checks)
  select md5('silence' || s.address || now())::uuid, 'silence', s.address, s.next_at, now(),
    array_remove(array[s.location::text], null), 'no check since it was due', 0
  from silent s where not ${inMaintenanceSql(tables, "s.address", "now()")}
  on conflict do nothing
  returning id, address, closed_at
), ${tellSql(tables, "$1")}
select address, true as opened from opened union all select address, false from closed order by address`;
}

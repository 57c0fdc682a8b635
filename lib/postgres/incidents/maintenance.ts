import { matchesGlob } from "../../config/glob.ts";
import type { Database } from "../database.ts";
import { millisecondsSql } from "../pg_text.ts";
import type { QuotedTables } from "../schema.ts";

/** Milliseconds for which the table is not read again: people write into it seldom. */
const FRESH = 10_000;
/** Rows that count: those that end last. */
const MOST = 10_000;

/** A row of the table: in this time somebody works at the addresses that the pattern matches. */
interface MaintenanceWindow {
  readonly pattern: string;
  /** Milliseconds since 1970; null: always. */
  readonly starts: number | null;
  /** The first moment that does not belong to it; null: never. */
  readonly ends: number | null;
}

/** Times in which people work at sites: a check then tells of them, and not of the site. */
export class MaintenanceWindows {
  readonly #windows: readonly MaintenanceWindow[];

  constructor(windows: readonly MaintenanceWindow[]) {
    this.#windows = windows;
  }

  /** True if the address is worked at, at a time in milliseconds since 1970. */
  has(address: string, time: number): boolean {
    return this.#windows.some(({ pattern, starts, ends }) =>
      (starts ?? -Infinity) <= time && time < (ends ?? Infinity) && matchesGlob(pattern, address)
    );
  }
}

/** Nobody works at any site. */
export const NO_MAINTENANCE = new MaintenanceWindows([]);

/** What people have written into the table of maintenance. */
export class Maintenance {
  readonly #database: Database;
  readonly #tables: Pick<QuotedTables, "maintenance">;
  #windows = NO_MAINTENANCE;
  /** By `performance.now()`. */
  #readAt = -Infinity;

  constructor(database: Database, tables: Pick<QuotedTables, "maintenance">) {
    this.#database = database;
    this.#tables = tables;
  }

  /** The times as they were some seconds ago at most. */
  async windows(): Promise<MaintenanceWindows> {
    const now = performance.now();
    if (now - this.#readAt < FRESH) return this.#windows;
    const rows = await this.#database.query<WindowRow>(windowRowsSql(this.#tables));
    const time = (text: string | null) => text === null ? null : Number(text);
    this.#windows = new MaintenanceWindows(
      rows.map(({ address, starts, ends }) => ({ pattern: address, starts: time(starts), ends: time(ends) })),
    );
    this.#readAt = now;
    return this.#windows;
  }
}

interface WindowRow {
  readonly address: string;
  readonly starts: string | null;
  readonly ends: string | null;
}

/** Both times in milliseconds since 1970, as texts; null stands for an infinite one. */
function windowRowsSql({ maintenance }: Pick<QuotedTables, "maintenance">): string {
  return `select address, (${millisecondsSql("starts_at")})::text as starts,
  (${millisecondsSql("ends_at")})::text as ends
from ${maintenance} where starts_at < ends_at order by ends_at desc limit ${MOST}`;
}

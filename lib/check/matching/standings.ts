/** Beyond so many hosts the oldest are forgotten. */
const MOST_HOSTS = 200_000;
/** The most quick pages in a row that a host has to show. */
const MOST_PENANCE = 64;

interface Record {
  /** Pages that must be matched quickly until the host is believed again. */
  readonly left: number;
  /** How many that were after its last slow one. */
  readonly penance: number;
}

/** Whose pages are matched quickly, whose are not, and whose nobody knows. */
export class MatchStandings {
  readonly #records = new Map<string, Record>();

  /** Undefined where nothing is known. */
  isSlow(who: string): boolean | undefined {
    const record = this.#records.get(who);
    return record === undefined ? undefined : record.left > 0;
  }

  /** A match was done in time. */
  noteQuick(who: string): void {
    const { left, penance } = this.#records.get(who) ?? { left: 0, penance: 0 };
    // In time it is forgotten.
    this.#set(who, left > 0 ? { left: left - 1, penance } : { left: 0, penance: Math.max(0, penance - 1) });
  }

  /**
   * One match took long: once that may be this machine's fault, and one quick page is enough; each
   * time it takes twice as many.
   */
  noteSlow(who: string): void {
    const penance = Math.min(MOST_PENANCE, Math.max(1, 2 * (this.#records.get(who)?.penance ?? 0)));
    this.#set(who, { left: penance, penance });
  }

  #set(who: string, record: Record): void {
    this.#records.set(who, record);
    if (this.#records.size <= MOST_HOSTS) return;
    for (const oldest of this.#records.keys()) return void this.#records.delete(oldest);
  }
}

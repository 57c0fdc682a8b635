/** Beyond so many hosts the oldest are forgotten. */
const MOST_HOSTS = 200_000;
/** The most quick pages in a row that a host must show. */
const MOST_PENANCE = 64;

interface MatchRecord {
  /** Quick pages that the host must still show until it counts as quick again. */
  readonly left: number;
  /** How many it had to show after its last slow page. */
  readonly penance: number;
}

/** Remembers whose pages are matched quickly, and whose are not. */
export class MatchStandings {
  readonly #records = new Map<string, MatchRecord>();

  /** Undefined where the host is not known. */
  isSlow(who: string): boolean | undefined {
    const record = this.#records.get(who);
    return record === undefined ? undefined : record.left > 0;
  }

  /** Notes a match that was done in time. */
  noteQuick(who: string): void {
    const { left, penance } = this.#records.get(who) ?? { left: 0, penance: 0 };
    // With time the penance is forgotten.
    this.#set(who, left > 0 ? { left: left - 1, penance } : { left: 0, penance: Math.max(0, penance - 1) });
  }

  /**
   * Notes a match that took long. The first time it may be this machine's fault, and one quick page
   * is enough. Each further time it takes twice as many.
   */
  noteSlow(who: string): void {
    const penance = Math.min(MOST_PENANCE, Math.max(1, 2 * (this.#records.get(who)?.penance ?? 0)));
    this.#set(who, { left: penance, penance });
  }

  #set(who: string, record: MatchRecord): void {
    this.#records.set(who, record);
    if (this.#records.size <= MOST_HOSTS) return;
    for (const oldest of this.#records.keys()) return void this.#records.delete(oldest);
  }
}

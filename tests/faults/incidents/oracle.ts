import type { IncidentSettings } from "../../../lib/config/settings.ts";
import type { PlannedCheck } from "./plan.ts";

// The incidents that must be, by docs/alerts.md, found in another way than the consumer does it: of
// all checks of an address at once. Times are milliseconds since 1970.

/** An incident that must be. */
export interface DueIncident {
  readonly kind: "down" | "certificate";
  readonly address: string;
  readonly openedAt: number;
  readonly confirmedAt: number;
  /** Null: it lasts. */
  readonly closedAt: number | null;
  readonly locations: readonly string[];
  readonly error: string | null;
  readonly detail: string | null;
  readonly status: number | null;
  /**
   * Checks that were not up, counted when it was confirmed and again when it ended. Null for a
   * certificate: these are not read again after a restart.
   */
  readonly checks: number | null;
}

/** Milliseconds after its next due time for which a place has a voice. */
const VOICE = 70_000;
const DAY = 86_400_000;

/** What a place says after one of its checks. */
interface Word {
  readonly check: PlannedCheck;
  readonly says: "up" | "down" | "gone";
  /** The checks that were not up, of the streak under way. */
  readonly streak: readonly PlannedCheck[];
  /** The first check of the run that ended its outage; null: it has ended none. */
  readonly return: PlannedCheck | null;
  /** When the certificate that it saw last expires. */
  readonly expires: number | null;
}

/** The incidents of an address. `checks` are in the order in which they were written. */
export function dueIncidents(checks: readonly PlannedCheck[], rules: IncidentSettings): DueIncident[] {
  const timely = withoutLate(checks.filter(({ verdict }) => verdict !== "missed"));
  const words = new Map<PlannedCheck, Word>();
  for (const own of Map.groupBy(timely, ({ location }) => location).values()) {
    for (const word of wordsOf(own, rules)) words.set(word.check, word);
  }
  const inOrder = timely.map((check) => words.get(check) as Word);
  return [...outages(inOrder, rules), ...expiries(inOrder, rules)];
}

/** A check that is no newer than another one of its place, which came before it, is late. */
function withoutLate(checks: readonly PlannedCheck[]): PlannedCheck[] {
  const newest = new Map<string | null, number>();
  return checks.filter(({ location, due, verdict }) => {
    const known = newest.get(location) ?? -Infinity;
    if (verdict === "removed" ? due < known : due <= known) return false;
    newest.set(location, due);
    return true;
  });
}

/** What a place says after each of its checks, by looking back at those before. */
function wordsOf(checks: readonly PlannedCheck[], { downAfter, upAfter }: IncidentSettings): Word[] {
  const words: Word[] = [];
  checks.forEach((check, at) => {
    const before = words.at(-1);
    const { verdict } = check;
    if (verdict === "removed") {
      return words.push({ check, says: "gone", streak: [], return: null, expires: null });
    }
    const enough = verdict === "down" ? downAfter : upAfter;
    const run = checks.slice(Math.max(0, at + 1 - enough), at + 1);
    const isRun = run.length === enough && run.every((other) => other.verdict === verdict);
    const wasDown = before?.says === "down";
    const isDown = isRun ? verdict === "down" : wasDown;
    words.push({
      check,
      says: isDown ? "down" : "up",
      streak: verdict === "down" ? [...before?.streak ?? [], check] : isDown ? before?.streak ?? [] : [],
      return: wasDown && !isDown ? run[0] ?? null : null,
      expires: check.expires ?? before?.expires ?? null,
    });
  });
  return words;
}

/** The newest words of the places that have a voice when the last of them is said. */
function voices(newest: ReadonlyMap<string | null, Word>, last: Word): Word[] {
  return [...newest.values()].filter(({ check, says }) =>
    says !== "gone" && (check === last.check || last.check.due <= (check.nextAt ?? 0) + VOICE)
  );
}

function outages(words: readonly Word[], { places }: IncidentSettings): DueIncident[] {
  const incidents: DueIncident[] = [];
  const newest = new Map<string | null, Word>();
  let open: DueIncident | null = null;
  let failed = 0;
  for (const word of words) {
    const { check, says } = word;
    newest.set(check.location, word);
    const mayOpen = says === "down" && check.verdict === "down";
    if (open === null && !mayOpen) continue;
    const voting = voices(newest, word);
    const agreeing = voting.filter((other) => other.says === "down");
    const needed = places === "majority" ? (voting.length + 1) / 2 : Math.min(places, voting.length);
    const isDown = agreeing.length > 0 && agreeing.length >= needed;
    if (open === null) {
      if (!isDown) continue;
      failed = [...newest.values()].flatMap(({ streak }) => streak).length;
      open = opening(check, agreeing, failed);
      continue;
    }
    if (check.verdict === "down") failed++;
    else if (!isDown) {
      incidents.push({ ...open, closedAt: word.return?.due ?? check.due, checks: failed });
      open = null;
    }
  }
  return open === null ? incidents : [...incidents, open];
}

function opening(check: PlannedCheck, agreeing: readonly Word[], checks: number): DueIncident {
  const firsts = agreeing.flatMap(({ streak }) => streak[0] ?? []);
  const first = firsts.toSorted((a, b) => a.due - b.due)[0] ?? check;
  const { error = null, detail = null, status = null } = first.failure ?? {};
  return {
    ...{ kind: "down", address: check.address, openedAt: first.due, confirmedAt: check.due, closedAt: null },
    ...{ locations: locationsOf(agreeing), error, status, checks },
    detail: error === null && status === 200 ? "the page does not match" : detail,
  };
}

function expiries(words: readonly Word[], { certificateDays }: IncidentSettings): DueIncident[] {
  const incidents: DueIncident[] = [];
  const newest = new Map<string | null, Word>();
  let open: DueIncident | null = null;
  for (const word of words) {
    const { check } = word;
    newest.set(check.location, word);
    const isShort = ({ expires }: Word) => expires !== null && check.due > expires - certificateDays * DAY;
    const { expires, address, due } = check;
    if (open === null && expires !== null && isShort(word)) {
      open = {
        ...{ kind: "certificate", address, openedAt: due, confirmedAt: due, closedAt: null },
        ...{ locations: locationsOf([word]), error: null, status: null, checks: null },
        detail: `the certificate expires at ${new Date(expires).toISOString()}`,
      };
    } else if (open !== null && (expires !== null || word.says === "gone") && !voices(newest, word).some(isShort)) {
      incidents.push({ ...open, closedAt: due });
      open = null;
    }
  }
  return open === null ? incidents : [...incidents, open];
}

function locationsOf(words: readonly Word[]): string[] {
  return words.flatMap(({ check }) => check.location ?? []).toSorted();
}

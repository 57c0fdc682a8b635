import type { DueIncident } from "./oracle.ts";

/** An incident in the table. */
export interface FoundIncident extends Omit<DueIncident, "kind"> {
  readonly id: string;
  readonly kind: string;
}

/** An event of an incident that a receiver was told, and the key that came with it. */
export interface ToldEvent {
  /** The incident's id and what became of it, `opened` or `closed`. */
  readonly event: string;
  readonly key: string;
  readonly isAccepted: boolean;
}

/** Counts of a stretch of time, by the moments at which incidents were confirmed. */
export interface IncidentAccount {
  readonly due: number;
  readonly found: number;
  readonly twice: readonly string[];
  readonly missing: readonly string[];
  /** Incidents with other values than they must have, and those that should not be. */
  readonly wrong: readonly string[];
  /** Events that must have been told by now, and those of them that no receiver has accepted. */
  readonly toTell: number;
  readonly untold: readonly string[];
  /** Events that were told under two keys. */
  readonly twoKeys: readonly string[];
}

/** What is compared. */
export interface Incidents {
  readonly due: readonly DueIncident[];
  readonly found: readonly FoundIncident[];
  readonly told: readonly ToldEvent[];
  /** Events that must have been told, as `ToldEvent` has them. */
  readonly toTell: ReadonlySet<string>;
}

/** Compares the incidents of a stretch of time, its end excluded, with those that must be. */
export function accountForIncidents({ due, found, told, toTell }: Incidents, from = 0, to = Infinity): IncidentAccount {
  const isIn = ({ confirmedAt }: Pick<DueIncident, "confirmedAt">) => from <= confirmedAt && confirmedAt < to;
  const expected = new Map(due.filter(isIn).map((incident) => [nameOf(incident), incident]));
  const rows = Map.groupBy(found.filter(isIn), nameOf);
  const stretch = found.filter(isIn);
  const wrong = [...rows].flatMap(([name, [row]]) => {
    const incident = expected.get(name);
    if (row === undefined) return [];
    if (incident === undefined) return [`${name} should not be: ${valuesOf(row, row)}`];
    const [is, must] = [valuesOf(row, incident), valuesOf(incident, incident)];
    return is === must ? [] : [`${name} is ${is}, and must be ${must}`];
  });
  const events = new Map(stretch.flatMap((row) => eventsOf(row).map((event) => [event, nameOf(row)] as const)));
  const accepted = new Set(told.filter(({ isAccepted }) => isAccepted).map(({ event }) => event));
  const keys = Map.groupBy(told.filter(({ event }) => events.has(event)), ({ event }) => event);
  const mustTell = [...events.keys()].filter((event) => toTell.has(event));
  const words = (event: string) => `${event} of ${events.get(event)}`;
  return {
    due: expected.size,
    found: stretch.length,
    twice: [...rows].filter(([, some]) => some.length > 1).map(([name]) => name),
    missing: [...expected.keys()].filter((name) => !rows.has(name)),
    wrong,
    toTell: mustTell.length,
    untold: mustTell.filter((event) => !accepted.has(event)).map(words),
    twoKeys: [...keys].filter(([, some]) => new Set(some.map(({ key }) => key)).size > 1).map(([event]) =>
      words(event)
    ),
  };
}

/** The events that must have been told once all that waited was sent. */
export function eventsToTell(found: readonly FoundIncident[]): string[] {
  return found.map(({ id, closedAt }) => `${id} ${closedAt === null ? "opened" : "closed"}`);
}

const eventsOf = ({ id }: FoundIncident) => [`${id} opened`, `${id} closed`];

function nameOf({ address, kind, confirmedAt }: Pick<FoundIncident, "address" | "kind" | "confirmedAt">): string {
  return `${kind} ${address} ${new Date(confirmedAt).toISOString()}`;
}

/** The values of an incident in words; the number of checks only where `must` has one. */
function valuesOf(incident: Omit<FoundIncident, "id">, must: Pick<DueIncident, "checks">): string {
  const { openedAt, closedAt, locations, error, detail, status, checks } = incident;
  const time = (at: number | null) => at === null ? "open" : new Date(at).toISOString().slice(11);
  const cause = `${error} (${detail}) ${status}`;
  return `${time(openedAt)} to ${time(closedAt)} at ${locations}: ${cause}${
    must.checks === null ? "" : `, ${checks} checks`
  }`;
}

/** The counts of an account. */
export type IncidentSummary = { readonly [count in keyof IncidentAccount]: number };

/** The counts of some stretches together, or of all that there is. Null: it is not known. */
export function summary(
  incidents: Incidents | null,
  stretches: readonly { readonly from: number; readonly to: number }[] = [{ from: 0, to: Infinity }],
): IncidentSummary | null {
  if (incidents === null) return null;
  const accounts = stretches.map(({ from, to }) => accountForIncidents(incidents, from, to));
  const add = (name: keyof IncidentAccount) =>
    accounts.map((account) => account[name]).reduce<number>(
      (sum, some) => sum + (typeof some === "number" ? some : some.length),
      0,
    );
  return {
    ...{ due: add("due"), found: add("found"), twice: add("twice"), missing: add("missing"), wrong: add("wrong") },
    ...{ toTell: add("toTell"), untold: add("untold"), twoKeys: add("twoKeys") },
  };
}

/** How many incidents a problem names. */
const SAMPLES = 8;

/** What is not as it must be, in words. */
export function problemsOf({ twice, missing, wrong, untold, twoKeys }: IncidentAccount): string[] {
  const found: [what: string, which: readonly string[]][] = [
    ["incidents are there twice", twice],
    ["incidents are missing", missing],
    ["incidents are wrong", wrong],
    ["notifications were told to nobody", untold],
    ["notifications were told under two keys", twoKeys],
  ];
  return found.filter(([, which]) => which.length > 0).map(([what, which]) =>
    `${which.length} ${what}:\n${which.slice(0, SAMPLES).join("\n")}`
  );
}

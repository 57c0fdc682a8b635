import type { HostNow, Tally } from "../postgres/host_reader.ts";
import type { PastIncident } from "../postgres/past_incidents.ts";

// Figures as a person reads them. Times are UTC's: nothing tells where the reader is.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `2026-11-29 12:03:05`. */
export function timeText(at: Date): string {
  return at.toISOString().slice(0, 19).replace("T", " ");
}

/** A length of time by its two largest units: `3 d 4 h`, `12 min 5 s`. */
export function lengthText(milliseconds: number): string {
  const units = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]] as const;
  let rest = Math.max(0, milliseconds);
  const first = units.findIndex(([size]) => rest >= size);
  if (first < 0) return "0 s";
  const parts: string[] = [];
  for (const [size, name] of units.slice(first, first + 2)) {
    const number = Math.floor(rest / size);
    if (number > 0) parts.push(`${number} ${name}`);
    rest -= number * size;
  }
  return parts.join(" ");
}

/** Seconds as `85 ms` or `1.24 s`. */
export function latencyText(seconds: number): string {
  if (seconds < 0.0995) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}

/**
 * The share of checks that were up, in percent. It is rounded down: 100 means that not one failed.
 * Null: there was none.
 */
export function upPercent({ checks, up }: Pick<Tally, "checks" | "up">): number | null {
  return checks === 0 ? null : Math.floor((up / checks) * 10_000) / 100;
}

/** `99.98 %`; a dash where nothing was checked. */
export function percentText(percent: number | null): string {
  if (percent === null) return "–";
  return percent === 100 ? "100 %" : `${percent.toFixed(2)} %`;
}

/** What is wrong with a host, and what was. */
export const INCIDENT_WORDS: Readonly<Record<PastIncident["kind"], { readonly now: string; readonly past: string }>> = {
  down: { now: "Down", past: "Was down" },
  certificate: { now: "Certificate expires", past: "Certificate was to expire" },
  silence: { now: "Not checked", past: "Was not checked" },
};

/** Until when somebody works at a host, and what for. */
export function maintenanceText({ maintenance_until, maintenance_note }: Maintained): string {
  const until = maintenance_until === null ? "" : `until ${timeText(maintenance_until).slice(0, 16)}`;
  return [until, maintenance_note ?? ""].filter((part) => part !== "").join(": ");
}

type Maintained = Pick<HostNow, "maintenance_until" | "maintenance_note">;

/** `1,234`. */
export function numberText(number: number): string {
  return number.toLocaleString("en");
}

/** A number and its noun, with the verb that follows: `1 host is`, `2 hosts are`. */
export function hostsAre(number: number): string {
  return `${numberText(number)} ${number === 1 ? "host is" : "hosts are"}`;
}

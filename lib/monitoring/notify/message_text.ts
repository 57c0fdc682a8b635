import { count } from "../../config/count.ts";
import { shortened } from "../../config/terminal.ts";
import { reasonOfDetail } from "../../postgres/host_state.ts";
import type { Notification } from "../../postgres/store.ts";

/** A message in words that somebody on call can act on. */
export interface MessageText {
  readonly title: string;
  readonly lines: readonly string[];
  /** True if it tells of something that has begun. */
  readonly isAlarm: boolean;
}

/** Incidents that a message names; the others are counted. */
const NAMED = 25;
/** Characters of a line, and of a title: a site's words may be long. */
const LONGEST_LINE = 500;
const LONGEST_TITLE = 200;

/**
 * Puts what has happened into words. An incident that began and ended is told once. `page` is the
 * address of the page, for links.
 */
export function messageText(notifications: readonly Notification[], page: string | null): MessageText {
  const ended = new Set(notifications.filter(({ event }) => event === "closed").map(({ incident }) => incident));
  const told = notifications.filter(({ event, incident }) => event === "closed" || !ended.has(incident));
  const tellOf = (what: Notification["event"]) => told.filter(({ event }) => event === what);
  const [opened, again, closed] = [tellOf("opened"), tellOf("again"), tellOf("closed")];
  const line = (text: string, address: string) => {
    const link = linkTo(page, address);
    return plain(text, LONGEST_LINE) + (link === null ? "" : ` ${link}`);
  };
  const lines = [
    ...opened.map((each) => line(openedLine(each), each.address)),
    ...again.map((each) => line(`STILL ${openedLine(each)}`, each.address)),
    ...closed.map((each) => line(closedLine(each), each.address)),
  ];
  const titles = [titleOf(opened, openedTitle), titleOf(again, againTitle), titleOf(closed, closedTitle)];
  const title = titles.filter((part) => part !== "").join("; ");
  const more = lines.length - NAMED;
  return {
    title: plain(title, LONGEST_TITLE),
    lines: more > 0 ? [...lines.slice(0, NAMED), `and ${more} more`] : lines,
    isAlarm: opened.length + again.length > 0,
  };
}

/** Where the page tells more of an address; null: there is no page. */
export function linkTo(page: string | null, address: string): string | null {
  return page === null ? null : `${page}host?address=${encodeURIComponent(address)}`;
}

/** One line without control characters, and no longer than that. */
function plain(text: string, most: number): string {
  return shortened(text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ").toWellFormed(), most);
}

function titleOf(
  notifications: readonly Notification[],
  title: (kind: string, some: readonly Notification[]) => string,
) {
  const kinds = Map.groupBy(notifications, ({ kind }) => kind);
  return [...kinds].map(([kind, some]) => title(kind, some)).join("; ");
}

/** `DOWN: https://a.example`, or `37 sites down, since 12:03 UTC`. */
function openedTitle(kind: string, some: readonly Notification[]): string {
  const { one, many } = WORDS[kind] ?? WORDS.down;
  const [first] = some;
  if (some.length === 1 && first !== undefined) return `${one}: ${first.address}`;
  const since = new Date(Math.min(...some.map(({ openedAt }) => openedAt.getTime())));
  return `${count(some.length, "site")} ${many}, since ${since.toISOString().slice(11, 16)} UTC`;
}

function againTitle(kind: string, some: readonly Notification[]): string {
  return `STILL ${openedTitle(kind, some)}`;
}

function closedTitle(kind: string, some: readonly Notification[]): string {
  const { over, allOver } = WORDS[kind] ?? WORDS.down;
  const [first] = some;
  return some.length === 1 && first !== undefined
    ? `${over}: ${first.address}`
    : `${count(some.length, "site")} ${allOver}`;
}

const DOWN = { one: "DOWN", many: "down", over: "UP", allOver: "up again" };
const WORDS: Readonly<Record<string, typeof DOWN>> & { readonly down: typeof DOWN } = {
  down: DOWN,
  certificate: {
    one: "CERTIFICATE EXPIRES",
    many: "with a certificate that expires",
    over: "CERTIFICATE RENEWED",
    allOver: "with a new certificate",
  },
  silence: { one: "NOT CHECKED", many: "not checked", over: "CHECKED AGAIN", allOver: "checked again" },
};

const timeText = (time: Date) => `${time.toISOString().slice(0, 16).replace("T", " ")} UTC`;

function openedLine(notification: Notification): string {
  const { kind, address, openedAt, locations, lastUp, errorDetail, isCanary } = notification;
  const from = locations.length === 0 ? "" : `, seen from ${locations.join(" and ")}`;
  if (kind === "certificate") return `CERTIFICATE ${address}: ${errorDetail}${from}`;
  if (kind === "silence") {
    return `NOT CHECKED ${address}: a check was due at ${timeText(openedAt)}, and none came${from}`;
  }
  const good = lastUp === null ? "" : `; last good check at ${timeText(lastUp)}`;
  const network = isCanary === true ? "; while all canaries are down there, nothing else is taken for down" : "";
  return `DOWN ${address} since ${timeText(openedAt)}: ${reasonOf(notification)}${from}${good}${network}`;
}

function closedLine(notification: Notification): string {
  const { kind, address, openedAt, closedAt, checks } = notification;
  const lasted = `${timeText(openedAt)} to ${closedAt === null ? "now" : timeText(closedAt)}`;
  if (kind === "certificate") return `CERTIFICATE RENEWED ${address}`;
  if (kind === "silence") return `CHECKED AGAIN ${address}: no check came from ${lasted}`;
  return `UP ${address}: it was down from ${lasted}, ${count(checks, "check")}: ${reasonOf(notification)}`;
}

/** Why there is an incident, in the words of the log and the views. */
export function reasonOf({ error, errorDetail, statusCode }: Notification): string {
  return reasonOfDetail({ error, error_detail: errorDetail, status_code: statusCode });
}

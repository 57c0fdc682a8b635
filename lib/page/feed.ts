import { createHash } from "node:crypto";
import { html, raw } from "hono/html";
import type { PastIncident } from "../postgres/past_incidents.ts";
import type { Markup } from "./markup.ts";
import { INCIDENT_WORDS, lengthText, timeText } from "./words.ts";

/** What a feed is made of. */
export interface FeedFacts {
  readonly title: string;
  readonly incidents: readonly PastIncident[];
  /** When it was made. */
  readonly at: Date;
  /** The whole address of a path of this page; null: nobody has said by what name it is known. */
  readonly absolute: ((path: string) => string) | null;
  /** The path of a host's page, and of the feed. */
  host(address: string): string;
  readonly self: string;
}

/** Entries of a feed, the newest of them. */
const ENTRIES = 100;

/** The incidents as an Atom feed (RFC 4287): an entry each, which changes when the incident ends. */
export function feed({ title, incidents, at, absolute, host, self }: FeedFacts): Markup {
  const entries = incidents.slice(0, ENTRIES);
  const newest = Math.max(0, ...entries.map(changedAt)) || at.getTime();
  const link = (path: string, rel: string) =>
    absolute === null ? "" : html`
      <link rel="${rel}" href="${absolute(path)}" />
    `;
  return html`
    ${raw('<?xml version="1.0" encoding="utf-8"?>')}
    <feed xmlns="http://www.w3.org/2005/Atom">
    <id>${uuidUrn(`feed ${absolute?.("") ?? title}`)}</id>
    <title>${xml(title)}: incidents</title>
    <updated>${new Date(newest).toISOString()}</updated>
    <author><name>${xml(title)}</name></author>
    ${link(self, "self")}
    ${entries.map((incident) => entry(incident, link(host(incident.address), "alternate")))}
    </feed>
  `;
}

const changedAt = ({ opened_at, closed_at }: PastIncident) => (closed_at ?? opened_at).getTime();

function entry(incident: PastIncident, link: Markup | string): Markup {
  const { kind, address, opened_at, closed_at, reason } = incident;
  const words = INCIDENT_WORDS[kind];
  const lasted = closed_at === null
    ? "it goes on"
    : `until ${timeText(closed_at)} UTC, for ${lengthText(closed_at.getTime() - opened_at.getTime())}`;
  return html`
    <entry>
    <id>${uuidUrn(`${kind} ${opened_at.toISOString()} ${address}`)}</id>
    <title>${closed_at === null ? words.now : words.past}: ${xml(address)}</title>
    <updated>${new Date(changedAt(incident)).toISOString()}</updated>
    <published>${opened_at.toISOString()}</published>
    ${link}
    <content type="text">${xml(`${reason}. Since ${timeText(opened_at)} UTC, ${lasted}.`)}</content>
    </entry>
  `;
}

/** Without the characters that XML cannot hold, however they are written. */
function xml(text: string): string {
  return text.toWellFormed().replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
}

/** The same name for the same text, in the form of a UUID of one's own making (RFC 9562, version 8). */
function uuidUrn(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${
    hex.slice(20, 32)
  }`;
}

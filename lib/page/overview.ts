import { html } from "hono/html";
import type { PastIncident } from "../postgres/past_incidents.ts";
import { type History, HOST_STATES, type HostState, type ShownHost, type Snapshot } from "./shown_hosts.ts";
import { stateMark, stateWord } from "./layout.ts";
import type { Links, Markup, OverviewQuery } from "./markup.ts";
import { bars, sparkline } from "./pictures.ts";
import {
  hostsAre,
  latencyText,
  lengthText,
  maintenanceText,
  numberText,
  percentText,
  timeText,
  upPercent,
} from "./words.ts";

/** Hosts on one page. */
export const PAGE_SIZE = 50;

/** The part of the hosts that a query asks for. */
export interface Selection {
  readonly hosts: readonly ShownHost[];
  /** Hosts on all pages. */
  readonly total: number;
  /** This page, from 1 on, and the number of pages. */
  readonly page: number;
  readonly pages: number;
}

/** The hosts that a query asks for. A page beyond the last one is the last. */
export function select({ hosts }: Snapshot, { q, state, page }: OverviewQuery): Selection {
  const words = q.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const found = hosts.filter((host) =>
    (state === "" || host.state === state) && words.every((word) => host.address.toLowerCase().includes(word))
  );
  const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
  const current = Math.min(Math.max(1, page), pages);
  return {
    hosts: found.slice((current - 1) * PAGE_SIZE, current * PAGE_SIZE),
    total: found.length,
    page: current,
    pages,
  };
}

/** What an overview is made of. */
export interface OverviewFacts {
  readonly snapshot: Snapshot;
  readonly selection: Selection;
  readonly query: OverviewQuery;
  /** Null: the database took too long. */
  readonly pasts: ReadonlyMap<string, History> | null;
  /** The incidents that last, by their address. */
  readonly open: ReadonlyMap<string, PastIncident>;
}

/** The most urgent state that a host is in. */
export function moodOf({ counts, hosts }: Snapshot): HostState {
  const isMild = (state: HostState) => state === "unchecked" || state === "maintenance";
  return HOST_STATES.find((state) => counts[state] > 0 && !(isMild(state) && counts.up > 0)) ??
    (hosts.length === 0 ? "unchecked" : "up");
}

/** The overview: what is down, then all hosts. */
export function overview(facts: OverviewFacts, links: Links): Markup {
  const { snapshot, selection, query, pasts } = facts;
  const isAll = query.q === "" && query.state === "";
  return html`${banner(facts, links)}
${unknownNotice(snapshot)}
${links.canSearch ? search(query) : html`<h2 id="hosts">Hosts</h2>`}
${
    pasts === null
      ? html`<p class="warn">The database took too long to tell the past: bars and uptimes are missing.</p>`
      : ""
  }
${
    selection.total === 0
      ? html`<p>${snapshot.hosts.length === 0 ? "No host was checked yet." : "No host matches."}</p>`
      : html`<div class="scroll" tabindex="0" role="region" aria-labelledby="hosts">${hostTable(facts, links)}</div>`
  }
${pageLinks(selection, query, links)}
${isAll || !links.canSearch ? "" : html`<p><a href="${links.overview()}">Show all hosts</a></p>`}`;
}

function unknownNotice({ unknownPlaces }: Snapshot): Markup | "" {
  if (unknownPlaces.length === 0) return "";
  const named = unknownPlaces.map((place) => place ?? "a place without a name").join(", ");
  return html`
    <p
      class="warn">All canaries are down as seen from ${named}: what is said from there of other hosts is not known to be true.</p>
  `;
}

/** What the first lines of the page say. */
export function headline({ counts, hosts }: Snapshot): string {
  if (hosts.length === 0) return "Nothing was checked yet";
  if (counts.down > 0) return `${hostsAre(counts.down)} down`;
  if (counts.stale > 0) return `${hostsAre(counts.stale)} not checked as planned`;
  if (counts.up === 0) {
    return counts.maintenance > 0 ? `${hostsAre(counts.maintenance)} in maintenance` : "No host is being checked";
  }
  if (counts.unchecked + counts.maintenance > 0) return `${hostsAre(counts.up)} up`;
  return counts.up === 1 ? "The host is up" : `All ${numberText(counts.up)} hosts are up`;
}

/** Hosts that are listed as down. The others stand in the table. */
const LISTED_DOWN = 10;

function banner({ snapshot, open }: OverviewFacts, links: Links): Markup {
  const { counts, hosts } = snapshot;
  const down = hosts.slice(0, counts.down);
  const rest = down.length - LISTED_DOWN;
  const others = HOST_STATES.filter((state) => counts[state] > 0)
    .map((state) => `${numberText(counts[state])} ${stateWord(state).toLowerCase()}`).join(", ");
  return html`<section class="banner ${moodOf(snapshot)}">
<h1>${headline(snapshot)}</h1>
${
    hosts.length === 0
      ? ""
      : html`<p>${numberText(hosts.length)} ${hosts.length === 1 ? "host" : "hosts"}: ${others}</p>`
  }
${
    down.length === 0 ? "" : html`<ul class="now">${
      down.slice(0, LISTED_DOWN).map((host) => {
        const since = open.get(host.address)?.opened_at;
        return html`<li><a href="${links.host(host.address)}">${host.address}</a> <span class="why">${
          host.reason ?? "down"
        }</span> <span class="since">${
          since === undefined
            ? html`checked ${timeText(host.checked_at)}`
            : html`for ${
              lengthText(snapshot.at.getTime() - since.getTime())
            }, since <time datetime="${since.toISOString()}">${timeText(since).slice(0, 16)}</time>`
        }</span></li>`;
      })
    }</ul>`
  }
${
    rest <= 0
      ? ""
      : links.canSearch
      ? html`<p><a href="${links.overview({ q: "", state: "down", page: 1 })}">and ${numberText(rest)} more</a></p>`
      : html`<p>and ${numberText(rest)} more</p>`
  }
</section>`;
}

function search({ q, state }: OverviewQuery): Markup {
  return html`
    <form method="get" action="/" role="search">
      <h2 id="hosts">Hosts</h2>
      <label>Find in addresses<input type="search" name="q" value="${q}" maxlength="200"></label>
      <label>State<select name="state"><option value="">all</option>${HOST_STATES.map((one) =>
        html`
          <option value="${one}" ${one === state
            ? html`
              selected
            `
            : ""}>${stateWord(one).toLowerCase()}</option>
        `
      )}</select></label>
      <button type="submit">Find</button>
    </form>
  `;
}

// On a telephone cells are laid out anew, after which browsers forget what is a table: so roles say.
function hostTable({ snapshot, selection, pasts }: OverviewFacts, links: Links): Markup {
  const { hosts, total, page } = selection;
  const first = (page - 1) * PAGE_SIZE + 1;
  const head = (name: string, kind = "") => html`<th scope="col" role="columnheader" class="${kind}">${name}</th>`;
  return html`
    <table class="hosts" role="table">
      <caption>${numberText(first)} to ${numberText(first + hosts.length - 1)} of ${numberText(total)} ${total === 1
        ? "host"
        : "hosts"}. A bar is a day (UTC), today on the right.</caption>
      <thead role="rowgroup">
        <tr role="row">${head("State")}${head("Host")}${head("90 days")}${head("24 h", "n")}${head(
          "30 days",
          "n",
        )}${head("90 days", "n")}${head("Latency, 24 h", "n")}${head("Certificate", "n")}</tr>
      </thead>
      <tbody role="rowgroup">
    ${hosts.map((host) => hostRow(host, pasts?.get(host.address) ?? null, snapshot.at, links))}
      </tbody>
    </table>
  `;
}

function hostRow(host: ShownHost, past: History | null, now: Date, links: Links): Markup {
  const share = (tally: History["day"] | undefined) => {
    const percent = tally === undefined ? null : upPercent(tally);
    return html`<span class="${percent !== null && percent < 95 ? "bad" : ""}">${percentText(percent)}</span>`;
  };
  const why = host.state === "up"
    ? null
    : host.state === "unchecked"
    ? `last check ${timeText(host.checked_at)}`
    : host.state === "maintenance"
    ? maintenanceText(host)
    : host.reason;
  return html`
    <tr role="row" class="${host.state}">
      <td role="cell" class="mark">${stateMark(host.state)}</td>
      <th scope="row" role="rowheader"><a href="${links.host(host.address)}">${host.address}</a>${why === null
        ? ""
        : html`<span class="why">${why}</span>`}</th>
      <td role="cell" class="bars-cell">${past === null ? "" : bars(past.days, now)}</td>
      <td role="cell" class="n day">${share(past?.day)}</td>
      <td role="cell" class="n month">${share(past?.month)}</td>
      <td role="cell" class="n quarter">${share(past?.quarter)}</td>
      <td role="cell" class="n late"><span class="latency">${past === null
        ? ""
        : sparkline(past.spans)}<span>${host.status_code === null ? "–" : latencyText(host.latency)}</span></span></td>
      <td role="cell" class="n certificate">${certificate(host.certificate_days_left)}</td>
    </tr>
  `;
}

/** Days left of a certificate that are too few, and hardly enough. */
const FEW_DAYS = 7;
const SOON = 21;

/** The days that a certificate is still good for. */
export function certificate(days: number | null): Markup {
  if (days === null) return html`–`;
  const kind = days < FEW_DAYS ? "bad" : days < SOON ? "warn" : "";
  return html`<span class="${kind}">${days < 0 ? "expired" : days === 1 ? "1 day" : `${numberText(days)} days`}</span>`;
}

/** Pages on both sides of the current one that have a link. */
const NEAR = 2;

function pageLinks({ page, pages }: Selection, query: OverviewQuery, links: Links): Markup {
  if (pages === 1) return html``;
  const shown = Array.from({ length: pages }, (_, i) => i + 1)
    .filter((one) => one === 1 || one === pages || Math.abs(one - page) <= NEAR);
  const to = (one: number) => links.overview({ ...query, page: one });
  return html`
    <nav aria-label="Pages of hosts">
      <ul class="pages">${page === 1 ? "" : html`<li><a href="${to(page - 1)}" rel="prev">Previous</a></li>`}${shown
        .map((one, i) => {
          const gap = i > 0 && one - (shown[i - 1] ?? 0) > 1 ? html`<li><span class="gap">…</span></li>` : "";
          const link = one === page
            ? html`<li><span aria-current="page">${numberText(one)}</span></li>`
            : html`<li><a href="${to(one)}" aria-label="Page ${one}">${numberText(one)}</a></li>`;
          return html`${gap}${link}`;
        })}${page === pages ? "" : html`<li><a href="${to(page + 1)}" rel="next">Next</a></li>`}</ul>
    </nav>
  `;
}

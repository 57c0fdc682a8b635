import { html } from "hono/html";
import {
  type CheckRow,
  dayOf,
  DAYS_SHOWN,
  LATENCY_PHASES,
  LONG_SPAN,
  type PhaseTally,
  SHORT_SPAN,
} from "../postgres/host_reader.ts";
import type { PastIncident } from "../postgres/past_incidents.ts";
import { evidenceView } from "./evidence_view.ts";
import type { HostDetails, ShownHost } from "./shown_hosts.ts";
import { stateMark } from "./layout.ts";
import type { Markup } from "./markup.ts";
import { certificate } from "./overview.ts";
import { largeBars, PHASE_NAMES, phaseChart } from "./pictures.ts";
import {
  INCIDENT_WORDS,
  latencyText,
  lengthText,
  maintenanceText,
  numberText,
  percentText,
  timeText,
  upPercent,
} from "./words.ts";

const DAY = 86_400_000;

/** The page of one host. `details` is null where the database took too long. */
export function hostView(host: ShownHost, details: HostDetails | null, now: Date): Markup {
  return html`
    <section class="banner ${host.state}">
      <h1>${host.address}</h1>
      <p>${stateMark(host.state)} ${host.state === "maintenance" ? maintenanceText(host) : ""} ${host.reason ??
        ""} ${openedText(host, details, now)}</p>
    </section>
    ${facts(host, details)}
    ${details === null
      ? html`<p class="warn">The database took too long to tell the past of this host.</p>`
      : html`${past(details, now)}${incidentTable(details.incidents, now)}${evidenceView(details.evidence)}${
        checkTable(details.checks)
      }`}
    ${/^https?:\/\//i.test(host.address)
      ? html`<p><a href="${host.address}" rel="noreferrer">Open ${host.address}</a></p>`
      : ""}
  `;
}

function openedText(host: ShownHost, details: HostDetails | null, now: Date): Markup {
  const open = details?.incidents.find(({ kind, closed_at }) => kind === "down" && closed_at === null);
  if (host.state !== "down" || open === undefined) return html``;
  return html`<span class="soft">for ${lengthText(now.getTime() - open.opened_at.getTime())}</span>`;
}

function facts(host: ShownHost, details: HostDetails | null): Markup {
  const fact = (name: string, value: Markup | string, more = "") =>
    html`
      <div>
        <dt>${name}</dt>
        <dd>${value}${more === "" ? "" : html`<small>${more}</small>`}</dd>
      </div>
    `;
  const share = (name: string, tally: HostDetails["history"]["day"] | undefined) => {
    const missed = tally === undefined || tally.missed === 0 ? "" : `, ${numberText(tally.missed)} missed`;
    return fact(
      name,
      percentText(tally === undefined ? null : upPercent(tally)),
      tally === undefined ? "" : `${numberText(tally.checks)} ${tally.checks === 1 ? "check" : "checks"}${missed}`,
    );
  };
  const { history } = details ?? {};
  return html`<dl class="facts">${share("Uptime, 24 hours", history?.day)}${share("30 days", history?.month)}${
    share(`${DAYS_SHOWN} days`, history?.quarter)
  }${fact("Last check", timeText(host.checked_at).slice(5), host.location === null ? "" : `from ${host.location}`)}${
    host.next_at === null ? "" : fact("Next check", timeText(host.next_at).slice(5))
  }${
    fact(
      "Latency",
      host.status_code === null ? "–" : latencyText(host.latency),
      host.status_code === null ? "no answer" : `status ${host.status_code}`,
    )
  }${
    host.certificate_days_left === null ? "" : fact("Certificate", certificate(host.certificate_days_left), "left")
  }</dl>`;
}

function past({ history, day, month }: HostDetails, now: Date): Markup {
  const before = (days: number) => new Date(now.getTime() - days * DAY);
  return html`
    <h2>${DAYS_SHOWN} days</h2>
    ${largeBars(history.days, now)}
    <p class="ends"><span>${dayOf(before(DAYS_SHOWN - 1))}</span><span>today</span></p>
    <h2>Latency</h2>
    <ul class="legend">${LATENCY_PHASES.map((phase) =>
      html`<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="phase-${phase}" width="10" height="10"/></svg>${
        PHASE_NAMES[phase]
      }</li>`
    )}</ul>
    <div class="charts">
      <section><h3 class="soft">The last 24 hours, half an hour each</h3>${phaseChart(day, {
        from: before(1),
        to: now,
        span: SHORT_SPAN,
      }, "Latency of 24 hours")}${phaseTable(day, "Latency of the last 24 hours")}</section>
      <section><h3 class="soft">The last 30 days, half a day each</h3>${phaseChart(month, {
        from: before(30),
        to: now,
        span: LONG_SPAN,
      }, "Latency of 30 days")}${phaseTable(month, "Latency of the last 30 days")}</section>
    </div>
  `;
}

function phaseTable(spans: readonly PhaseTally[], caption: string): Markup {
  const latency = (seconds: number | null) => seconds === null ? "–" : latencyText(seconds);
  return html`
    <details>
      <summary>Figures: ${caption.toLowerCase()}</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="${caption}">
        <table>
          <caption>${caption}, on average of what answered, and the checks</caption>
          <thead>
            <tr><th scope="col">From</th>${LATENCY_PHASES.map((phase) =>
              html`<th scope="col" class="n">${PHASE_NAMES[phase]}</th>`
            )}<th scope="col" class="n">whole</th><th scope="col" class="n">checks</th><th scope="col" class="n">down</th><th scope="col" class="n">missed</th></tr>
          </thead>
          <tbody>${spans.toReversed().map((span) =>
            html`<tr><th scope="row">${timeText(span.from).slice(5, 16)}</th>${
              LATENCY_PHASES.map((phase) => html`<td class="n">${latency(span[phase])}</td>`)
            }<td class="n">${latency(span.latency)}</td><td class="n">${span.checks}</td><td class="n">${
              span.checks - span.up
            }</td><td class="n">${span.missed}</td></tr>`
          )}</tbody>
        </table>
      </div>
    </details>
  `;
}

/** Incidents that the page of a host lists. */
const LISTED = 50;

function incidentTable(incidents: readonly PastIncident[], now: Date): Markup {
  if (incidents.length === 0) {
    return html`
      <h2>Incidents</h2>
      <p>None in ${DAYS_SHOWN} days.</p>
    `;
  }
  return html`
    <h2>Incidents</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Incidents">
      <table>
        <caption>${incidents.length > LISTED
          ? `The last ${LISTED} of ${numberText(incidents.length)}`
          : numberText(incidents.length)} in ${DAYS_SHOWN} days</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">To</th>
            <th scope="col" class="n">Length</th>
            <th scope="col" class="n">Checks</th>
            <th scope="col">What</th>
            <th scope="col" class="why-head">Reason</th>
          </tr>
        </thead>
        <tbody>${incidents.slice(0, LISTED).map(({ kind, opened_at, closed_at, reason, locations, checks }) =>
          html`
            <tr>
              <th scope="row">${timeText(opened_at)}</th>
              <td>${closed_at === null ? html`<span class="bad">goes on</span>` : timeText(closed_at)}</td>
              <td class="n">${lengthText((closed_at ?? now).getTime() - opened_at.getTime())}</td>
              <td class="n">${numberText(checks)}</td>
              <td>${INCIDENT_WORDS[kind].now}</td>
              <td class="why-cell">${reason}${locations.length === 0 ? "" : `, from ${locations.join(" and ")}`}</td>
            </tr>
          `
        )}</tbody>
      </table>
    </div>
  `;
}

function checkTable(checks: readonly CheckRow[]): Markup {
  const hasLocations = checks.some(({ location }) => location !== null);
  return html`
    <h2>Last checks</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Last checks">
      <table>
        <caption>The newest ${checks.length}, missed ones too</caption>
        <thead>
          <tr><th scope="col">Time</th><th scope="col">Result</th><th scope="col" class="n">Status</th><th scope="col" class="n">Latency</th>${hasLocations
            ? html`<th scope="col">From</th>`
            : ""}<th scope="col" class="why-head">Reason</th></tr>
        </thead>
        <tbody>${checks.map(({ checked_at, up, status_code, latency, location, reason }) =>
          html`<tr><th scope="row">${timeText(checked_at)}</th><td>${
            up === null ? html`<span class="state">Missed</span>` : stateMark(up ? "up" : "down")
          }</td><td class="n">${status_code ?? "–"}</td><td class="n">${up === null ? "–" : latencyText(latency)}</td>${
            hasLocations ? html`<td>${location ?? ""}</td>` : ""
          }<td class="why-cell">${reason ?? ""}</td></tr>`
        )}</tbody>
      </table>
    </div>
  `;
}

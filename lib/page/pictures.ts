import { scaleLinear, scaleUtc } from "d3-scale";
import { area, line } from "d3-shape";
import { html } from "hono/html";
import { count } from "../config/count.ts";
import {
  dayOf,
  type DayTally,
  LATENCY_PHASES,
  type LatencyPhase,
  type PhaseTally,
  type SpanTally,
  type Tally,
} from "../postgres/host_reader.ts";
import type { Markup } from "./markup.ts";
import { latencyText, percentText, upPercent } from "./words.ts";

// Pictures as SVG. Shape tells what colour tells, and a text beside it says the same.

/** How a day or a span went. */
export type Level = "up" | "some" | "down" | "none";

/** From this share of good checks on, in percent, a day had a few failures only. */
const SOME = 95;

/** How a day went. */
export function levelOf(tally: Tally | null): Level {
  const percent = tally === null ? null : upPercent(tally);
  if (percent === null) return "none";
  return percent === 100 ? "up" : percent >= SOME ? "some" : "down";
}

/** Units of a bar with its gap, and of the height of all bars. */
const BAR = 4;
const BARS_HEIGHT = 20;

/** Days as bars of four heights and colours. What is alike is one stroke, cut by its dashes. */
export function bars(days: readonly (DayTally | null)[], now: Date): Markup {
  const levels = days.map(levelOf);
  const strokes: Record<Level, string> = { up: "", some: "", down: "", none: "" };
  for (let from = 0, to = 0; from < levels.length; from = to) {
    const level = levels[from] as Level;
    while (to < levels.length && levels[to] === level) to++;
    strokes[level] += `M${from * BAR} 10h${(to - from) * BAR}`;
  }
  const paths = Object.entries(strokes).filter(([, d]) => d !== "");
  return html`
    <svg class="bars" viewBox="0 0 ${days.length * BAR} ${BARS_HEIGHT}" preserveAspectRatio="none" role="img"
      aria-label="${barsText(days, now)}">${paths.map(([level, d]) =>
        html`
          <path class="${level}" d="${d}" />
        `
      )}</svg>
  `;
}

/** Days that a text of the bars names one by one. */
const NAMED_DAYS = 5;

function barsText(days: readonly (DayTally | null)[], now: Date): string {
  const bad = days.filter((tally) => tally !== null && tally.checks > tally.up).reverse() as DayTally[];
  const unchecked = days.filter((tally) => tally === null || tally.checks === 0).length;
  const named = bad.slice(0, NAMED_DAYS).map((tally) => `${tally.day} ${percentText(upPercent(tally))}`).join(", ");
  const failures = bad.length === 0
    ? "none with failures"
    : `${bad.length} with failures (${named}${bad.length > NAMED_DAYS ? ", …" : ""})`;
  return `${days.length} days to ${dayOf(now)}: ${failures}, ${unchecked} not checked`;
}

/** The days as bars of their own, each of which says its day and share. */
export function largeBars(days: readonly (DayTally | null)[], now: Date): Markup {
  const heights: Readonly<Record<Level, number>> = { up: 28, some: 34, down: 40, none: 8 };
  const first = now.getTime() - (days.length - 1) * 86_400_000;
  return html`
    <svg class="large-bars" viewBox="0 0 ${days.length * 8} 40" preserveAspectRatio="none" role="img"
      aria-label="${barsText(days, now)}">${days.map((tally, i) => {
        const level = levelOf(tally);
        const height = heights[level];
        const share = tally === null ? null : upPercent(tally);
        const said = share === null ? "not checked" : `${percentText(share)} up, ${count(tally?.checks ?? 0, "check")}`;
        return html`
          <rect class="${level}" x="${i * 8}" y="${(40 - height) / 2}" width="6.5" height="${height}">
            <title>${dayOf(first + i * 86_400_000)}: ${said}</title>
          </rect>
        `;
      })}</svg>
  `;
}

/** The latency of the last 24 hours as a small line, with holes where nothing answered. */
export function sparkline(spans: readonly (SpanTally | null)[]): Markup {
  const latencies = spans.map((span) => span?.latency ?? null);
  const known = latencies.filter((latency) => latency !== null);
  if (known.length === 0) return html``;
  const x = scaleLinear([0, latencies.length - 1], [1, 95]);
  const y = scaleLinear([0, Math.max(...known)], [18, 2]);
  const path = line<number | null>().defined((latency) => latency !== null).x((_, i) => x(i)).y((latency) =>
    y(latency ?? 0)
  )
    .digits(1);
  const [least, most] = [Math.min(...known), Math.max(...known)].map(latencyText);
  const said = `Latency over 24 hours: ${least === most ? least : `${least} to ${most}`}`;
  return html`
    <svg class="spark" viewBox="0 0 96 20" preserveAspectRatio="none" role="img" aria-label="${said}">
      <path d="${path(latencies) ?? ""}" />
    </svg>
  `;
}

/** The names of the phases for a person. */
export const PHASE_NAMES: Readonly<Record<LatencyPhase, string>> = {
  dns: "DNS",
  connect: "connect",
  tls: "TLS",
  first_byte: "first byte",
  body: "body",
};

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [480, 190, 52, 8, 8, 26] as const;

/** What a chart shows: checks from one moment to another, in spans of so many seconds. */
export interface ChartTime {
  readonly from: Date;
  readonly to: Date;
  readonly span: number;
}

/** The phases of an address's checks, stacked. */
export function phaseChart(spans: readonly PhaseTally[], { from, to, span }: ChartTime, name: string): Markup {
  if (spans.every(({ latency }) => latency === null)) return html`<p>Nothing answered.</p>`;
  const points = withHoles(spans, span * 1000);
  const sums = points.map((point) => (point === null ? 0 : heightsOf(point).at(-1) ?? 0));
  const x = scaleUtc([from, to], [LEFT, WIDTH - RIGHT]);
  const y = scaleLinear([0, Math.max(...sums, 0.001)], [HEIGHT - BOTTOM, TOP]).nice(4);
  const middle = (point: PhaseTally | null) => x(new Date((point?.from.getTime() ?? 0) + span * 500));
  const layers = LATENCY_PHASES.map((phase, i) => {
    const shape = area<PhaseTally | null>().defined((point) => point?.latency != null).x(middle)
      .y0((point) => y(point === null ? 0 : heightsOf(point)[i] ?? 0))
      .y1((point) => y(point === null ? 0 : heightsOf(point)[i + 1] ?? 0)).digits(1);
    return html`
      <path class="phase-${phase}" d="${shape(points) ?? ""}" />
    `;
  });
  const days = to.getTime() - from.getTime() > 3 * 86_400_000;
  const bad = spans.filter(({ checks, up }) => checks > up);
  const width = Math.max(2, x(new Date(from.getTime() + span * 1000)) - x(from));
  const within = (at: number) => Math.min(Math.max(at, LEFT), WIDTH - RIGHT - width);
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${chartText(spans, name)}">
${
    y.ticks(4).map((tick) =>
      html`
        <path class="grid" d="M${LEFT} ${y(tick)}H${WIDTH - RIGHT}" />
        <text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${tick === 0 ? "0" : latencyText(tick)}</text>
      `
    )
  }
${layers}
${
    bad.map(({ from }) =>
      html`
        <rect class="down" x="${within(x(from)).toFixed(1)}" y="${HEIGHT - BOTTOM}" width="${width}" height="4">
          <title>${from.toISOString().slice(0, 16).replace("T", " ")}: checks failed</title>
        </rect>
      `
    )
  }
${
    x.ticks(days ? 6 : 8).filter((tick) => x(tick) < WIDTH - 20).map((tick) =>
      html`<text x="${x(tick)}" y="${HEIGHT - 6}" text-anchor="middle">${
        days ? tick.toISOString().slice(5, 10) : tick.toISOString().slice(11, 16)
      }</text>`
    )
  }
</svg>`;
}

/** The lower edge of the first phase, and the upper edge of each. */
function heightsOf(point: PhaseTally): number[] {
  const phases = LATENCY_PHASES.map((phase) => point[phase]);
  // A table without the phases has the whole only: it is drawn as the last of them.
  const parts = phases.every((part) => part === null)
    ? LATENCY_PHASES.map((phase) => phase === "body" ? point.latency : 0)
    : phases;
  const heights = [0];
  for (const part of parts) heights.push((heights.at(-1) ?? 0) + (part ?? 0));
  return heights;
}

/** The points, with null where one is missing in between: no line leads over it. */
function withHoles(spans: readonly PhaseTally[], length: number): (PhaseTally | null)[] {
  return spans.flatMap((span, i) => {
    const before = spans[i - 1];
    const isHole = before !== undefined && span.from.getTime() - before.from.getTime() > length;
    return isHole ? [null, span] : [span];
  });
}

function chartText(spans: readonly PhaseTally[], name: string): string {
  const known = spans.map(({ latency }) => latency).filter((latency) => latency !== null);
  return `${name}: ${latencyText(Math.min(...known))} to ${
    latencyText(Math.max(...known))
  }; the table below has the figures`;
}

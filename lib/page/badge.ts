import { html } from "hono/html";
import type { History, HostState, ShownHost } from "./shown_hosts.ts";
import { stateWord } from "./layout.ts";
import type { Markup } from "./markup.ts";
import { percentText, upPercent } from "./words.ts";

const COLOURS: Readonly<Record<HostState, string>> = {
  up: "#1a7f37",
  down: "#cf222e",
  stale: "#8a5a00",
  unchecked: "#59636e",
  maintenance: "#0969da",
};

/** Units of a character on average, of a margin, and of the height. */
const [CHARACTER, MARGIN, HEIGHT] = [6.6, 6, 20] as const;
/** Characters of an address that a badge shows. */
const LONGEST = 48;

/** A small picture with a host's state, and its uptime of 90 days, for other pages. */
export function badge({ address, state }: ShownHost, past: History | null): Markup {
  const plain = address.replace(/^https?:\/\//i, "").replace(/\/$/, "");
  const name = plain.length > LONGEST ? `${plain.slice(0, LONGEST - 1)}…` : plain;
  const percent = past === null ? null : upPercent(past.quarter);
  const said = `${stateWord(state).toLowerCase()}${percent === null ? "" : ` ${percentText(percent)}`}`;
  const [left, right] = [name, said].map((text) => Math.round(text.length * CHARACTER) + 2 * MARGIN) as [
    number,
    number,
  ];
  const text = (x: number, width: number, words: string) =>
    html`<text x="${x + MARGIN}" y="14" textLength="${
      width - 2 * MARGIN
    }" lengthAdjust="spacingAndGlyphs">${words}</text>`;
  return html`
    <svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="${HEIGHT}" role="img"
      aria-label="${name}: ${said}">
      <title>${address}: ${said}</title>
      <path fill="#424a53" d="M4 0h${left - 4}v20H4a4 4 0 0 1-4-4V4a4 4 0 0 1 4-4z" />
      <path fill="${COLOURS[state]}" d="M${left} 0h${right - 4}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4H${left}z" />
      <g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">${text(0, left, name)}${text(
        left,
        right,
        said,
      )}</g>
    </svg>
  `;
}

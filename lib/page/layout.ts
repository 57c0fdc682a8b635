import { createHash } from "node:crypto";
import { html, raw } from "hono/html";
import type { HostState } from "./shown_hosts.ts";
import type { Links, Markup } from "./markup.ts";
import { STYLE } from "./style.ts";
import { timeText } from "./words.ts";

/**
 * What a page may load and do: nothing but its own style. No script runs, whatever a site's answer
 * has brought into the page.
 */
export const POLICY = "default-src 'none'; " +
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; ` +
  "img-src data:; form-action 'self'; base-uri 'none'";

/** The frame of a page. */
export interface Frame {
  readonly siteTitle: string;
  /** Of this page; null: the site's is enough. */
  readonly title: string | null;
  readonly links: Links;
  /** Colours the small picture in the browser's tab. */
  readonly mood: HostState;
  readonly at: Date;
  /** True if the page is a file: nobody sends the policy with it. */
  readonly isFile: boolean;
}

const ICON_COLOURS: Readonly<Record<HostState, string>> = {
  down: "c62828",
  stale: "b26a00",
  unchecked: "7d8590",
  maintenance: "0969da",
  up: "1a7f37",
};

/** A whole page. */
export function layout({ siteTitle, title, links, mood, at, isFile }: Frame, content: Markup): Markup {
  const icon = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>` +
    `<circle cx='8' cy='8' r='7' fill='%23${ICON_COLOURS[mood]}'/></svg>`;
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
    <meta charset="utf-8">
    ${isFile ? html`<meta http-equiv="Content-Security-Policy" content="${POLICY}">` : ""}
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="referrer" content="no-referrer">
    <title>${title === null ? siteTitle : `${title} · ${siteTitle}`}</title>
    <link rel="icon" href="${icon}">
    <link rel="alternate" type="application/atom+xml" title="Incidents" href="${links.feed}">
    <style>${raw(STYLE)}</style>
      </head>
      <body>
        <header>
          <p><a href="${links.overview()}">${siteTitle}</a></p>
          <p class="at">as of <time datetime="${at.toISOString()}">${timeText(at)}</time> UTC</p>
        </header>
        <main>
    ${content}
        </main>
        <footer>
          <p>Times are UTC. Grey is not checked. <a href="${links.feed}">Feed of incidents</a></p>
        </footer>
      </body>
    </html>
  `;
}

const STATE_WORDS: Readonly<Record<HostState, string>> = {
  down: "Down",
  stale: "Stale",
  unchecked: "Not checked",
  maintenance: "Maintenance",
  up: "Up",
};

/** The word for a state. */
export function stateWord(state: HostState): string {
  return STATE_WORDS[state];
}

/** A state as a word in its colour. */
export function stateMark(state: HostState): Markup {
  return html`<span class="state ${state}">${STATE_WORDS[state]}</span>`;
}

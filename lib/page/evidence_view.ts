import { html } from "hono/html";
import type { EvidenceRow } from "../postgres/host_reader.ts";
import type { Markup } from "./markup.ts";
import { timeText } from "./words.ts";

/** What a host answered when its checks failed: the newest one open. Empty where nothing is kept. */
export function evidenceView(rows: readonly EvidenceRow[]): Markup {
  if (rows.length === 0) return html``;
  return html`
    <h2>What came back</h2>
    ${rows.map((row, index) =>
      html`
        <details class="evidence" ${index === 0 ? html`open` : ""}>
          <summary>${timeText(row.checked_at)}${row.location === null ? "" : `, from ${row.location}`}: ${row
            .status_line}</summary>
          <pre>${headText(row)}</pre>
          ${row.body === null ? "" : html`<pre>${row.body === "" ? "(an empty body)" : row.body}</pre>`}
        </details>
      `
    )}
  `;
}

function headText({ status_line, headers }: EvidenceRow): string {
  return [status_line, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)].join("\n");
}

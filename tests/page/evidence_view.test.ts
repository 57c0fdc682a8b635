import { expect, it } from "vitest";
import { evidenceView } from "../../lib/page/evidence_view.ts";
import type { EvidenceRow } from "../../lib/postgres/host_reader.ts";

const ROW: EvidenceRow = {
  checked_at: new Date("2026-01-31T12:03:00Z"),
  location: "Oslo",
  status_line: "HTTP/1.1 503 Service Unavailable",
  headers: { server: "nginx", "x-note": '"><img src=x onerror=alert(1)>' },
  body: "<script>alert(2)</script>",
};

it("a host's page shows what came back, the newest one open, and nothing of it is markup", async () => {
  const text = String(await evidenceView([ROW, { ...ROW, location: null, body: "" }, { ...ROW, body: null }]));
  expect(text.match(/<details class="evidence" *(open)?/g)).toEqual([
    '<details class="evidence" open',
    '<details class="evidence" ',
    '<details class="evidence" ',
  ]);
  expect(text).toContain("2026-01-31 12:03:00, from Oslo: HTTP/1.1 503 Service Unavailable</summary>");
  expect(text).toContain("server: nginx\nx-note: &quot;&gt;&lt;img src=x onerror=alert(1)&gt;</pre>");
  expect(text).toContain("<pre>&lt;script&gt;alert(2)&lt;/script&gt;</pre>");
  expect(text.match(/\(an empty body\)/g)).toHaveLength(1);
  expect(text.match(/<pre>/g)).toHaveLength(5);
  expect(text).not.toMatch(/<img|<script/);
});

it("a host without evidence has no heading for it", async () => {
  expect(String(await evidenceView([]))).toBe("");
});

import { expect, it } from "vitest";
import { requestsFor } from "../../../lib/monitoring/notify/http_requests.ts";
import { messageText } from "../../../lib/monitoring/notify/message_text.ts";
import type { Notification } from "../../../lib/postgres/store.ts";
import { httpTarget } from "../../support/notify_target.ts";

const OPENED: Notification = {
  event: "opened",
  incident: "i1",
  kind: "down",
  address: "https://a.example",
  openedAt: new Date("2026-01-31T12:03:00Z"),
  closedAt: null,
  locations: ["Oslo", "Rome"],
  error: null,
  errorDetail: null,
  statusCode: 503,
  checks: 2,
  lastUp: new Date("2026-01-31T12:02:00Z"),
};
const CLOSED: Notification = { ...OPENED, event: "closed", closedAt: new Date("2026-01-31T12:15:00Z"), checks: 12 };
const NOW = new Date("2026-01-31T12:04:00Z");

it("messageText tells what, since when, why, from where, and when it was good last", () => {
  expect(messageText([OPENED], null)).toEqual({
    title: "DOWN: https://a.example",
    lines: [
      "DOWN https://a.example since 2026-01-31 12:03 UTC: status 503, seen from Oslo and Rome; " +
      "last good check at 2026-01-31 12:02 UTC",
    ],
    isAlarm: true,
  });
});

it("messageText says of a canary what its outage means", () => {
  const hint = "; while all canaries are down there, nothing else is taken for down";
  expect(messageText([{ ...OPENED, isCanary: true }], null).lines[0]?.endsWith(hint)).toBe(true);
  expect(messageText([{ ...CLOSED, isCanary: true }], null).lines[0]).not.toContain("canaries");
});

it("messageText tells once of what began and ended meanwhile", () => {
  const lines = [
    "UP https://a.example: it was down from 2026-01-31 12:03 UTC to 2026-01-31 12:15 UTC, 12 checks: status 503",
  ];
  expect(messageText([OPENED, CLOSED], null)).toEqual({ title: "UP: https://a.example", lines, isAlarm: false });
});

it("messageText says what still lasts", () => {
  const again = { ...OPENED, event: "again" as const };
  const { title, lines, isAlarm } = messageText(
    [again, { ...again, incident: "i2" }, { ...CLOSED, incident: "i3" }],
    null,
  );
  expect(title).toBe("STILL 2 sites down, since 12:03 UTC; UP: https://a.example");
  expect(lines[0]).toMatch(/^STILL DOWN https:\/\/a\.example since /);
  expect(isAlarm).toBe(true);
});

it("messageText counts many, and names the first of them", () => {
  const many = Array.from(
    { length: 37 },
    (_, i) => ({ ...OPENED, incident: `i${i}`, address: `https://${i}.example` }),
  );
  const { title, lines } = messageText([...many, { ...CLOSED, incident: "other" }], null);
  expect(title).toBe("37 sites down, since 12:03 UTC; UP: https://a.example");
  expect(lines).toHaveLength(26);
  expect(lines.at(-1)).toBe("and 13 more");
});

it("messageText has words of their own for certificates and silence", () => {
  const certificate = { ...OPENED, kind: "certificate", errorDetail: "the certificate expires at T", locations: [] };
  const silence = { ...OPENED, incident: "i2", kind: "silence", locations: [] };
  expect(messageText([certificate, silence], null)).toEqual({
    title: "CERTIFICATE EXPIRES: https://a.example; NOT CHECKED: https://a.example",
    lines: [
      "CERTIFICATE https://a.example: the certificate expires at T",
      "NOT CHECKED https://a.example: a check was due at 2026-01-31 12:03 UTC, and none came",
    ],
    isAlarm: true,
  });
});

it("messageText makes one short line of whatever a site says, and adds a link to the page", () => {
  const odd = { ...OPENED, error: "connect", errorDetail: `a\r\nb\u0000${"x".repeat(1000)}` };
  const { lines } = messageText([odd], "https://status.example/");
  expect(lines).toEqual([
    expect.stringMatching(/: connect: a b x{300,}… https:\/\/status\.example\/host\?address=https%3A%2F%2Fa\.example$/),
  ]);
});

function requests(target: string, notifications: readonly Notification[], page: string | null = null) {
  return requestsFor(httpTarget(target), { id: "m1", tries: 1, notifications }, { now: NOW, page }).map((
    { headers, body, url },
  ) => ({
    url,
    headers,
    body: headers["content-type"]?.includes("json") ? JSON.parse(body) as unknown : body,
  }));
}

it("a webhook gets a CloudEvent, whose id stays the same", () => {
  const [request] = requests("https://me:pw@hooks.example/x", [OPENED]);
  expect(request).toMatchObject({
    url: "https://hooks.example/x",
    headers: {
      "content-type": "application/cloudevents+json",
      "idempotency-key": "m1",
      authorization: "Basic bWU6cHc=",
    },
    body: {
      specversion: "1.0",
      id: "m1",
      type: "host-checker.incidents",
      time: NOW.toISOString(),
      data: {
        title: "DOWN: https://a.example",
        incidents: [{
          id: "i1",
          event: "opened",
          kind: "down",
          reason: "status 503",
          status_code: 503,
          closed_at: null,
        }],
      },
    },
  });
});

it("Slack gets a text in which nothing is taken for its own marks", () => {
  const [request] = requests("slack+https://hooks.example/x", [{ ...OPENED, address: "https://a.example/<!here>&" }]);
  expect(request?.body).toEqual({
    text: expect.stringMatching(/^\*DOWN: https:\/\/a\.example\/&lt;!here&gt;&amp;\*\nDOWN /),
  });
});

it("Teams gets an Adaptive Card", () => {
  const [request] = requests("teams+https://hooks.example/x", [OPENED]);
  expect(request?.body).toMatchObject({
    type: "message",
    attachments: [{
      contentType: "application/vnd.microsoft.card.adaptive",
      content: {
        type: "AdaptiveCard",
        body: [
          { type: "RichTextBlock", inlines: [{ text: "DOWN: https://a.example", color: "Attention" }] },
          { type: "RichTextBlock", inlines: [{ type: "TextRun", text: expect.stringMatching(/^DOWN /) }] },
        ],
      },
    }],
  });
});

it("ntfy gets a text, with its title in ASCII", () => {
  const [request] = requests("ntfy+https://:tk@ntfy.example/t", [{ ...OPENED, address: "https://ü.example" }]);
  expect(request?.headers).toMatchObject({
    authorization: "Bearer tk",
    priority: "high",
    title: `=?UTF-8?B?${Buffer.from("DOWN: https://ü.example").toString("base64")}?=`,
  });
  expect(request?.body).toMatch(/^DOWN https:\/\/ü\.example since /);
});

it("PagerDuty gets an event an incident, each with the incident's key", () => {
  const both = requests("pagerduty:R0UTINGKEY", [OPENED, { ...CLOSED, incident: "i2" }]).map(({ body }) => body);
  expect(both).toMatchObject([
    {
      routing_key: "R0UTINGKEY",
      event_action: "trigger",
      dedup_key: "i1",
      payload: { source: "https://a.example", severity: "critical", timestamp: "2026-01-31T12:03:00.000Z" },
    },
    { routing_key: "R0UTINGKEY", event_action: "resolve", dedup_key: "i2" },
  ]);
});

it("ntfy gets no more than it takes for a message", () => {
  const many = Array.from({ length: 25 }, (_, i) => ({ ...OPENED, incident: `i${i}`, errorDetail: "ü".repeat(400) }));
  const [request] = requests("ntfy+https://ntfy.example/t", many);
  const { length } = Buffer.from(request?.body as string);
  expect(length).toBeLessThanOrEqual(4096);
  expect(length).toBeGreaterThan(3000);
});

it("Alertmanager gets an alert an incident, with its end once it is over", () => {
  const closed = { ...CLOSED, kind: "silence", closedAt: new Date("2026-01-31T12:03:30Z") };
  const [request] = requests("alertmanager+http://alerts.example:9093/", [OPENED, closed], "https://status.example/");
  expect(request).toMatchObject({
    url: "http://alerts.example:9093/api/v2/alerts",
    body: [
      {
        labels: { alertname: "SiteDown", kind: "down", address: "https://a.example", severity: "critical" },
        annotations: { summary: "DOWN: https://a.example", incident: "i1" },
        startsAt: "2026-01-31T12:03:00.000Z",
        endsAt: "2026-03-02T12:04:00.000Z",
        generatorURL: "https://status.example/host?address=https%3A%2F%2Fa.example",
      },
      {
        labels: { alertname: "SiteNotChecked", kind: "silence", severity: "warning" },
        startsAt: "2026-01-31T12:03:00.000Z",
        endsAt: "2026-01-31T12:03:30.000Z",
      },
    ],
  });
});

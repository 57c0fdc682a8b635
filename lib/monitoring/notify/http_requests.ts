import type { HttpTarget, NotifyTarget } from "../../config/notify_targets.ts";
import type { Notification, NotificationMessage } from "../../postgres/store.ts";
import { linkTo, type MessageText, messageText, reasonOf } from "./message_text.ts";

/** An HTTP request (POST) that tells a target of something. */
export interface NotifyRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a request needs beside the message. */
export interface RequestContext {
  /** The address of the page, for links; null: there is none. */
  readonly page: string | null;
  readonly now: Date;
}

/** The requests by which a message goes to a target. It is told when all of them are accepted. */
export function requestsFor(
  target: HttpTarget,
  message: NotificationMessage,
  context: RequestContext,
): NotifyRequest[] {
  const { url, authorization } = target;
  const common = {
    // So that who gets it twice can tell.
    "idempotency-key": message.id,
    ...authorization === null ? {} : { authorization },
  };
  const text = messageText(message.notifications, context.page);
  return SHAPES[target.kind].forms({ ...context, target, message, text }).map(({ headers, body }) => ({
    url,
    headers: { "content-type": "application/json", ...common, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  }));
}

/** The most events that a message to such a target holds. */
export function mostEvents({ kind }: Pick<NotifyTarget, "kind">): number {
  return kind === "smtp" ? MANY : SHAPES[kind].most;
}

interface Form {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | object;
}

interface Shape {
  /** The most events of a message. */
  readonly most: number;
  forms(
    told: RequestContext & {
      readonly target: HttpTarget;
      readonly message: NotificationMessage;
      readonly text: MessageText;
    },
  ): readonly Form[];
}

/** Events in a message that is one request, and in one that is a request an event. */
const MANY = 500;
const FEW = 25;
/** Bytes: ntfy makes a file of a longer message. */
const NTFY_BODY = 4096;
/** Milliseconds for which Alertmanager keeps an alert, unless it hears of its end. */
const ALERT_LIFE = 30 * 86_400_000;

/** What each kind of target is sent. */
const SHAPES: Readonly<Record<HttpTarget["kind"], Shape>> = {
  // CloudEvents 1.0, structured mode.
  webhook: {
    most: MANY,
    forms({ message: { id, notifications }, text: { title, lines }, now, page }) {
      const event = {
        specversion: "1.0",
        id,
        source: "/host-checker",
        type: "host-checker.incidents",
        time: now.toISOString(),
        datacontenttype: "application/json",
        data: { title, lines, incidents: notifications.map((each) => incidentOf(each, page)) },
      };
      return [{ headers: { "content-type": "application/cloudevents+json" }, body: event }];
    },
  },

  // Slack's incoming webhooks, which Mattermost and Discord (/slack) understand.
  slack: {
    most: MANY,
    forms({ text: { title, lines } }) {
      return [{ body: { text: [`*${slackText(title)}*`, ...lines.map(slackText)].join("\n") } }];
    },
  },

  // The workflow "when a webhook request is received", which takes Adaptive Cards. In a TextRun,
  // unlike a TextBlock, nothing of a site's words is taken for Markdown.
  teams: {
    most: MANY,
    forms({ text: { title, lines, isAlarm } }) {
      const block = (text: string, more: object = {}) => ({
        type: "RichTextBlock",
        inlines: [{ type: "TextRun", text, ...more }],
      });
      const content = {
        $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
        type: "AdaptiveCard",
        version: "1.4",
        body: [
          block(title, { weight: "Bolder", color: isAlarm ? "Attention" : "Good" }),
          ...lines.map((line) => block(line)),
        ],
      };
      const attachment = { contentType: "application/vnd.microsoft.card.adaptive", content };
      return [{ body: { type: "message", attachments: [attachment] } }];
    },
  },

  ntfy: {
    most: MANY,
    forms({ text: { title, lines, isAlarm } }) {
      const headers = {
        "content-type": "text/plain; charset=utf-8",
        title: headerText(title),
        priority: isAlarm ? "high" : "default",
        tags: isAlarm ? "rotating_light" : "white_check_mark",
      };
      return [{ headers, body: linesWithin(lines, NTFY_BODY) }];
    },
  },

  // Events API v2. Each incident is one of its own, by its key.
  pagerduty: {
    most: FEW,
    forms({ target, message, page }) {
      return message.notifications.map((notification) => {
        const { event, incident, kind, address, openedAt } = notification;
        const link = linkTo(page, address);
        const payload = {
          summary: messageText([notification], null).lines[0],
          source: address,
          severity: severityOf(kind),
          timestamp: openedAt.toISOString(),
          custom_details: incidentOf(notification, page),
        };
        const links = link === null ? {} : { links: [{ href: link, text: "Host Checker" }] };
        const action = event === "closed"
          ? { event_action: "resolve" }
          : { event_action: "trigger", payload, ...links };
        return { body: { routing_key: target.key, dedup_key: incident, ...action } };
      });
    },
  },

  // The API v2. Alertmanager knows an alert by its labels.
  alertmanager: {
    most: MANY,
    forms({ message: { notifications }, now, page }) {
      const alerts = notifications.map((notification) => {
        const { incident, kind, address, openedAt, closedAt, event } = notification;
        const link = linkTo(page, address);
        // It is over now: a consumer's clock that is ahead must not keep it open.
        const end = event === "closed" ? Math.min((closedAt ?? now).getTime(), now.getTime()) : null;
        return {
          labels: { alertname: ALERT_NAMES[kind] ?? kind, kind, address, severity: severityOf(kind) },
          annotations: {
            summary: messageText([notification], null).title,
            description: messageText([notification], null).lines[0],
            incident,
          },
          startsAt: new Date(Math.min(openedAt.getTime(), end ?? Infinity)).toISOString(),
          endsAt: new Date(end ?? now.getTime() + ALERT_LIFE).toISOString(),
          ...link === null ? {} : { generatorURL: link },
        };
      });
      return [{ body: alerts }];
    },
  },
};

const ALERT_NAMES: Readonly<Record<string, string>> = {
  down: "SiteDown",
  certificate: "SiteCertificateExpires",
  silence: "SiteNotChecked",
};

const severityOf = (kind: string) => kind === "down" ? "critical" : "warning";

/** An incident for a program. */
function incidentOf(notification: Notification, page: string | null): object {
  const { incident, event, kind, address, openedAt, closedAt, locations, error, errorDetail, statusCode, checks } =
    notification;
  const link = linkTo(page, address);
  return {
    id: incident,
    event,
    kind,
    address,
    opened_at: openedAt.toISOString(),
    closed_at: closedAt?.toISOString() ?? null,
    locations,
    error,
    error_detail: errorDetail,
    status_code: statusCode,
    reason: reasonOf(notification),
    checks,
    last_up: notification.lastUp?.toISOString() ?? null,
    ...link === null ? {} : { link },
  };
}

/** These characters are Slack's own. */
function slackText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A header holds ASCII only: anything else is an encoded word (RFC 2047), which ntfy reads. */
function headerText(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : `=?UTF-8?B?${Buffer.from(text).toString("base64")}?=`;
}

/** As many of the lines as there is room for, one at least. */
function linesWithin(lines: readonly string[], most: number): string {
  let size = 0;
  const fitting = lines.filter((line, i) => (size += Buffer.byteLength(line) + 1) <= most || i === 0);
  return fitting.join("\n");
}

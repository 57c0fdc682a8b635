import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requestsFor } from "../../lib/monitoring/notify/http_requests.ts";
import type { Notification } from "../../lib/postgres/store.ts";
import { canRunAlertmanager, startAlertmanager } from "../support/alertmanager.ts";
import { Authority } from "../support/authority.ts";
import { eventually } from "../support/eventually.ts";
import { openMailServer } from "../support/mail_server.ts";
import { httpTarget } from "../support/notify_target.ts";
import { canRunNtfy, startNtfy } from "../support/ntfy.ts";
import { run, RUNTIMES } from "../support/programs.ts";
import { openReceiver } from "../support/receiver.ts";
import { denoMissing, trusting } from "../support/runtimes.ts";

// The consumer's messages, and the programs that they are for.

const folder = mkdtempSync(join(tmpdir(), "test-receivers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

it.runIf(canRunAlertmanager())("Alertmanager tells of an outage, and of its end", async () => {
  await using webhook = await openReceiver();
  await using alertmanager = await startAlertmanager(folder, webhook.port);
  const env = { NOTIFY: `alertmanager+http://127.0.0.1:${alertmanager.port}` };
  expect(await run("node", "consumer", ["--notify-test"], { env })).toMatchObject({ code: 0 });
  const told = () => webhook.received.flatMap(({ body }) => (JSON.parse(body) as { alerts: Alert[] }).alerts);
  await eventually(() => told().some(({ status }) => status === "resolved"), () => JSON.stringify(told()));
  const [first] = told();
  expect(first?.labels).toMatchObject({ alertname: "SiteDown", kind: "down", severity: "critical" });
}, 60_000);

/** An alert as Alertmanager tells a webhook. */
interface Alert {
  readonly status: string;
  readonly labels: Readonly<Record<string, string>>;
}

it.runIf(canRunNtfy())("ntfy tells of an outage and of its end, and makes no file of a long message", async () => {
  await using ntfy = await startNtfy(folder);
  const target = (token: string) => `ntfy+http://:${token}@127.0.0.1:${ntfy.port}/sites`;
  const stranger = await run("node", "consumer", ["--notify-test"], { env: { NOTIFY: target("tk_unknown") } });
  expect(stranger).toMatchObject({ code: 1, stdout: expect.stringMatching(/: it answers with status 401\n$/) });
  for (const runtime of runtimes) {
    expect(await run(runtime, "consumer", ["--notify-test"], { env: { NOTIFY: target(ntfy.token) } }))
      .toMatchObject({ code: 0 });
  }
  const told = await ntfy.messages("sites");
  expect(told.map(({ title }) => title.slice(0, title.indexOf(":")))).toEqual(runtimes.flatMap(() => ["DOWN", "UP"]));
  expect(told[0]).toMatchObject({ priority: 4, tags: ["rotating_light"] });

  const notifications = Array.from({ length: 30 }, (_, i): Notification => ({
    event: "opened",
    incident: `i${i}`,
    kind: "down",
    address: `https://ü${i}.example`,
    openedAt: new Date(),
    closedAt: null,
    locations: [],
    error: "connect",
    errorDetail: "ü".repeat(400),
    statusCode: null,
    checks: 2,
    lastUp: null,
  }));
  for (const which of [notifications, notifications.slice(0, 1)]) {
    const message = { id: "m1", tries: 1, notifications: which };
    for (
      const { url, ...request } of requestsFor(httpTarget(target(ntfy.token)), message, { page: null, now: new Date() })
    ) {
      expect((await fetch(url, { method: "POST", ...request })).status).toBe(200);
    }
  }
  const [many, one] = (await ntfy.messages("sites")).slice(told.length);
  expect(many?.title).toMatch(/^30 sites down, since /);
  expect(many?.attachment).toBeUndefined();
  expect(one?.title).toBe("DOWN: https://ü0.example");
}, 90_000);

describe.each(runtimes)("mail over TLS, under %s", (runtime) => {
  const authority = new Authority(join(folder, runtime));
  beforeAll(async () => {
    await authority.key("ca");
    await authority.certificate("ca");
    await authority.key("server");
    await authority.certificate("server", { issuer: "ca", names: "DNS:localhost,IP:0.0.0.0" });
  });

  // 0.0.0.0 leads here, but is no name of this machine: a password goes there over TLS alone.
  it.each([["smtps", "localhost", true], ["smtp", "0.0.0.0", false]])(
    "%s:// takes the password to a server whose certificate it can verify, and to no other",
    async (scheme, host, secure) => {
      const tls = { key: authority.read("server.key"), cert: authority.read("server.pem"), secure };
      await using server = await openMailServer(tls);
      const NOTIFY = `${scheme}://me:secret@${host}:${server.port}?to=oncall@b.example&from=checker@b.example`;
      const unknown = await run(runtime, "consumer", ["--notify-test"], { env: { NOTIFY } });
      expect([unknown.code, server.logins]).toEqual([1, []]);
      const env = { NOTIFY, ...trusting(authority.path("ca.pem")) };
      expect(await run(runtime, "consumer", ["--notify-test"], { env })).toMatchObject({ code: 0 });
      expect(server.mails.map(({ login, to }) => [login, to])).toEqual(
        Array.from({ length: 2 }, () => ["me", ["oncall@b.example"]]),
      );
    },
    60_000,
  );
});

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canRunAlertmanager, startAlertmanager } from "../support/alertmanager.ts";
import { Authority } from "../support/authority.ts";
import { eventually } from "../support/eventually.ts";
import { openMailServer } from "../support/mail_server.ts";
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

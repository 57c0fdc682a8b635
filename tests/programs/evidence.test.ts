import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { EvidencedMetric } from "../../lib/metric.ts";
import { freePort } from "../../tools/free_ports.ts";
import { newEmbedded } from "../support/embedded.ts";
import { eventually } from "../support/eventually.ts";
import { openMailServer, textOf } from "../support/mail_server.ts";
import { openReceiver } from "../support/receiver.ts";
import { run, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { answer, openSite } from "../support/site.ts";

// Evidence from the site to the page, by the programs as a user starts them.

const folder = mkdtempSync(join(tmpdir(), "test-evidence-program-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
const [TOKEN, FILE] = ["V4riable-Secret", "f1le-secret"];
const HOSTILE = `</pre><script>alert(1)</script>&'"`;

describe.each(runtimes)("under %s", (runtime: Runtime) => {
  const path = (name: string) => join(folder, `${runtime}-${name}`);
  const openEcho = () =>
    openSite((socket, { headers, path }) => {
      const sent = {
        "/name": headers["authorization"]?.slice("Bearer ".length),
        "/scheme": headers["cookie"]?.slice(3),
      };
      const place = { "/name": `http://${sent["/name"]}.invalid/`, "/scheme": `${sent["/scheme"]}://a/` }[path];
      if (place !== undefined) socket.end(answer("302 Found", { Location: place }));
      else {socket.end(
          answer("503 Busy", { "Set-Cookie": "a=c00kie", "X-Shop": "berlin" }, `${HOSTILE} ${JSON.stringify(headers)}`),
        );}
    });
  function hostsFor(port: number, frequency: string, ...pages: string[]): string {
    writeFileSync(path("token"), `${FILE}\n`);
    const lines = [
      ...["| header Authorization: Bearer ${HOSTS_TOKEN}", `| header Cookie: id=\${file:${path("token")}}`],
      ...pages.map((page) => `http://127.0.0.1:${port}${page} ${frequency}`),
    ];
    writeFileSync(path("hosts.txt"), lines.map((line) => `${line}\n`).join(""));
    return path("hosts.txt");
  }
  const env = { HOSTS_TOKEN: TOKEN };

  it(
    "what a site answered is on its page, escaped and, as in mails, without the secrets that it sent back",
    async () => {
      await using site = await openEcho();
      const hosts = hostsFor(site.port, "1h", "/", "/name", "/scheme");
      const made = await run(runtime, "producer", ["--once", "--stdout", "--evidence", hosts], { env });
      expect(made).toMatchObject({ code: 0 });
      const data = await newEmbedded(path("data"));
      const listen = `127.0.0.1:${await freePort()}`;
      await using receiver = await openReceiver();
      await using mailServer = await openMailServer();
      const targets = `http://127.0.0.1:${receiver.port}/ smtp://127.0.0.1:${mailServer.port}?to=oncall@b.example`;
      await using consumer = start(runtime, "consumer", [
        ...["--stdin", "--embedded", data, "--listen", listen, "--batch-interval", "0.1"],
        ...["--down-after", "1", "--notify-wait", "0"],
      ], { env: { LOG_LEVEL: "DEBUG", NOTIFY: targets } });
      consumer.write(made.stdout);
      let page = "";
      await eventually(
        async () => {
          const address = encodeURIComponent(`http://127.0.0.1:${site.port}/`);
          page = await fetch(`http://${listen}/host?address=${address}`).then((answer) => answer.text(), () => "");
          return page.includes("What came back");
        },
        () => page,
        { timeout: 100_000, interval: 100 },
      );
      expect(page).toContain("HTTP/1.1 503 Busy\nx-shop: berlin");
      expect(page).toContain("&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;&quot;");
      expect(page).toContain("&quot;authorization&quot;:&quot;…&quot;");
      expect(page).not.toContain("<script>alert");
      const mails = () => mailServer.mails.map(({ text }) => textOf(text)).join("\n");
      // Of one place several outages come in one message.
      const isTold = (text: string) =>
        ["/", "/name", "/scheme"].every((page) => text.includes(`${site.port}${page} since`));
      await eventually(() => receiver.received.length > 0 && isTold(mails()), () => consumer.stderr + mails(), {
        timeout: 30_000,
      });
      const paths = ["", "api/hosts", "api/incidents", "feed.atom", "metrics"];
      const shown = await Promise.all(paths.map(async (path) => (await fetch(`http://${listen}/${path}`)).text()));
      for (const text of shown.slice(1, 4)) expect(text).toContain(`127.0.0.1:${site.port}`);
      const told = receiver.received.map(({ body }) => body);
      expect(told.join()).toContain(`127.0.0.1:${site.port}`);
      expect(mails()).toContain("dns: ….invalid: ");
      expect(mails()).toContain("redirect: the redirect leads to a …: address");
      const raw = mailServer.mails.map(({ text }) => text);
      const seen = [made.stdout, made.stderr, page, consumer.stderr, ...shown, ...told, mails(), ...raw].join("\n");
      for (const secret of [TOKEN, FILE, "c00kie"]) expect(seen.toLowerCase()).not.toContain(secret.toLowerCase());
    },
    200_000,
  );

  it("no metric has evidence that nobody asked for, nor the second of a row of failures", async () => {
    await using site = await openEcho();
    const hosts = hostsFor(site.port, "1s", "/");
    const without = await run(runtime, "producer", ["--once", "--stdout", hosts], { env });
    expect(without.stdout).not.toContain("evidence");
    await using producer = start(runtime, "producer", ["--stdout", hosts], { env: { ...env, CHECK_EVIDENCE: "true" } });
    await producer.prints(/(?:.*\n){3}/);
    const metrics = producer.stdout.trim().split("\n").slice(0, 3).map((line) => JSON.parse(line) as EvidencedMetric);
    expect(metrics.map(({ evidence }) => evidence?.status_line)).toEqual(["HTTP/1.1 503 Busy", undefined, undefined]);
  }, 60_000);
});

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get as request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../tools/free_ports.ts";
import { newEmbedded } from "../support/embedded.ts";
import { eventually } from "../support/eventually.ts";
import { metricWith } from "../support/metrics.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { run, type Runtime, RUNTIMES, start } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";
import { inTurn } from "../support/turns.ts";

// The page as a browser gets it: from the consumer's port, and as files.

const folder = mkdtempSync(join(tmpdir(), "test-page-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = () => join(folder, String(++files));

const HOSTILE = `https://evil.example/"><script>alert(1)</script>&amp;'`;
const DETAIL = `</style><img src=x onerror=alert(2)> <!-- ]]>`;
const MINUTE = 60_000;

/** A metric of so many minutes ago, as a line. */
function line(address: string, minutes: number, fields: Parameters<typeof metricWith>[0] = {}): string {
  const at = (ago: number) => new Date(Date.now() - ago * MINUTE).toISOString();
  const times = { scheduled_at: at(minutes), checked_at: at(minutes), next_at: at(-600) };
  return `${JSON.stringify({ ...metricWith(), check_id: crypto.randomUUID(), address, ...times, ...fields })}\n`;
}
const down = { status_code: null, is_valid: false, error: "tls", error_detail: DETAIL } as const;
const METRICS = [
  line("https://good.example", 3),
  line("https://good.example", 1),
  line("https://late.example", 30, { next_at: new Date(Date.now() - 25 * MINUTE).toISOString() }),
  line("https://old.example", 3000, { next_at: null }),
  line("https://skipped.example", 2),
  line("https://skipped.example", 1, { status_code: null, latency: 0, is_valid: false, error: "missed" }),
  line("javascript:alert(3)", 1),
  line(HOSTILE, 4),
  line(HOSTILE, 3, down),
  line(HOSTILE, 1, down),
].join("");

function environmentOf({ settings: { host, port, name, user, password } }: TestPostgres): Record<string, string> {
  return { DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: user, DB_PASSWORD: password ?? "" };
}

/** A consumer with a page. */
interface Shown extends AsyncDisposable {
  readonly url: string;
  /** Gives it more metrics. */
  write(text: string): void;
}

const text = async (url: string) => await (await fetch(url)).text();

// At the same time: most of what they do is to wait for the next renewal of the files.
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

describe.concurrent.each(runtimes)(
  "under %s",
  (runtime: Runtime) => {
    const long = inTurn(runtimes, runtime);
    /**
     * A consumer that begins with the metrics stored: on a server, or in an embedded database where
     * none is named.
     */
    async function shown(args: readonly string[], server?: TestPostgres): Promise<Shown> {
      const listen = `127.0.0.1:${await freePort()}`;
      const place = server === undefined ? ["--embedded", await newEmbedded(newPath())] : [];
      const env = server === undefined ? {} : environmentOf(server);
      const stored = await run(runtime, "consumer", ["--stdin", ...place], { env, input: METRICS });
      expect(stored.code, stored.stderr).toBe(0);
      const consumer = start(runtime, "consumer", ["--stdin", ...place, "--listen", listen, ...args], { env });
      const isShown = () => fetch(`http://${listen}`).then(({ ok }) => ok, () => false);
      const patience = { timeout: 150_000, interval: 100 };
      await eventually(isShown, () => `The page is not shown:\n${consumer.stderr}`, patience);
      return {
        url: `http://${listen}`,
        write: (text) => consumer.write(text),
        async [Symbol.asyncDispose]() {
          consumer.kill("SIGTERM");
          const { code, stderr } = await consumer.ended;
          expect(code, stderr).toBe(0);
        },
      };
    }

    describe("a page of all hosts", () => {
      const directory = newPath();
      let page: Shown;
      let server: TestPostgres | undefined;
      beforeAll(async () => {
        if (postgresMissing === null) server = await startPostgres();
        const url = ["--page-url", "https://status.example/checks"];
        page = await shown(["--page-title", `<b>"Ours"</b>`, "--page", directory, ...url], server);
      }, 200_000);
      afterAll(async () => {
        await page?.[Symbol.asyncDispose]();
        await server?.[Symbol.asyncDispose]();
      });

      it("tells the states of all hosts, and lets no text from outside be more than text", async () => {
        const overview = await text(page.url);
        expect(overview).toMatch(/^<!DOCTYPE html>/);
        expect(overview).toContain("1 host is down");
        expect(overview).toContain("6 hosts: 1 down, 1 stale, 1 not checked, 3 up");
        expect(overview).toContain("&lt;b&gt;&quot;Ours&quot;&lt;/b&gt;");
        expect(overview).toContain(
          "https://evil.example/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&#39;",
        );
        expect(overview).toContain("tls: &lt;/style&gt;&lt;img src=x onerror=alert(2)&gt;");
        const host = await text(`${page.url}/host?${new URLSearchParams({ address: HOSTILE })}`);
        expect(host).toContain("tls: &lt;/style&gt;&lt;img");
        expect(host).toContain("goes on");
        const script = await text(`${page.url}/host?${new URLSearchParams({ address: "javascript:alert(3)" })}`);
        for (const body of [overview, host, script]) {
          expect(body).not.toMatch(/<script|<img|<b>|href="javascript|<style>[^<]*<\/style>[^]*<\/style>/i);
        }
        const skipped = await text(`${page.url}/host?address=https://skipped.example`);
        expect(skipped).toMatch(/Missed<\/span>/);
        expect(skipped).toContain("1 check, 1 missed");
      });

      it("is found by a part of an address, by a state, and by the number of a page", async () => {
        const found = await text(`${page.url}/?q=GOOD+example`);
        expect(found).toContain("1 to 1 of 1 host.");
        expect(found).toContain(`value="GOOD example"`);
        expect(await text(`${page.url}/?state=stale`)).toContain("1 to 1 of 1 host.");
        expect(await text(`${page.url}/?q=nothing`)).toContain("No host matches.");
        expect(await text(`${page.url}/?page=999&state=wrong`)).toContain("1 to 6 of 6 hosts.");
        expect(await text(`${page.url}/?q=%22%3E%3Cscript%3E`)).not.toContain("<script>");
      });

      it("has the headers that keep it safe and quick", async () => {
        const response = await fetch(page.url);
        expect(Object.fromEntries(response.headers)).toMatchObject({
          "content-security-policy": expect.stringMatching(
            /^default-src 'none'; style-src 'sha256-[\w+/=]+'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
          ),
          "content-type": "text/html; charset=utf-8",
          "cache-control": "max-age=5",
          "referrer-policy": "no-referrer",
          "x-content-type-options": "nosniff",
        });
        // The same text has the same tag: of two answers in a row the second may be a newer one.
        const again = async () => {
          const tag = (await fetch(`${page.url}/badge.svg?address=https://good.example`)).headers.get("etag") ?? "";
          const headers = { "If-None-Match": tag };
          return (await fetch(`${page.url}/badge.svg?address=https://good.example`, { headers })).status;
        };
        expect(await again()).toBe(304);
        const head = await fetch(page.url, { method: "HEAD" });
        expect({ status: head.status, body: await head.text() }).toEqual({ status: 200, body: "" });
        expect(Number(head.headers.get("content-length"))).toBeGreaterThan(1000);
        const post = await fetch(page.url, { method: "POST" });
        expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
        for (const path of ["/nothing", "/host", "/host?address=https://other.example", "/badge.svg?address=x"]) {
          expect((await fetch(page.url + path)).status).toBe(404);
        }
      });

      it("answers to the name that people know, and puts it into the feed", async () => {
        const askAs = (host: string) =>
          new Promise<number | undefined>((resolve, reject) => {
            request(page.url, { headers: { Host: host }, agent: false }, (answer) => {
              answer.resume();
              resolve(answer.statusCode);
            }).on("error", reject);
          });
        expect(await askAs("status.example")).toBe(200);
        expect(await askAs("other.example")).toBe(421);
        const feed = await text(`${page.url}/feed.atom`);
        expect(feed).toContain(`href="https://status.example/checks/host?address=`);
        expect(feed).toMatch(
          /^<\?xml version="1.0" encoding="utf-8"\?>\s*<feed xmlns="http:\/\/www.w3.org\/2005\/Atom">/,
        );
        expect(feed.match(/<entry>/g)).toHaveLength(1);
        expect(feed).toContain("Down: https://evil.example/&quot;&gt;&lt;script&gt;");
      });

      it("has badges and an API that tell the same", async () => {
        const hosts = JSON.parse(await text(`${page.url}/api/hosts`)) as { counts: object; hosts: object[] };
        expect(hosts.counts).toEqual({ down: 1, stale: 1, unchecked: 1, maintenance: 0, up: 3 });
        expect(hosts.hosts[0]).toMatchObject({ address: HOSTILE, state: "down", reason: `tls: ${DETAIL}` });
        const { incidents } = JSON.parse(await text(`${page.url}/api/incidents`)) as { incidents: object[] };
        expect(incidents).toMatchObject([{ address: HOSTILE, closed_at: null, reason: `tls: ${DETAIL}`, checks: 2 }]);
        const badge = await fetch(`${page.url}/badge.svg?address=https://good.example`);
        expect(badge.headers.get("content-type")).toBe("image/svg+xml; charset=utf-8");
        expect(await badge.text()).toMatch(/^<svg [^]*good\.example: up 100 %/);
      });

      // Behind the others: it adds a host.
      long("is also written as files, renewed every minute", { concurrent: false, timeout: 180_000 }, async () => {
        const read = (name: string) => {
          try {
            return readFileSync(join(directory, name), "utf8");
          } catch {
            return "";
          }
        };
        const untilWholeWith = async (hosts: number) => {
          const isWhole = () =>
            read("index.html").includes(`${hosts} hosts: 1 down`) &&
            readdirSync(join(directory, "host")).length === hosts;
          await eventually(isWhole, () => `Not whole: ${read("index.html")}`, { timeout: 120_000, interval: 200 });
        };
        await untilWholeWith(6);
        const index = read("index.html");
        expect(index).toContain(`<meta http-equiv="Content-Security-Policy"`);
        expect(index).not.toContain("<form");
        const links = [...index.matchAll(/href="(host\/[^"]+)"/g)].map(([, name = ""]) => name);
        expect(new Set(links).size).toBe(6);
        for (const name of links) expect(read(name)).toContain(`href="../index.html"`);
        expect(readdirSync(join(directory, "badge")).length).toBe(6);
        expect(read("feed.atom")).toMatch(/^<\?xml[^]*<entry>/);
        expect(JSON.parse(read("api/hosts.json"))).toMatchObject({ counts: { down: 1 } });
        page.write(line("https://new.example", 0));
        await untilWholeWith(7);
        const [, name = ""] = /href="(host\/new\.example[^"]+)"/.exec(read("index.html")) ?? [];
        expect(read(name)).toContain("https://new.example");
      });
    });

    long("what --page-hosts leaves out is nowhere, here with an embedded database", async () => {
      await using page = await shown(["--page-hosts", "https://g*.example https://?ate.example"]);
      const overview = await text(page.url);
      expect(overview).toContain("2 hosts: 1 stale, 1 up");
      const feed = await text(`${page.url}/feed.atom`);
      const api = await text(`${page.url}/api/hosts`) + await text(`${page.url}/api/incidents`);
      expect(overview + feed + api).not.toMatch(/evil|skipped|old\.example/);
      for (const path of ["host", "badge.svg"]) {
        expect((await fetch(`${page.url}/${path}?${new URLSearchParams({ address: HOSTILE })}`)).status).toBe(404);
      }
    }, 200_000);

    it("--page refuses a folder with a page of somebody else", async () => {
      const directory = mkdtempSync(join(folder, "foreign-"));
      writeFileSync(join(directory, "index.html"), "mine");
      expect(await run(runtime, "consumer", ["--stdin", "--embedded", newPath(), "--page", directory])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("it holds an index.html that this program did not write"),
      });
      expect(readFileSync(join(directory, "index.html"), "utf8")).toBe("mine");
    });
  },
);

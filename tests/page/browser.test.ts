import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page as Tab } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HttpPort, openHttpPort } from "../../lib/net/http_port.ts";
import { PageFiles } from "../../lib/page/files.ts";
import { Page } from "../../lib/page/page.ts";
import { PageFolder } from "../../lib/page/page_folder.ts";
import type { Database } from "../../lib/postgres/database.ts";
import { openPostgres } from "../../lib/postgres/database/postgres.ts";
import type { Store } from "../../lib/postgres/store.ts";
import { browserMissing, openBrowser } from "../../tools/browser.ts";
import { skipped } from "../support/kafka.ts";
import { fillPageWorld } from "../support/page_world.ts";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";

// The page in a real browser. Its pictures stay in .cache/pictures for a person to look at.

const PICTURES = fileURLToPath(new URL("../../.cache/pictures/", import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const HOSTILE = `https://evil.example/"><script>document.title='owned'</script><img src=//elsewhere.example/x>`;

const WAYS: readonly (readonly [name: string, options: BrowserContextOptions])[] = [
  ["light", { colorScheme: "light", viewport: { width: 1280, height: 800 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1280, height: 800 } }],
  ["telephone", { colorScheme: "light", viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }],
  ["telephone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }],
];

const canRun = (browserMissing === null || skipped(browserMissing)) &&
  (postgresMissing === null || skipped(postgresMissing));

describe.runIf(canRun)("in Chromium", () => {
  let server: TestPostgres;
  let browser: Browser;
  const folder = mkdtempSync(join(tmpdir(), "test-browser-"));
  const databases: Database[] = [];
  const ports: HttpPort[] = [];
  beforeAll(async () => {
    mkdirSync(PICTURES, { recursive: true });
    [server, browser] = await Promise.all([startPostgres(), openBrowser()]);
  });
  afterAll(async () => {
    await browser?.close();
    for (const part of [...ports, ...databases, server]) await part?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  async function world(name: string, hosts: number, days: number, interval: number): Promise<[Store, string]> {
    // Filling takes long where other tests have the machine too.
    const patience = { answer: 310_000, connect: 10_000, statement: 300_000, lock: 10_000 };
    const database = openPostgres(server.settings, patience);
    databases.push(database);
    const store = await fillPageWorld(database, { table: { schema: null, name }, hosts, days, interval });
    await database.query(
      `insert into ${name} (address, latency, is_valid, scheduled_at, checked_at, error, error_detail, check_id)
       select $1::text, 1, false, now(), now(), 'tls', $2::text, gen_random_uuid()`,
      [HOSTILE, `<svg onload="document.title='owned'">`],
    );
    const settings = { directory: null, title: `<script>document.title='owned'</script>`, hosts: null, url: null };
    const page = await Page.plan(settings, { log: { warn: (message) => expect.fail(message) } });
    page.read(store.reader(database));
    const port = await openHttpPort({ host: "127.0.0.1", port: 0 }, "--listen", {}, page);
    ports.push(port);
    return [store, `http://127.0.0.1:${port.port}`];
  }

  /** A tab, and what its page said and asked for that it should not. */
  async function open(url: string, options: BrowserContextOptions): Promise<{ tab: Tab; troubles: string[] }> {
    const context = await browser.newContext(options);
    const tab = await context.newPage();
    const troubles: string[] = [];
    tab.on("console", (message) => void troubles.push(message.text()));
    tab.on("pageerror", (error) => void troubles.push(error.message));
    tab.on("request", (request) => {
      if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith("data:")) {
        troubles.push(request.url());
      }
    });
    await tab.goto(url);
    return { tab, troubles };
  }

  /** The accessibility rules that a page breaks. */
  async function broken(tab: Tab): Promise<unknown> {
    await tab.evaluate(AXE);
    const rules = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
    return await tab.evaluate(`axe.run(document, ${JSON.stringify(rules)}).then(({ violations }) =>
      violations.map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => html.slice(0, 200) + " " + failureSummary) })))`);
  }

  const isWiderThanTab = (tab: Tab) => tab.evaluate("document.documentElement.scrollWidth > window.innerWidth");

  describe("with 60 hosts", () => {
    let url: string;
    let store: Store;
    beforeAll(async () => {
      [store, url] = await world("few", 60, 100, 600);
    }, 300_000);

    const PATHS: readonly (readonly [name: string, path: string])[] = [
      ["overview", "/"],
      ["host", `/host?${new URLSearchParams({ address: "https://login.example.com" })}`],
      ["host-down", `/host?${new URLSearchParams({ address: "https://mail.example.com" })}`],
      ["host-hostile", `/host?${new URLSearchParams({ address: HOSTILE })}`],
      ["none-found", "/?q=nothing&state=down"],
    ];
    const cases = PATHS.flatMap(([name, path]) => WAYS.map(([way, options]) => [name, way, path, options] as const));
    it.each(cases)(
      "the page %s, %s, breaks no rule, runs nothing and asks nobody else",
      async (name, way, path, options) => {
        const { tab, troubles } = await open(url + path, options);
        await tab.screenshot({ path: join(PICTURES, `${name}-${way}.png`), fullPage: true });
        expect(await broken(tab)).toEqual([]);
        expect(await isWiderThanTab(tab)).toBe(false);
        expect(await tab.title()).not.toBe("owned");
        expect(troubles).toEqual([]);
        await tab.context().close();
      },
    );

    // A click does not wait for the page behind it.
    it("a person finds a host, looks at it and comes back, with no script allowed", async () => {
      const { tab } = await open(url, { javaScriptEnabled: false });
      await expect.poll(() => tab.getByRole("heading", { level: 1 }).textContent()).toBe("3 hosts are down");
      await tab.getByLabel("Find in addresses").fill("login com");
      await tab.getByRole("button", { name: "Find" }).click();
      await expect.poll(() => tab.getByRole("row").count()).toBeGreaterThan(1);
      await tab.getByRole("link", { name: "https://login.example.com", exact: true }).click();
      await expect.poll(() => tab.getByRole("heading", { level: 1 }).textContent()).toBe("https://login.example.com");
      await expect.poll(() => tab.getByRole("img").count()).toBe(3);
      await tab.getByText("Figures: latency of the last 24 hours").click();
      await expect.poll(() => tab.getByRole("table").first().getByRole("row").count()).toBeGreaterThan(20);
      await tab.getByRole("link", { name: "<script>document.title='owned'</script>" }).click();
      await tab.getByLabel("State").selectOption("stale");
      await tab.getByRole("button", { name: "Find" }).click();
      await expect.poll(() => tab.getByRole("row").count()).toBe(3);
      await tab.context().close();
    });

    it("a browser shows the files from the disk", async () => {
      const directory = join(folder, "files");
      const settings = { directory, title: null, hosts: ["https://*.example.com*"], url: null };
      const files = new PageFiles(
        await PageFolder.open(directory),
        store.reader(databases[0] as Database),
        settings,
        (error) => {
          throw error;
        },
      );
      await files.renew(new AbortController().signal);
      const context = await browser.newContext();
      const tab = await context.newPage();
      const troubles: string[] = [];
      tab.on("console", (message) => void troubles.push(message.text()));
      await tab.goto(pathToFileURL(join(directory, "index.html")).href);
      expect(await tab.getByRole("heading", { level: 1 }).textContent()).toBe("1 host is down");
      await tab.screenshot({ path: join(PICTURES, "files.png") });
      await tab.getByRole("link", { name: "https://login.example.com", exact: true }).click();
      expect(await tab.getByRole("heading", { level: 1 }).textContent()).toBe("https://login.example.com");
      expect(troubles).toEqual([]);
      await context.close();
    });
  });

  it("10,000 hosts are pages, and the last one is reached", async () => {
    const [, url] = await world("many", 10_000, 3, 7200);
    const { tab, troubles } = await open(url, WAYS[0]?.[1] ?? {});
    await tab.screenshot({ path: join(PICTURES, "many.png") });
    expect(await broken(tab)).toEqual([]);
    await tab.getByRole("link", { name: "Page 201" }).click();
    expect(await tab.getByRole("row").count()).toBe(2);
    expect(await tab.getByText("10,001 to 10,001 of 10,001 hosts").count()).toBe(1);
    expect(troubles).toEqual([]);
    await tab.context().close();
  }, 300_000);
});

/**
 * Makes docs/page.png, the picture of the page, from a run of the demo: `npm run picture`. Needs Chromium.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { openBrowser } from "../browser.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PICTURE = `${ROOT}docs/page.png`;

const demo = spawn(process.execPath, ["--experimental-strip-types", "demo/demo.ts"], {
  cwd: ROOT,
  stdio: ["ignore", "pipe", "inherit"],
});
const ended = once(demo, "exit");
for await (const line of createInterface({ input: demo.stdout })) {
  console.log(line);
  const [url] = /^ {2}http:\/\/127\.0\.0\.1:\d+\/$/.exec(line) ?? [];
  if (url === undefined) continue;
  const browser = await openBrowser();
  const page = await browser.newPage({ viewport: { width: 1100, height: 800 } });
  await page.goto(url.trim());
  await page.screenshot({ path: PICTURE, fullPage: true });
  await browser.close();
  console.log(`\n${PICTURE}`);
  demo.kill("SIGTERM");
}
await ended;

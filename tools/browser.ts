import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/** Where Debian and others put Chromium. */
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"] as const;

const place = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));

/** Why this machine has no browser; null where it has, and under CI: nobody would notice skipped tests there. */
export const browserMissing: string | null = place !== undefined || process.env.CI === "true"
  ? null
  : "no Chromium here: install it (apt-get install chromium), or name it in CHROMIUM";

/** Starts a browser without a window. It downloads nothing: the machine's own is used. */
export async function openBrowser(): Promise<Browser> {
  if (place === undefined) throw new Error("no Chromium here: install it (apt-get install chromium)");
  // Root may not use the sandbox, and in containers there is none; only pages of this machine are opened.
  return await chromium.launch({ executablePath: place, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

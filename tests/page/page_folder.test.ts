import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { UsageError } from "../../lib/config/usage_error.ts";
import { fileName } from "../../lib/page/files.ts";
import { PageFolder } from "../../lib/page/page_folder.ts";

const folder = mkdtempSync(join(tmpdir(), "test-page-folder-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = () => join(folder, String(++files));

it("PageFolder removes what it has made, also for a program before it, and nothing else", async () => {
  const path = newPath();
  const first = await PageFolder.open(path);
  await first.announce(["index.html", "host/a-1.html", "host/b-2.html"]);
  await first.write("index.html", "one");
  await first.write("host/a-1.html", "a");
  writeFileSync(join(path, "host", "mine.html"), "mine");
  // It was killed here: host/b-2.html was announced and never written.
  const second = await PageFolder.open(path);
  await second.announce(["index.html"]);
  await second.write("index.html", "two");
  await second.keepOnly(new Set(["index.html"]));
  expect(readFileSync(join(path, "index.html"), "utf8")).toBe("two");
  expect(readdirSync(join(path, "host"))).toEqual(["mine.html"]);
  expect(readdirSync(join(path, ".host-checker", "new"))).toEqual([]);
});

it("PageFolder takes no name that leads elsewhere", async () => {
  const path = newPath();
  const page = await PageFolder.open(path);
  for (const name of ["../index.html", "host/../../x.html", "other.html", "/etc/passwd"]) {
    await expect(page.announce([name])).rejects.toThrow(TypeError);
  }
  writeFileSync(join(path, ".host-checker", "files.json"), JSON.stringify(["../kept.html", 7]));
  writeFileSync(join(folder, "kept.html"), "kept");
  await (await PageFolder.open(path)).keepOnly(new Set());
  expect(existsSync(join(folder, "kept.html"))).toBe(true);
});

it("PageFolder says what is wrong with a folder", async () => {
  const path = newPath();
  mkdirSync(path);
  writeFileSync(join(path, "index.html"), "mine");
  await expect(PageFolder.open(path)).rejects.toThrow(UsageError);
  await expect(PageFolder.open(join(path, "index.html", "below"))).rejects.toThrow(/--page \(PAGE\) is .*ENOTDIR/);
});

it("fileName is readable, safe, and different for each address", () => {
  const addresses = [
    "https://a.example/x",
    "https://a.example/X",
    "http://a.example/x",
    "https://ä.example/../..",
    "...",
    "",
  ];
  const names = addresses.map(fileName);
  expect(names[0]).toMatch(/^a\.example-x-[0-9a-f]{12}$/);
  expect(new Set(names).size).toBe(addresses.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9][a-z0-9.-]*$/);
});

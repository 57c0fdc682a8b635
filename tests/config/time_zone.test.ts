import { copyFileSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseTimeZone } from "../../lib/config/time_zone.ts";
import { run, RUNTIMES } from "../support/programs.ts";

const BERLIN = "/usr/share/zoneinfo/Europe/Berlin";
const folder = mkdtempSync(join(tmpdir(), "zones-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

it.each([
  ["Europe/Berlin", "Europe/Berlin"],
  [":Europe/Berlin", "Europe/Berlin"],
  ["posix/Europe/Berlin", "Europe/Berlin"],
  ["europe/berlin", "Europe/Berlin"],
  [":UTC", "UTC"],
])("parseTimeZone takes %s for %s", (text, zone) => {
  expect(parseTimeZone(text)).toBe(zone);
});

it.each(["Mars", ":Mars", "CET-1CEST,M3.5.0,M10.5.0/3", "../Europe/Berlin", "right/Europe/Berlin", " "])(
  "parseTimeZone refuses %s",
  (text) => {
    expect(() => parseTimeZone(text)).toThrow(
      new SyntaxError("no such time zone is known here: write a name such as Europe/Berlin or UTC"),
    );
  },
);

it("parseTimeZone refuses a file that is none of a time zone", () => {
  writeFileSync(at("text"), "Europe/Berlin");
  writeFileSync(at("unknown"), "TZif2 of nowhere");
  for (const path of [at("text"), at("unknown"), at("missing"), folder, "/dev/zero", "/"]) {
    expect(() => parseTimeZone(`:${path}`)).toThrow(
      new SyntaxError("that is no file of a time zone that is known here: write a name such as Europe/Berlin or UTC"),
    );
  }
});

describe.skipIf(!existsSync(BERLIN))("a time zone's file", () => {
  symlinkSync(BERLIN, at("link"));
  symlinkSync(at("link"), at("link to a link"));
  copyFileSync(BERLIN, at("copy"));

  it.each([BERLIN, `:${BERLIN}`, at("link"), `:${at("link")}`, at("link to a link"), at("copy")])(
    "is known as Europe/Berlin, or a zone whose clocks are the same: %s",
    (text) => {
      const zone = parseTimeZone(text);
      const shown = (zone: string) =>
        [1, 7].map((month) => new Date(Date.UTC(2026, month, 1)).toLocaleString("sv-SE", { timeZone: zone }));
      expect(shown(zone)).toEqual(shown("Europe/Berlin"));
      if (!text.endsWith("copy")) expect(zone).toBe("Europe/Berlin");
    },
  );

  it.each(
    RUNTIMES.flatMap((runtime) =>
      [`:${at("link")}`, at("copy"), `:${BERLIN}`, ":Europe/Berlin"].map((zone) => [runtime, zone] as const)
    ),
  )("is what cron expressions go by, under %s with TZ=%s", async (runtime, TZ) => {
    const input = 'a.example "30 12 1 7 *"\n';
    const { code, stdout } = await run(runtime, "producer", ["--stdout", "--check", "-"], { input, env: { TZ } });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/(\d{4}-07-01T10:30:00Z\s+){3}/)]);
  });
});

it.each(RUNTIMES.flatMap((runtime) => ["", ":", ":/etc/localtime"].map((zone) => [runtime, zone] as const)))(
  "the system's time zone is taken under %s with TZ=%j",
  async (runtime, TZ) => {
    const ask = (env: Readonly<Record<string, string>>) =>
      run(runtime, "producer", ["--stdout", "--check", "-"], { input: 'a.example "30 12 1 7 *"\n', env });
    const { code, stdout, stderr } = await ask({ TZ });
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe((await ask({ TZ: systemZone() })).stdout);
  },
);

/** The zone of a program without TZ. */
function systemZone(): string {
  return parseTimeZone(existsSync("/etc/localtime") ? ":/etc/localtime" : "UTC");
}

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { StandingsFile } from "../../lib/check/standings_file.ts";
import type { Standing } from "../../lib/check/scheduler.ts";

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "standings-"))));
afterEach(() => rmSync(folder, { recursive: true }));
const path = () => join(folder, "standings.json");

const KNOWN: readonly (readonly [string, Standing])[] = [
  ["https://quick.example/?token=secret", "quick"],
  ["slow.example", "slow"],
  ["dead.example", "suspect"],
  ["new.example", "unknown"],
];
const recalled = (file: StandingsFile) => KNOWN.map(([address]) => [address, file.recall(address)]);
const nothing = KNOWN.map(([address]) => [address, "unknown"]);

it("StandingsFile recalls what the run before knew, and names no address in its file, which only its owner may read", async () => {
  const file = await StandingsFile.open(folder);
  expect(recalled(file)).toEqual(nothing);
  await file.write(KNOWN);
  expect(recalled(await StandingsFile.open(folder))).toEqual(KNOWN);
  expect(readFileSync(path(), "utf8")).not.toMatch(/example|secret/);
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["standings.json"]);
});

it("StandingsFile puts a new file in the place of the old one, whatever a run that was killed left there", async () => {
  writeFileSync(`${path()}.new`, "half of a", { mode: 0o666 });
  const file = await StandingsFile.open(folder);
  await file.write(KNOWN);
  await file.write([["dead.example", "quick"]]);
  const again = await StandingsFile.open(folder);
  expect([again.recall("dead.example"), again.recall("slow.example")]).toEqual(["quick", "unknown"]);
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["standings.json"]);
});

it.each([
  "",
  "{",
  "null",
  "[]",
  '"text"',
  '{"format":2,"suspect":[1]}',
  '{"format":1}',
  '{"format":1,"suspect":{"a":1},"slow":["x",null,1.5,{}],"quick":7}',
])("StandingsFile takes a damaged file for none: %j", async (text) => {
  writeFileSync(path(), text);
  const file = await StandingsFile.open(folder);
  expect(recalled(file)).toEqual(nothing);
  await file.write(KNOWN);
  expect(recalled(await StandingsFile.open(folder))).toEqual(KNOWN);
});

it("StandingsFile reads neither a huge file nor what is none", async () => {
  writeFileSync(path(), `{"format":1,"suspect":[${"1,".repeat(4 * 1024 * 1024)}1]}`);
  expect(recalled(await StandingsFile.open(folder))).toEqual(nothing);
  rmSync(path());
  symlinkSync("/dev/zero", path());
  expect(recalled(await StandingsFile.open(folder))).toEqual(nothing);
  rmSync(path());
  mkdirSync(path());
  const file = await StandingsFile.open(folder);
  expect(recalled(file)).toEqual(nothing);
  // A folder in the place of the file is left alone, and does not make the program fail.
  await file.write(KNOWN);
  expect(readdirSync(path())).toEqual([]);
});

it("StandingsFile has at most 200,000 hosts", async () => {
  const file = await StandingsFile.open(folder);
  await file.write(Array.from({ length: 200_100 }, (_, index) => [`host${index}.example`, "suspect"] as const));
  expect(statSync(path()).size).toBeLessThan(4_000_000);
  const again = await StandingsFile.open(folder);
  expect([again.recall("host0.example"), again.recall("host200050.example")]).toEqual(["suspect", "unknown"]);
});

it("StandingsFile.follow writes once more when it is told to stop", async () => {
  const stop = new AbortController();
  const file = await StandingsFile.open(folder);
  const following = file.follow(() => KNOWN, stop.signal);
  expect(existsSync(path())).toBe(false);
  stop.abort();
  await following;
  expect(recalled(await StandingsFile.open(folder))).toEqual(KNOWN);
});

import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createInterface } from "node:readline";
import { afterAll, describe, expect } from "vitest";
import { inspectJournal } from "../../lib/delivery/spool/journal.ts";
import { SpoolFile } from "../../lib/delivery/spool/spool_file.ts";
import { encodeMetric } from "../../lib/metric.ts";
import { skipped } from "../support/kafka.ts";
import { metricWith } from "../support/metrics.ts";
import { COMMANDS, runScript, startScript } from "../support/runtimes.ts";
import type { SpoolOrder, SpoolReport } from "../support/spool_runner.ts";
import { inTurn } from "../support/turns.ts";

// Damaged spools: each metric comes out as it was written, or a person is told of its loss.

/** In this folder, where it exists, no write waits for a disk. Nor does a kill. */
const IN_MEMORY = "/dev/shm";
const folder = mkdtempSync(join(existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir(), "test-spool-damage-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

const LIMIT = 2 ** 30;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);
const named = (from: number, to: number) => range(from, to).map(String);
/** A document holds its number in each field that these tests look at. */
const documents = (from: number, to: number) =>
  range(from, to).map((n) => {
    const check_id = `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    return encodeMetric(
      metricWith({ location: String(n), latency: (1001 + 2 * n) / 10_000, error_detail: "x".repeat(200), check_id }),
    );
  });

function newFolder(): { directory: string; path: string } {
  const directory = join(folder, String(++count));
  mkdirSync(directory);
  return { directory, path: join(directory, "spool.sqlite") };
}

/** A spool with metrics 0 to `size`, closed. */
function closedSpool(size: number, topic = "t"): { directory: string; path: string } {
  const made = newFolder();
  using file = SpoolFile.open(made.path, topic, LIMIT).file;
  file.write(documents(0, size), 0);
  return made;
}

/**
 * A spool after a kill. Metrics 0 to `early` are in the file. Three writes have put the others, up
 * to `size`, into its journal.
 */
function killedSpool(early: number, size: number): { directory: string; path: string } {
  const { path } = closedSpool(early);
  const killed = newFolder();
  const { file } = SpoolFile.open(path, "t", LIMIT);
  using _file = file;
  // The first write goes into the file at once: the file has to say that there is a journal.
  file.write([], 0);
  const third = Math.ceil((size - early) / 3);
  for (let from = early; from < size; from += third) file.write(documents(from, Math.min(size, from + third)), 0);
  for (const end of ["", "-wal"]) copyFileSync(path + end, killed.path + end);
  return killed;
}

/**
 * Flips a bit of the character at `place` in a text, else of its last one. It does so for all
 * copies of the text: SQLite leaves older ones in the pages.
 */
function flip(path: string, text: string, place = text.length - 1): void {
  const bytes = readFileSync(path);
  let times = 0;
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + 1), times++) {
    const last = at + place;
    bytes[last] = (bytes[last] as number) ^ 2;
  }
  expect(times, `${text} in ${path}`).toBeGreaterThan(0);
  writeFileSync(path, bytes);
}

function change(path: string, sql: string): void {
  using database = new DatabaseSync(path);
  database.exec(sql);
}

/** A file in the form of older versions. */
function olderSpool(format: 1 | 2, size: number, topic: string | null): { directory: string; path: string } {
  const made = newFolder();
  using database = new DatabaseSync(made.path);
  database.exec("pragma journal_mode = wal");
  database.exec(`create table waiting (id integer primary key, document text not null) strict;
    create table target (topic text not null) strict; pragma user_version = ${format}`);
  if (topic !== null) database.prepare("insert into target values (?)").run(topic);
  const insert = database.prepare("insert into waiting values (?, ?)");
  documents(0, size).forEach((document, n) => insert.run(n + 7, document));
  if (format === 2) {
    database.exec(`create table totals (count integer not null, bytes integer not null, last integer not null) strict;
      insert into totals values (${size}, ${size * 600}, ${size === 0 ? 0 : size + 6})`);
  }
  return made;
}

const modesIn = (directory: string) =>
  Object.fromEntries(
    readdirSync(directory).map((name) => [name, (statSync(join(directory, name)).mode & 0o777).toString(8)]),
  );

describe.each(COMMANDS)("a spool under $runtime", (one) => {
  const { command, missing } = one;
  const itHere = inTurn(COMMANDS, one).runIf(missing === null || skipped(missing));
  const open = async (order: SpoolOrder) => {
    const [report] = await runScript<SpoolReport>(command, "spool_runner.ts", order);
    if (report === undefined) throw new Error("The runner says nothing");
    return report;
  };
  const told = (reason: string) => expect.stringContaining(reason);

  itHere("does not send a figure in which a bit has flipped, says so, keeps it, and sends the others", async () => {
    const { directory, path } = closedSpool(50);
    flip(path, '"latency":0.1041');
    const { locations, errors } = await open({ directory, topic: "t", acknowledge: true });
    expect(locations).toHaveLength(49);
    expect(errors).toEqual([
      `The spool ${directory} is damaged (some rows are not as they were written): 49 metrics of it go on in a new file; ` +
      "spool.sqlite.damaged keeps the old one, of which sqlite3 may read more (.recover); 1 metric could not be read",
    ]);
    using kept = new DatabaseSync(`${path}.damaged`, { readOnly: true });
    expect(kept.prepare("select count(*) as count from waiting").get()).toEqual({ count: 50 });
    // The delivered metrics are gone, and nobody is told twice.
    expect(await open({ directory, topic: "t" })).toEqual({ locations: [], errors: [], warnings: [], refused: null });
  });

  itHere.each([
    ["its location", '"location":"17'],
    ["its topic", 't{"address":"https://a.example","status_code":200,"latency":0.1035', 0],
    ["its check_id", "000000000017"],
  ])("does not send a metric in which a bit of %s has flipped", async (_what, text, place?: number) => {
    const { directory, path } = closedSpool(50);
    flip(path, text, place);
    const { locations, errors } = await open({ directory, topic: "t" });
    expect(locations).toHaveLength(49);
    expect(errors).toEqual([told("1 metric could not be read")]);
  });

  itHere.each([
    ["wrong totals", "update totals set count = 0, bytes = 0, last = 0"],
    ["no totals", "delete from totals"],
  ])("never sends the metrics of one topic to another, with %s", async (_what, sql) => {
    const { directory, path } = closedSpool(10);
    change(path, sql);
    const { locations, refused } = await open({ directory, topic: "u" });
    expect([locations, refused]).toEqual([[], told("10 metrics for the topic t wait there")]);
    expect((await open({ directory, topic: "t" })).locations).toEqual(named(0, 10));
  });

  itHere("keeps metrics of another topic that stand between its own, and says how many", async () => {
    const { directory, path } = closedSpool(5);
    for (const [topic, from] of [["u", 5], ["t", 10]] as const) {
      // Only the topic differs, as if two versions of the program had written this file.
      change(path, "update waiting set topic = topic");
      const { file } = SpoolFile.open(path, topic, LIMIT);
      using _file = file;
      file.write(documents(from, from + 5), 0);
    }
    const first = await open({ directory, topic: "t", acknowledge: true });
    expect(first).toEqual({
      locations: [...named(0, 5), ...named(10, 15)],
      errors: [],
      warnings: [`5 metrics for the topic u stay in the spool ${directory}: start with --kafka-topic u to send them`],
      refused: null,
    });
    expect((await open({ directory, topic: "t" })).refused).toContain("5 metrics for the topic u wait there");
    expect((await open({ directory, topic: "u" })).locations).toEqual(named(5, 10));
  });

  itHere(
    "says that its journal is missing, sends what is there, and keeps the file for the journal to be found",
    async () => {
      const { directory, path } = killedSpool(20, 50);
      renameSync(`${path}-wal`, join(folder, `journal-${++count}`));
      const { locations, errors } = await open({ directory, topic: "t" });
      expect(locations).toEqual(named(0, 20));
      expect(errors).toEqual([told("its journal is missing")]);
      // The old file has all metrics, once its journal lies beside it.
      copyFileSync(join(folder, `journal-${count}`), `${path}.damaged-wal`);
      using kept = new DatabaseSync(`${path}.damaged`);
      expect(kept.prepare("select count(*) as count from waiting").get()).toEqual({ count: 50 });
    },
  );

  itHere("says nothing of a journal that another program has put into the file", async () => {
    const { directory, path } = killedSpool(20, 50);
    change(path, "select count(*) from waiting");
    expect(existsSync(`${path}-wal`)).toBe(false);
    expect(await open({ directory, topic: "t" })).toEqual({
      locations: named(0, 50),
      errors: [],
      warnings: [],
      refused: null,
    });
  });

  itHere("keeps a journal whose file is gone, and says so", async () => {
    const { directory, path } = killedSpool(20, 50);
    rmSync(path);
    const { locations, errors } = await open({ directory, topic: "t" });
    expect([locations, errors]).toEqual([[], [told("its journal is there without it")]]);
    expect(inspectJournal(`${path}.damaged`)).toBe("sound");
  });

  itHere.each([0, 1, 2])(
    "says that write %i of its journal is damaged, and sends what comes before it",
    async (nth) => {
      const { directory, path } = killedSpool(20, 50);
      flip(`${path}-wal`, `"location":"${20 + nth * 10}`);
      const { locations, errors } = await open({ directory, topic: "t" });
      expect(locations).toEqual(named(0, 20 + nth * 10));
      expect(errors).toEqual([told("a part of its journal cannot be read")]);
      expect(inspectJournal(`${path}.damaged`)).toBe("damaged");
    },
  );

  itHere("goes on with all that can be read where SQLite cannot read it any more", async () => {
    const { directory, path } = closedSpool(500);
    const bytes = readFileSync(path);
    bytes.fill(7, 20 * 4096, 22 * 4096);
    writeFileSync(path, bytes);
    const { locations, errors } = await open({ directory, topic: "t", acknowledge: true });
    expect(locations.length).toBeGreaterThan(450);
    expect(locations.length).toBeLessThan(500);
    expect(locations).toEqual(named(0, 500).filter((name) => locations.includes(name)));
    expect(errors).toEqual([told(`(database disk image is malformed): `)]);
    expect(errors[0]).toContain(`${500 - locations.length} metrics could not be read`);
    expect((await open({ directory, topic: "t" })).errors).toEqual([]);
  });

  itHere.each(
    [
      ["format 1", 1, "t", "t"],
      ["format 1 before its topic was noted", 1, null, "t"],
      ["format 2", 2, "t", "t"],
    ] as const,
  )("takes over what waits in a file of %s", async (_what, format, topic, now) => {
    const { directory, path } = olderSpool(format, 30, topic);
    expect(await open({ directory, topic: now })).toEqual({
      locations: named(0, 30),
      errors: [],
      warnings: [],
      refused: null,
    });
    {
      const { file } = SpoolFile.open(path, now, LIMIT);
      using _file = file;
      file.write(documents(30, 35), 0);
    }
    expect(await open({ directory, topic: now, acknowledge: true })).toMatchObject({
      locations: named(0, 35),
      errors: [],
    });
    expect(await open({ directory, topic: "u" })).toMatchObject({ locations: [], refused: null });
  });

  itHere("sends nothing of an older file with wrong totals to another topic", async () => {
    const { directory, path } = olderSpool(2, 30, "t");
    change(path, "update totals set count = 0, bytes = 0, last = 0");
    expect((await open({ directory, topic: "u" })).refused).toContain("30 metrics for the topic t wait there");
    expect((await open({ directory, topic: "t" })).locations).toEqual(named(0, 30));
  });

  itHere("refuses a file of a newer version, and leaves it as it is", async () => {
    const { directory, path } = closedSpool(3);
    change(path, "pragma user_version = 4");
    const before = readFileSync(path);
    const { locations, refused } = await open({ directory, topic: "t" });
    expect([locations, refused]).toEqual([
      [],
      `${path} was written by a newer version: let that one send what waits in it, or name another folder`,
    ]);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  itHere.each([
    ["was not finished", (path: string) => copyFileSync(path, `${path}.new`)],
    ["had put the old file aside", (path: string) => {
      copyFileSync(path, `${path}.new`);
      renameSync(path, `${path}.damaged`);
    }],
    ["had not put the old journal aside yet", (path: string) => {
      copyFileSync(path, `${path}.new`);
      renameSync(path, `${path}.damaged`);
      const other = killedSpool(3, 9);
      copyFileSync(`${other.path}-wal`, `${path}-wal`);
    }],
  ])("goes on where a kill came while a new file took its place, which %s", async (_what, interrupt) => {
    const { directory, path } = closedSpool(20);
    interrupt(path);
    expect(await open({ directory, topic: "t" })).toEqual({
      locations: named(0, 20),
      errors: [],
      warnings: [],
      refused: null,
    });
    expect(readdirSync(directory).filter((name) => name.includes(".new"))).toEqual([]);
  });

  itHere(
    "is nobody else's to read, from its first byte on, whatever the umask, and takes rights away that it had",
    async () => {
      const { directory, path } = newFolder();
      const before = process.umask(0);
      try {
        await using writing = new AsyncDisposableStack();
        const child = startScript(command, "spool_runner.ts", [path]);
        writing.defer(async () => {
          child.kill("SIGKILL");
          await once(child, "exit");
        });
        await once(child.stdout as NodeJS.ReadableStream, "data");
        expect(modesIn(directory)).toEqual({
          "spool.sqlite": "600",
          "spool.sqlite-wal": "600",
          "spool.sqlite-shm": "600",
        });
      } finally {
        process.umask(before);
      }
      for (const end of ["", "-wal", "-shm"]) chmodSync(path + end, 0o644);
      expect((await open({ directory, topic: "t" })).errors).toEqual([]);
      expect(modesIn(directory)).toEqual({ lock: "600", "spool.sqlite": "600" });
    },
  );

  itHere("keeps all that it said was written through kill after kill, and raises no false alarm", async () => {
    const { path } = newFolder();
    for (let kills = 0; kills < 8; kills++) {
      const child = startScript(command, "spool_runner.ts", [path]);
      const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
      const said: string[] = [];
      const stopAt = Math.floor(Math.random() * 60);
      for await (const line of lines) {
        said.push(line);
        if (said.length >= stopAt) child.kill("SIGKILL");
      }
      expect(said.filter((line) => line.startsWith("rescue"))).toEqual([]);
      const [written = 0, delivered = 0] = said.at(-1)?.split(" ").map(Number) ?? [];
      const { file, waiting, rescue } = SpoolFile.open(path, "t", LIMIT);
      using _file = file;
      expect(rescue).toBeNull();
      const { rows, unread, rescue: later } = file.read(1_000_000);
      expect([later, unread, rows.length]).toEqual([null, 0, waiting]);
      const ids = new Set(rows.map(({ id }) => id));
      // The killed write may have succeeded. Then it has taken out all of these metrics.
      const lost = range(delivered + 1, written + 1).filter((id) => !ids.has(id));
      expect(lost.every((id) => id < Math.min(...ids))).toBe(true);
    }
  }, 120_000);
});

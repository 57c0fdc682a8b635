import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { afterAll, describe, expect, it, vi } from "vitest";
import { UsageError } from "../../lib/config/usage_error.ts";
import { Spool, type SpoolOptions } from "../../lib/delivery/spool.ts";
import { SpoolFile, SpoolFileError } from "../../lib/delivery/spool/spool_file.ts";
import { decodeMetric, type Metric } from "../../lib/metric.ts";
import { eventually } from "../support/eventually.ts";

const folder = mkdtempSync(join(tmpdir(), "test-spool-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const newPath = () => join(folder, String(++count));

const bytes = new TextEncoder();
const NOON = Date.parse("2026-03-01T12:00:00Z");

function metric(n: number): Metric {
  const fields = { address: `a${n}`, status_code: 200, latency: 1, is_valid: true, check_id: crypto.randomUUID() };
  return decodeMetric(bytes.encode(JSON.stringify(fields)), NOON) as Metric;
}

const metrics = (count: number) => Array.from({ length: count }, (_, n) => metric(n));

function open(directory: string, options: Partial<SpoolOptions> = {}): Promise<Spool> {
  const unexpected = (text: string) => {
    throw new Error(text);
  };
  const events = { error: unexpected, warn: unexpected };
  return Spool.open(directory, { topic: "t", mostOnDisk: 2 ** 30, mostInMemory: 100_000, events, ...options });
}

/** Reads so many metrics, and leaves the reading open, as a sender does. */
async function take(values: AsyncIterator<Metric, void>, count: number): Promise<Metric[]> {
  const taken: Metric[] = [];
  while (taken.length < count) {
    const next = await values.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

const read = (spool: Spool) => spool[Symbol.asyncIterator]();

/** Locks a spool's file, so that nobody can write it until the lock is released. */
function hold(directory: string): Disposable & { release(): void } {
  const other = new DatabaseSync(join(directory, "spool.sqlite"));
  other.exec("begin immediate");
  return { release: () => other.exec("rollback"), [Symbol.dispose]: () => other[Symbol.dispose]() };
}

describe("Spool", () => {
  it("Spool gives every metric once, in order, as it was pushed, and ends when it is ended", async () => {
    await using spool = await open(newPath());
    const pushed = metrics(3000);
    for (const metric of pushed) spool.push(metric);
    spool.end();
    const taken: Metric[] = [];
    for await (const metric of spool) taken.push(metric);
    expect(taken).toEqual(pushed);
    expect(spool.figures).toEqual({ made: 3000, delivered: 0, waiting: 3000, kept: 3000, dropped: 0, unreadable: 0 });
    spool.acknowledge(3000);
    expect(spool.figures).toEqual({ made: 3000, delivered: 3000, waiting: 0, kept: 0, dropped: 0, unreadable: 0 });
  });

  it("Spool gives metrics while more are pushed", async () => {
    await using spool = await open(newPath());
    const values = read(spool);
    for (const pushed of metrics(5)) {
      spool.push(pushed);
      expect(await take(values, 1)).toEqual([pushed]);
      spool.acknowledge(1);
    }
  });

  it("Spool keeps what was not acknowledged for the next to open it, in order and with its check_id", async () => {
    const directory = newPath();
    const pushed = metrics(10);
    {
      await using spool = await open(directory);
      for (const metric of pushed) spool.push(metric);
      await take(read(spool), 5);
      spool.acknowledge(3);
    }
    await using spool = await open(directory);
    expect(spool.figures).toEqual({ made: 0, delivered: 0, waiting: 7, kept: 7, dropped: 0, unreadable: 0 });
    const later = metric(10);
    spool.push(later);
    expect(await take(read(spool), 8)).toEqual([...pushed.slice(3), later]);
  });

  it("Spool is empty for the next to open it where all was acknowledged", async () => {
    const directory = newPath();
    {
      await using spool = await open(directory);
      spool.push(metric(1));
      await take(read(spool), 1);
      spool.acknowledge(1);
    }
    await using spool = await open(directory);
    expect(spool.figures.waiting).toBe(0);
  });

  it("Spool drops the oldest that are not on their way beyond its bound, and counts", async () => {
    const directory = newPath();
    const pushed = metrics(1000);
    const size = bytes.encode(JSON.stringify(pushed[0])).length;
    await using spool = await open(directory, { mostOnDisk: 100 * size });
    for (const metric of pushed.slice(0, 10)) spool.push(metric);
    const values = read(spool);
    // The spool reads ten metrics from the disk together. The test has taken two of them.
    const first = await take(values, 2);
    for (const metric of pushed.slice(10)) spool.push(metric);
    await vi.waitFor(() => expect(spool.figures.dropped).toBeGreaterThan(0));
    const { dropped, waiting, kept } = spool.figures;
    expect({ sum: dropped + waiting, kept }).toEqual({ sum: 1000, kept: waiting });
    expect(waiting).toBeGreaterThan(80);
    expect(waiting).toBeLessThanOrEqual(100);
    expect([...first, ...await take(values, waiting - 2)]).toEqual([
      ...pushed.slice(0, 10),
      ...pushed.slice(-(waiting - 10)),
    ]);
  });

  it("Spool refuses a second holder of its folder until the first lets go", async () => {
    const directory = newPath();
    const first = await open(directory);
    await expect(open(directory)).rejects.toMatchObject({
      message: `${directory} is in use by another program: stop that one first, or name another folder`,
    });
    await first[Symbol.asyncDispose]();
    await (await open(directory))[Symbol.asyncDispose]();
  });

  it("Spool refuses another topic while metrics for the old one wait, and takes it when none do", async () => {
    const directory = newPath();
    {
      await using spool = await open(directory);
      spool.push(metric(1));
    }
    await expect(open(directory, { topic: "u" })).rejects.toThrow(
      new UsageError([
        `--spool (CHECK_SPOOL) is ${JSON.stringify(directory)}: 1 metrics for the topic t wait there; start with ` +
        "--kafka-topic t until they are sent, or name another folder",
      ]),
    );
    {
      await using spool = await open(directory);
      await take(read(spool), 1);
      spool.acknowledge(1);
    }
    {
      await using spool = await open(directory, { topic: "u" });
      spool.push(metric(2));
    }
    await expect(open(directory)).rejects.toThrow("for the topic u wait there");
  });

  it("Spool names a folder that cannot be made", async () => {
    const file = newPath();
    writeFileSync(file, "");
    const directory = join(file, "spool");
    await expect(open(directory)).rejects.toThrow(
      new UsageError([
        `--spool (CHECK_SPOOL) is ${JSON.stringify(directory)}: that folder cannot be made or written (ENOTDIR): ` +
        "a file is in its place, or above it, or name another folder",
      ]),
    );
  });

  it("Spool gives metrics from memory while its file cannot be written, after those on disk, and says so once", async () => {
    const directory = newPath();
    const [error, warn] = [vi.fn(), vi.fn()];
    const pushed = metrics(6);
    {
      await using spool = await open(directory, { mostInMemory: 2, events: { error, warn } });
      spool.push(pushed[0] as Metric);
      await vi.waitFor(() => expect(spool.figures.kept).toBe(1));
      using other = hold(directory);
      const values = read(spool);
      for (const metric of pushed.slice(1, 3)) spool.push(metric);
      expect(await take(values, 3)).toEqual(pushed.slice(0, 3));
      expect(spool.figures).toMatchObject({ waiting: 3, kept: 1 });
      spool.acknowledge(3);
      expect(spool.figures).toMatchObject({ waiting: 0, kept: 0, delivered: 3 });
      for (const metric of pushed.slice(3)) spool.push(metric);
      // This is one metric more than may wait in memory, and no write is under way.
      await vi.waitFor(() => expect(error).toHaveBeenCalledOnce());
      other.release();
      await vi.waitFor(() => expect(warn).toHaveBeenCalledOnce(), { timeout: 10_000 });
      expect(error.mock.calls).toEqual([[
        `The spool ${directory} cannot be written (database is locked): metrics are in memory only until it can; look at that disk`,
      ]]);
      expect(warn.mock.calls).toEqual([[expect.stringContaining(`The spool ${directory} is written again, and has `)]]);
    }
    await using spool = await open(directory);
    const { waiting } = spool.figures;
    expect(await take(read(spool), waiting)).toEqual(pushed.slice(-waiting));
    expect(waiting).toBeGreaterThanOrEqual(2);
  });

  it("Spool writes what was given out from memory, in order, as soon as its file can be written, and gives it once", async () => {
    const directory = newPath();
    const warn = vi.fn();
    const pushed = metrics(40);
    {
      await using spool = await open(directory, { events: { error: () => {}, warn } });
      using other = hold(directory);
      const values = read(spool);
      for (const metric of pushed.slice(0, 20)) spool.push(metric);
      expect(await take(values, 20)).toEqual(pushed.slice(0, 20));
      expect(spool.figures).toMatchObject({ waiting: 20, kept: 0 });
      spool.acknowledge(5);
      for (const metric of pushed.slice(20, 30)) spool.push(metric);
      other.release();
      await vi.waitFor(() => expect(spool.figures).toMatchObject({ waiting: 25, kept: 25 }), { timeout: 10_000 });
      expect(warn).toHaveBeenCalledExactlyOnceWith(
        expect.stringMatching(/ is written again, and has \d+ metrics that had no place there$/),
      );
      for (const metric of pushed.slice(30)) spool.push(metric);
      expect(await take(values, 20)).toEqual(pushed.slice(20));
      spool.acknowledge(20);
      expect(spool.figures).toMatchObject({ waiting: 15, kept: 15, delivered: 25, dropped: 0, unreadable: 0 });
    }
    await using spool = await open(directory);
    expect(await take(read(spool), 15)).toEqual(pushed.slice(25));
  });

  it("Spool does not keep what is acknowledged while it is written after all", async () => {
    const directory = newPath();
    const pushed = metrics(20);
    {
      await using spool = await open(directory, { events: { error: () => {}, warn: () => {} } });
      using other = hold(directory);
      for (const metric of pushed) spool.push(metric);
      await take(read(spool), 20);
      // Begins a write at once. It then waits for the lock.
      const settled = spool.settle();
      await setImmediate();
      spool.acknowledge(15);
      other.release();
      await settled;
      expect(spool.figures).toMatchObject({ waiting: 5, kept: 5, delivered: 15 });
    }
    await using spool = await open(directory);
    expect(spool.figures.waiting).toBe(5);
    expect(await take(read(spool), 5)).toEqual(pushed.slice(15));
  });

  it("Spool goes on in memory where it comes to a damaged place and no new file can be made, and says so", async () => {
    const directory = newPath();
    const path = join(directory, "spool.sqlite");
    {
      await using spool = await open(directory);
      for (const metric of metrics(500)) spool.push(metric);
    }
    const middle = openSync(path, "r+");
    writeSync(middle, new Uint8Array(8_192).fill(7), 0, 8_192, 20 * 4_096);
    closeSync(middle);
    const error = vi.fn();
    await using spool = await open(directory, { events: { error, warn: error } });
    // Something stands where the new file would.
    mkdirSync(join(directory, "spool.sqlite.new", "in the way"), { recursive: true });
    const taken = take(read(spool), 1);
    // Metrics that were written before the damage was found wait in the old file for the next
    // start.
    await eventually(() => error.mock.calls.length > 0, () => "Nothing is said of the damage");
    spool.push(metric(500));
    expect((await taken).map(({ address }) => address)).toEqual(["a500"]);
    expect(error).toHaveBeenCalledOnce();
    expect(error.mock.calls[0]?.[0]).toMatch(
      /is out of use \(database disk image is malformed, and a new file .* cannot be made: .*\): metrics are in memory only/,
    );
  });

  it("Spool says how many metrics went from its file, and waits for none of them", async () => {
    const directory = newPath();
    const pushed = metrics(10);
    {
      await using spool = await open(directory);
      for (const metric of pushed) spool.push(metric);
    }
    {
      using other = new DatabaseSync(join(directory, "spool.sqlite"));
      other.exec("delete from waiting where id between 3 and 5");
    }
    const error = vi.fn();
    await using spool = await open(directory, { events: { error, warn: error } });
    spool.end();
    expect(await take(read(spool), 10)).toEqual([...pushed.slice(0, 2), ...pushed.slice(5)]);
    expect(error).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(
        /is damaged \(some rows are not in their place\): 7 metrics .*; 3 metrics could not be read$/,
      ),
    );
    expect(spool.figures).toMatchObject({ waiting: 7, kept: 7, dropped: 3 });
  });

  it("Spool leaves out a row that is no metric, and says so", async () => {
    const directory = newPath();
    {
      await using spool = await open(directory);
      spool.push(metric(1));
    }
    const path = join(directory, "spool.sqlite");
    const { file } = SpoolFile.open(path, "t", 2 ** 30);
    file.write(["{}"], 0);
    file[Symbol.dispose]();
    const error = vi.fn();
    await using spool = await open(directory, { events: { error, warn: error } });
    spool.end();
    const taken: Metric[] = [];
    for await (const metric of spool) taken.push(metric);
    expect(taken.map(({ address }) => address)).toEqual(["a1"]);
    expect(error).toHaveBeenCalledExactlyOnceWith(
      expect.stringContaining(`A metric in the spool ${directory} is left out, address: `),
    );
    expect(spool.figures).toMatchObject({ waiting: 1, dropped: 1 });
  });
});

describe("SpoolFile", () => {
  it.each<[string, (path: string) => void, string]>([
    ["is no database", (path) => writeFileSync(path, "not a database".repeat(100)), "file is not a database"],
  ])("SpoolFile.open names a file that %s, and the remedy", (_what, spoil, reason) => {
    const path = newPath();
    spoil(path);
    expect(() => SpoolFile.open(path, "t", 2 ** 30)).toThrow(
      new SpoolFileError(
        `${path} is damaged (${reason}): move it away to begin with an empty spool; what waits in it may still be read ` +
          `with sqlite3 ${path} .recover`,
      ),
    );
  });

  it("SpoolFile.write does all or nothing", () => {
    const path = newPath();
    const { file } = SpoolFile.open(path, "t", 2 ** 30);
    using _file = file;
    file.write(["first"], 0);
    const [first] = file.read(1).rows;
    using other = new DatabaseSync(path);
    other.exec(
      "create trigger refuse before insert on waiting when new.document = 'bad' begin select raise(fail, 'no'); end",
    );
    expect(() => file.write(["second", "bad"], first?.id ?? 0)).toThrow("no");
    expect(other.prepare("select document from waiting").all()).toEqual([{ document: "first" }]);
    expect(file.write(["third"], 0)).toMatchObject({ dropped: 0, unread: 1 });
    expect(file.read(10).rows.map(({ document }) => document)).toEqual(["third"]);
  });

  it("SpoolFile.write takes what is out for read, which does not give way either", () => {
    const { file } = SpoolFile.open(newPath(), "t", 1_000);
    using _file = file;
    const documents = ["a", "b", "c", "d"].map((letter) => letter.repeat(300));
    expect(file.write(documents, 0, 2)).toEqual({ dropped: 1, unread: 1, lastId: 4, rescue: null });
    expect(file.read(10)).toEqual({
      rows: [{ id: 4, document: documents[3] }],
      unread: 0,
      others: new Map(),
      rescue: null,
    });
    file.write(["e"], 0);
    expect(() => file.write(["f"], 0, 1)).toThrow(RangeError);
  });

  it("SpoolFile.open does not read what waits, however much that is", () => {
    const path = newPath();
    {
      const { file } = SpoolFile.open(path, "t", 2 ** 30);
      using _file = file;
      file.write(Array.from({ length: 5_000 }, () => "x".repeat(500)), 0);
    }
    // The middle of the file is missing, so that nobody can read the whole file.
    const middle = openSync(path, "r+");
    writeSync(middle, new Uint8Array(2 ** 20), 0, 2 ** 20, 2 ** 20);
    closeSync(middle);
    const { file, waiting } = SpoolFile.open(path, "t", 2 ** 30);
    using _file = file;
    expect(waiting).toBe(5_000);
    const { rows, unread, rescue } = file.read(5_000);
    expect([rows, rescue?.reason]).toEqual([[], "database disk image is malformed"]);
    expect(unread).toBeLessThan(5_000);
  });

  it.each([
    ["has no totals", "delete from totals"],
    ["has totals that are damaged", "update totals set count = 0, bytes = 0, last = 0"],
    ["has totals of other rows", "delete from waiting where id > 3"],
  ])("SpoolFile.open counts in a file that %s, and notes it with the next write", (_what, change) => {
    const path = newPath();
    const open = () => SpoolFile.open(path, "t", 1_620);
    const documents = ["a", "b", "c", "d"].map((letter) => letter.repeat(300));
    {
      using file = open().file;
      file.write(documents, 0);
    }
    {
      using other = new DatabaseSync(path);
      other.exec(change);
    }
    const left = change.includes("waiting") ? 3 : 4;
    {
      const { file, waiting } = open();
      using _file = file;
      expect(waiting).toBe(left);
      expect(file.write([...documents.slice(left), ...documents.slice(2)], 0)).toMatchObject({ dropped: 1, unread: 5 });
    }
    const { file, waiting } = open();
    using _file = file;
    expect(waiting).toBe(5);
    expect(file.read(10).rows.map(({ document }) => document[0])).toEqual(["b", "c", "d", "c", "d"]);
  });

  it("SpoolFile gives back the room of a large file once it is empty", () => {
    const path = newPath();
    const { file } = SpoolFile.open(path, "t", 2 ** 30);
    using _file = file;
    file.write(Array.from({ length: 20_000 }, (_, n) => `${n}${"x".repeat(600)}`), 0);
    const last = file.read(20_000).rows.at(-1)?.id ?? 0;
    file.write([], last);
    expect(statSync(path).size).toBeLessThan(100_000);
  });
});

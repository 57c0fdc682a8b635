import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { lockFolder, unusable } from "../../lib/config/folder_lock.ts";
import { UsageError } from "../../lib/config/usage_error.ts";
import { SetupError } from "../../lib/postgres/database.ts";
import { openEmbedded, openExisting } from "../../lib/postgres/database/embedded.ts";
import { splitStatements } from "../../lib/postgres/query/statements.ts";
import type { DeepStatements } from "../support/deep_statement_runner.ts";
import type { Stored } from "../support/database_runner.ts";
import { newEmbedded } from "../support/embedded.ts";
import { COMMANDS, runScript, startScript } from "../support/runtimes.ts";

const folder = mkdtempSync(join(tmpdir(), "test-embedded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** Starts a program that opens the folder. Gives the program's report. */
async function hold(command: readonly string[], directory: string): Promise<{ child: ChildProcess; said: string }> {
  const child = startScript(command, "folder_holder.ts", [directory]);
  children.push(child);
  if (child.stdout === null) throw new TypeError("The program was started without a pipe");
  const [said] = await once(createInterface(child.stdout), "line");
  return { child, said };
}

const inUse = (directory: string) =>
  `${directory} is in use by another program: stop that one first, or name another folder`;

it("lockFolder refuses a second holder until the first lets go", () => {
  const directory = join(folder, "locked");
  mkdirSync(directory);
  const lock = lockFolder(directory);
  expect(() => lockFolder(directory)).toThrow(inUse(directory));
  lock[Symbol.dispose]();
  lockFolder(directory)[Symbol.dispose]();
});

it("lockFolder holds the folder though nobody refers to the lock any more", async () => {
  const directory = join(folder, "unreferenced");
  mkdirSync(directory);
  lockFolder(directory);
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let round = 0; round < 3; round++) {
    collect();
    await setImmediate();
  }
  expect(() => lockFolder(directory)).toThrow(inUse(directory));
});

it("openEmbedded keeps what was stored, and begins anew where an earlier start was cut off", async () => {
  const directory = join(folder, "kept", "deep");
  // The remains of a first start that was killed in the middle.
  mkdirSync(join(directory, "postgres.new", "base"), { recursive: true });
  writeFileSync(join(directory, "postgres.new", "PG_VERSION"), "");
  {
    await using database = await openEmbedded(directory);
    await database.script("create table kept (a int); insert into kept values (1)");
    await expect(database.script("insert into kept values (2); insert into kept values ('x')")).rejects.toThrow(
      "invalid",
    );
  }
  await using database = await openEmbedded(directory);
  expect(await database.query("select a from kept")).toEqual([{ a: 1 }]);
  await expect(openEmbedded(directory)).rejects.toThrow(new SetupError(inUse(directory)));
});

describe("statements that follow one another", () => {
  it("are not held up by a query between each two", async () => {
    await using database = await openEmbedded(await newEmbedded(join(folder, "series")));
    const order: string[] = [];
    const store = async () => {
      for (const name of ["first", "second", "third"]) {
        await database.query("select 1");
        order.push(name);
      }
    };
    const ask = async () => {
      const handOver = () => Promise.resolve();
      await database.inquire(splitStatements("select 2"), handOver, { signal: new AbortController().signal });
      order.push("asked");
    };
    await Promise.all([store(), ask()]);
    await Promise.all([store(), database.lend(() => Promise.resolve(void order.push("lent")))]);
    expect(order).toEqual(["first", "second", "third", "asked", "first", "second", "third", "lent"]);
  });

  it("hold up a query for a while only", async () => {
    await using database = await openEmbedded(join(folder, "series"));
    let lent = false;
    const lending = database.lend(() => Promise.resolve(void (lent = true)));
    while (!lent) await database.query("select 1");
    await lending;
  });
});

it("openExisting says that a folder holds no embedded database, and makes none", async () => {
  const directory = join(folder, "tpyo");
  await expect(openExisting(directory)).rejects.toThrow(
    new UsageError([
      `--embedded is ${
        JSON.stringify(directory)
      }: no embedded database is kept there: check the path, or let a consumer ` +
      "with --embedded make one first",
    ]),
  );
  expect(existsSync(directory)).toBe(false);
});

it("openEmbedded says that a file is in the folder's place", async () => {
  const directory = join(folder, "file");
  writeFileSync(directory, "");
  await expect(openEmbedded(directory)).rejects.toThrow(
    new UsageError([
      `--embedded is ${
        JSON.stringify(directory)
      }: that folder cannot be made or written (EEXIST): a file is in its place, ` +
      "or name another folder",
    ]),
  );
});

it.each([
  ["EACCES", "", "(EACCES): let this user write there, or name another folder"],
  ["EROFS", "", "(EROFS): that disk is read-only, or name another folder"],
  ["EIO", "", "(EIO): look at that disk, or name another folder"],
  [
    "ERR_SQLITE_ERROR",
    "unable to open database file",
    "(unable to open database file): let this user write there, or name another folder",
  ],
  ["ERR_SQLITE_ERROR", "disk I/O error", "(disk I/O error): look at that disk, or name another folder"],
])("unusable names the folder, what %s %s means, and what to do", (code, message, said) => {
  const error = unusable("--spool (CHECK_SPOOL)", "/d", Object.assign(new Error(message), { code }));
  expect(error?.problems).toEqual([`--spool (CHECK_SPOOL) is "/d": that folder cannot be made or written ${said}`]);
});

it.each([
  new Error("/d is in use by another program"),
  Object.assign(new Error("relation does not exist"), { code: "42P01" }),
  Object.assign(new Error("Requires write access"), { name: "NotCapable", code: "EPERM" }),
])("unusable leaves alone what is not about the folder: %s", (error) => {
  expect(unusable("--spool", "/d", error)).toBe(null);
});

describe.each(COMMANDS)("openEmbedded under $runtime", ({ missing, command }) => {
  it.skipIf(missing !== null)("stores metrics exactly once", async () => {
    const target = { folder: join(folder, `runner-${command.length}`) };
    const expected = { rows: 1, encrypted: false };
    expect(await runScript<Stored>(command, "database_runner.ts", [target, target])).toEqual([expected, expected]);
  });

  it.skipIf(missing !== null)(
    "takes no statement for done that exhausts the stack, and keeps nothing of it",
    async () => {
      const directory = await newEmbedded(join(folder, `deep-${command.length}`));
      expect(await runScript<DeepStatements>(command, "deep_statement_runner.ts", [directory])).toEqual([
        { codes: ["54001", "54001", null], kept: [{ a: 2 }] },
      ]);
    },
  );

  it.skipIf(missing !== null)(
    "is refused by the other runtimes' openers while open, and starts after a SIGKILL",
    async () => {
      const directory = await newEmbedded(join(folder, `held-${command.length}`));
      const holder = await hold(command, directory);
      expect(holder.said).toBe("open");
      for (const other of COMMANDS.filter((other) => other.missing === null)) {
        expect((await hold(other.command, directory)).said).toBe(inUse(directory));
      }
      holder.child.kill("SIGKILL");
      await once(holder.child, "exit");
      await using database = await openEmbedded(directory);
      expect(await database.query("select count(*)::int as count from held")).toEqual([{ count: 1 }]);
    },
  );
});

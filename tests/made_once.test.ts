import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { madeOnce } from "../tools/made_once.ts";

const cache = fileURLToPath(new URL("../.cache", import.meta.url));
const prefix = `test-${randomUUID()}`;
let count = 0;
const newName = () => `${prefix}-${++count}`;
afterAll(() => {
  for (const folder of [cache, join(cache, "making")]) {
    for (const name of readdirSync(folder)) {
      if (name.startsWith(prefix)) rmSync(join(folder, name), { recursive: true });
    }
  }
});

it("a folder is made by one of those who ask for it, and has its name when it is finished", async () => {
  const name = newName();
  let makers = 0;
  const ask = () =>
    madeOnce(name, async (folder) => {
      makers++;
      writeFileSync(join(folder, "begun"), "");
      await new Promise(setImmediate);
      expect(existsSync(join(cache, name))).toBe(false);
      writeFileSync(join(folder, "finished"), "");
    });
  const folders = await Promise.all([ask(), ask(), ask()]);
  expect(folders).toEqual(Array(3).fill(join(cache, name)));
  expect(readdirSync(join(cache, name))).toEqual(["begun", "finished"]);
  expect(await ask()).toBe(join(cache, name));
  expect(makers).toBe(1);
});

it("a folder is made anew where its maker failed, and nothing of the first try is left", async () => {
  const name = newName();
  const waiting = Promise.withResolvers<string>();
  const failing = madeOnce(name, (folder) => {
    writeFileSync(join(folder, "first"), "");
    waiting.resolve(madeOnce(name, (folder) => Promise.resolve(writeFileSync(join(folder, "second"), ""))));
    return Promise.reject(new Error("the disk is full"));
  });
  await expect(failing).rejects.toThrow("the disk is full");
  expect(readdirSync(await waiting.promise)).toEqual(["second"]);
});

import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FolderInUse, lockFolder } from "../lib/config/folder_lock.ts";

const CACHE = join(dirname(fileURLToPath(import.meta.url)), "../.cache");

/** Milliseconds between two looks whether another program has made the folder. */
const LOOK = 50;

/** Whether the folder `name` is in `.cache/`, finished. */
export function isMade(name: string): boolean {
  return existsSync(join(CACHE, name));
}

/**
 * The path of the folder `name` in `.cache/`. `make` fills it where it is missing. Only one program
 * does so at a time: the others wait, and make it themselves if that one fails.
 */
export async function madeOnce(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  const work = join(CACHE, "making", name);
  await mkdir(work, { recursive: true });
  using _lock = await takeTurn(work);
  if (existsSync(folder)) return folder;
  const unfinished = join(work, "unfinished");
  // The remains of a program that was killed in the middle.
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished);
  await make(unfinished);
  await rename(unfinished, folder);
  return folder;
}

async function takeTurn(folder: string): Promise<Disposable> {
  for (;;) {
    try {
      return lockFolder(folder);
    } catch (error) {
      if (!(error instanceof FolderInUse)) throw error;
      await delay(LOOK);
    }
  }
}

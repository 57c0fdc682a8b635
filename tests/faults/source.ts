import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { GeneratorOptions } from "./generator.ts";

const GENERATOR = new URL("generator.ts", import.meta.url);

/**
 * Milliseconds until all numbers of the generator must be confirmed: longer than any broker here is
 * away.
 */
const PAUSE_LIMIT = 30_000;
/** Lines of the generator that are kept. */
const MOST_WORDS = 15;

/**
 * The generator as a process of its own. After its death the next one goes on behind the last
 * confirmed number. Another script may stand in for it: what that one numbers is the source's own.
 */
export class NumberSource<Options extends object = Omit<GeneratorOptions, "from">> implements AsyncDisposable {
  readonly #options: Options;
  readonly #script: string;
  #child: ChildProcess | undefined;
  #isPaused = true;
  /** The topic holds all numbers below. */
  made = 0;
  /** What it said last of Kafka, for whoever asks why nothing is made any more. */
  readonly words: string[] = [];
  #sending = 0;
  /**
   * Ranges of numbers (the end excluded) that may be in the topic twice: the generator could not
   * know.
   */
  readonly uncertain: (readonly [from: number, to: number])[] = [];

  constructor(options: Options, script = GENERATOR) {
    this.#options = options;
    this.#script = fileURLToPath(script);
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#child !== undefined) return;
    const from = this.made;
    const child = spawn(process.execPath, [
      "--experimental-strip-types",
      this.#script,
      JSON.stringify({ ...this.#options, from }),
    ], {
      stdio: ["ignore", "pipe", "pipe"],
      // Ctrl-C is meant for the suite. The fault under way must come to its end first.
      detached: true,
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => this.#hear(line));
    createInterface({ input: child.stderr }).on("line", (line) => this.#keep(`${new Date().toISOString()} ${line}`));
    child.once("close", () => void this.#revive());
  }

  #keep(words: string): void {
    this.words.push(words);
    if (this.words.length > MOST_WORDS) this.words.shift();
  }

  #hear(line: string): void {
    const [word, number] = line.split(" ");
    if (word === "sending") this.#sending = Number(number);
    else if (word === "confirmed") this.made = Number(number);
    else this.#doubt();
  }

  #doubt(): void {
    if (this.#sending > this.made) this.uncertain.push([this.made, this.#sending]);
  }

  async #revive(): Promise<void> {
    this.#doubt();
    await delay(200);
    this.#child = undefined;
    if (!this.#isPaused) this.resume();
  }

  /**
   * Resolves when all numbers that were begun are confirmed, and no more come. Numbers that no
   * broker confirms are given up.
   */
  async pause(): Promise<void> {
    this.#isPaused = true;
    const child = this.#child;
    if (child === undefined) return;
    const closed = once(child, "close");
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), PAUSE_LIMIT);
    await closed;
    clearTimeout(late);
    // Numbers that were sent and not confirmed would otherwise be missing behind the last number.
    await delay(250);
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isPaused = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }
}

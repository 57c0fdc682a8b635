// `npm run test:fuzz`: makes up random inputs, until the programs fail with one of them.
import process from "node:process";
import { parseArgs } from "node:util";
import { onStopSignal } from "../../lib/program/stop_signals.ts";
import { Finding, fuzz, newSeed } from "./run.ts";
import type { Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

const HELP = `npm run test:fuzz -- [options]

Makes up inputs at random and tries them; ends with 1 where one was found that breaks a promise, and says how to repeat it.

  --minutes N     how long for each target (1)
  --rounds N      so many rounds instead
  --only NAME,…   only these targets: ${TARGETS.map(({ name }) => name).join(", ")}
  --seed N        what came of random comes again
  --list          names the targets
`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    rounds: { type: "string" },
    only: { type: "string" },
    seed: { type: "string" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function chosen(): readonly Target[] {
  if (values.only === undefined) return TARGETS;
  return values.only.split(",").map((word) => {
    const found = TARGETS.find(({ name }) => name === word.trim());
    if (found === undefined) throw new RangeError(`${word} is none of: ${TARGETS.map(({ name }) => name).join(", ")}`);
    return found;
  });
}

function number(option: "minutes" | "rounds" | "seed", text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new RangeError(`--${option} is "${text}": write a number`);
  return value;
}

/** True where no fault was found. */
async function run(target: Target, seed: number, stop: AbortSignal): Promise<boolean> {
  const began = performance.now();
  const end = began + number("minutes", values.minutes) * 60_000;
  const most = values.rounds === undefined ? null : number("rounds", values.rounds);
  const isEnough = (rounds: number) =>
    stop.aborted || (most === null ? rounds > 0 && performance.now() >= end : rounds >= most);
  try {
    const rounds = await fuzz(target, { seed, isEnough });
    console.log(`${target.name}: ${rounds} rounds in ${((performance.now() - began) / 1000).toFixed(0)} s, no finding`);
    return true;
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    console.error(`${target.name}: ${error.message}`);
    return false;
  }
}

async function main(): Promise<number> {
  if (values.help || values.list) {
    console.log(values.help ? HELP : TARGETS.map(({ name, about }) => `${name}: ${about}`).join("\n"));
    return 0;
  }
  const seed = values.seed === undefined ? newSeed() : number("seed", values.seed);
  console.log(`seed ${seed} (again with: npm run test:fuzz -- --seed ${seed})`);
  const stopping = new AbortController();
  // A program that left at once would leave a database behind.
  onStopSignal(() => stopping.abort());
  let isClean = true;
  for (const target of chosen()) {
    if (target.missing === null) isClean = await run(target, seed, stopping.signal) && isClean;
    else console.error(`${target.name}: skipped: ${target.missing}`);
  }
  return isClean ? 0 : 1;
}

process.exit(await main());

import { addAbortListener } from "node:events";
import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { colourVariables, type Environment, environmentOf } from "../config/environment.ts";
import type { LogLevel } from "../config/setting_types.ts";
import type { Parsed, ProgramName } from "../config/settings.ts";
import { isForced, paintFor, printable } from "../config/terminal.ts";
import { UsageError } from "../config/usage_error.ts";
import { jsonLine, Log, type LogFormat, terminalLine } from "../monitoring/log.ts";
import { onStopSignal } from "./stop_signals.ts";

/** What a program is given to work with. */
export interface Program {
  readonly log: Log;
  /** Aborts at the first SIGINT or SIGTERM, with the signal's name for its reason: take nothing new, and finish. */
  readonly stop: AbortSignal;
  /** Aborts so many seconds after `stop`. */
  afterStop(seconds: number): AbortSignal;
  /** Calls `listener` at every SIGHUP, which without one ends the program. */
  onHangUp(listener: () => void): void;
  /**
   * Writes to standard output; resolves when it is written, and rejects with `OutputClosed` where
   * nobody reads any more.
   */
  print(text: string): Promise<void>;
  /** Writes to standard error without time and level, what is wrong with what a person asked for. */
  complain(text: string): void;
}

/** The reader of standard output is gone. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** How a program reads what it was told; see settings.ts. */
export type ReadSettings<S> = (args: readonly string[], environment: Environment) => Parsed<S>;

/**
 * Runs a program and ends the process: with the exit code that `main` gives, with 2 where the
 * settings are wrong, with 1 where it fails, which `explain` puts into words. The first SIGINT or
 * SIGTERM aborts `stop`; a second one exits at once, and so does a start that hangs, some seconds
 * later.
 */
export async function runProgram<S extends { readonly logLevel: LogLevel }>(
  name: ProgramName,
  readSettings: ReadSettings<S>,
  main: (settings: S, program: Program) => Promise<number>,
  explain: (error: unknown) => string = messageOf,
): Promise<void> {
  // Bundled into one file, a worker's code has the whole program around it, which is not to start once more.
  if (!isMainThread) return;
  const createLog = (level: LogLevel, format: LogFormat) => {
    return new Log(name, level, format, (line) => void process.stderr.write(line));
  };
  const isTerminal = process.stderr.isTTY === true;
  let log = createLog("INFO", isTerminal ? terminalLine() : jsonLine);
  try {
    const parsed = readSettings(process.argv.slice(2), environmentOf(name));
    if (parsed.kind === "problems") throw new UsageError(parsed.problems);
    if (parsed.kind === "health") {
      const { askHealth } = await import("../net/ask_health.ts");
      const trouble = await askHealth(parsed.address, name);
      if (trouble !== null) complain(trouble);
      process.exit(trouble === null ? 0 : 1);
    }
    const print = printer();
    if (parsed.kind === "text") {
      await print(parsed.text);
      process.exit(0);
    }
    const variables = colourVariables();
    const isForPeople = isTerminal || isForced(variables);
    log = createLog(parsed.settings.logLevel, isForPeople ? terminalLine(paintFor(isTerminal, variables)) : jsonLine);
    process.exit(await main(parsed.settings, { log, print, complain, onHangUp, ...signals(log) }));
  } catch (error) {
    process.exit(report(name, error, log, explain));
  }
}

function complain(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** Says what went wrong, and gives the exit code for it. */
function report(name: ProgramName, error: unknown, log: Log, explain: (error: unknown) => string): number {
  if (error instanceof UsageError) {
    complain(error.problems.join("\n"));
    return 2;
  }
  const missing = missingPermission(error);
  if (missing !== null) {
    complain(`${missing}: start it as deno run -P=${name} ${name}.ts …`);
    return 2;
  }
  log.error(explain(error));
  if (error instanceof Error) log.debug(error.stack ?? "");
  return 1;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** What Deno was not allowed to do; null where it is not about that. */
function missingPermission(error: unknown): string | null {
  if (!(error instanceof Error) || error.name !== "NotCapable") return null;
  return error.message.replace(/, run again with.*$/s, "").replace(/^Requires/, "Deno does not allow");
}

/** Seconds after a signal in which a start must be over; what comes after it sets its own limits, by `afterStop`. */
const START_LIMIT = 8;

function signals(log: Log): Pick<Program, "stop" | "afterStop"> {
  const stop = new AbortController();
  let hasLimits = false;
  let starting: ReturnType<typeof setTimeout> | undefined;
  // Something hangs that knows of no end, such as a folder on a server that is away.
  const leave = () => {
    log.error(`The start is not over ${START_LIMIT} s after that: leaving`);
    process.exit(1);
  };
  onStopSignal((signal) => {
    if (stop.signal.aborted) {
      log.warn(`${signal}: leaving at once`);
      process.exit(1);
    }
    log.info(`${signal}: finishing what is under way (once more to leave at once)`);
    if (!hasLimits) starting = setTimeout(leave, START_LIMIT * 1000);
    stop.abort(signal);
  });
  const afterStop = (seconds: number) => {
    hasLimits = true;
    clearTimeout(starting);
    const later = new AbortController();
    const start = () => void setTimeout(() => later.abort(stop.signal.reason), seconds * 1000);
    addAbortListener(stop.signal, start);
    return later.signal;
  };
  return { stop: stop.signal, afterStop };
}

/** What the system says of a pipe that nobody reads: the latter where it was closed before it was written to. */
const CLOSED: ReadonlySet<string> = new Set(["EPIPE", "ERR_STREAM_DESTROYED"]);
function onHangUp(listener: () => void): void {
  process.on("SIGHUP", listener);
}

function printer(): Program["print"] {
  // The write that failed says so to its caller; the event of the same failure would end the process.
  process.stdout.on("error", () => {});
  return (text) =>
    new Promise((resolve, reject) => {
      process.stdout.write(text, (error) => {
        if (error == null) resolve();
        else if (CLOSED.has((error as NodeJS.ErrnoException).code ?? "")) {
          reject(new OutputClosed("nobody reads the standard output any more", { cause: error }));
        } else reject(new Error(`cannot write to standard output (${error.message})`, { cause: error }));
      });
    });
}

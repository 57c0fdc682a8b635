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

/** The means that `runProgram` gives to a program. */
export interface Program {
  readonly log: Log;
  /**
   * Aborts at the first SIGINT or SIGTERM; its reason is the signal's name. The program then takes
   * nothing new, and finishes.
   */
  readonly stop: AbortSignal;
  /**
   * Gives a signal that aborts so many seconds after `stop`. The first call lifts the time limit of
   * the start.
   */
  afterStop(seconds: number): AbortSignal;
  /**
   * Notes the exit code, and gives it, once only closing is left. Closing that is not over 8 seconds
   * after `stop` is left.
   */
  settled(code: number): number;
  /** Calls `listener` at every SIGHUP. Without a listener a SIGHUP ends the program. */
  onHangUp(listener: () => void): void;
  /**
   * Writes to standard output. Resolves when the text is written. Rejects with `OutputClosed` if
   * nobody reads any more.
   */
  print(text: string): Promise<void>;
  /** Tells a person on standard error what is wrong with a request, without time and level. */
  complain(text: string): void;
}

/** The reader of standard output is gone. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** Reads a program's settings from its arguments and its environment; see config/settings.ts. */
export type ReadSettings<S> = (
  args: readonly string[],
  environment: Environment,
) => Parsed<S> | Promise<Parsed<S>>;

/**
 * Runs a program and ends the process. The exit code is that of `main`. It is 2 if the settings are
 * wrong. It is 1 if the program fails, and `explain` puts the failure into words. The first SIGINT
 * or SIGTERM aborts `stop`. A second one exits at once. A start that hangs is left some seconds
 * after the first one.
 */
export async function runProgram<S extends { readonly logLevel: LogLevel }>(
  name: ProgramName,
  readSettings: ReadSettings<S>,
  main: (settings: S, program: Program) => Promise<number>,
  explain: (error: unknown) => string = messageOf,
): Promise<void> {
  // A bundle is one file: a worker in it loads the whole program too, and must not start it again.
  if (!isMainThread) return;
  const createLog = (level: LogLevel, format: LogFormat) => {
    return new Log(name, level, format, (line) => void process.stderr.write(line));
  };
  const isTerminal = process.stderr.isTTY === true;
  let log = createLog("INFO", isTerminal ? terminalLine() : jsonLine);
  try {
    const parsed = await readSettings(process.argv.slice(2), environmentOf(name));
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

/** Says what went wrong. Gives the exit code for it. */
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

/** The permission that Deno refused; null if the error is about something else. */
function missingPermission(error: unknown): string | null {
  if (!(error instanceof Error) || error.name !== "NotCapable") return null;
  return error.message.replace(/, run again with.*$/s, "").replace(/^Requires/, "Deno does not allow");
}

/** Seconds after a signal in which the program ends (docs/settings.md). */
const STOP_LIMIT = 8;

function signals(log: Log): Pick<Program, "stop" | "afterStop" | "settled"> {
  const stop = new AbortController();
  let hasStarted = false;
  let result: number | undefined;
  let isTimeUp = false;
  const leave = () => {
    isTimeUp = true;
    if (result !== undefined) process.exit(result);
    // Later parts set their own limits by `afterStop`. In a start something may hang that has no end
    // of its own, such as a folder on a server that is away.
    if (hasStarted) return;
    log.error(`The start is not over ${STOP_LIMIT} s after that: leaving`);
    process.exit(1);
  };
  onStopSignal((signal) => {
    if (stop.signal.aborted) {
      log.warn(`${signal}: leaving at once`);
      process.exit(1);
    }
    log.info(`${signal}: finishing what is under way (once more to leave at once)`);
    setTimeout(leave, STOP_LIMIT * 1000);
    stop.abort(signal);
  });
  const afterStop = (seconds: number) => {
    hasStarted = true;
    const later = new AbortController();
    const start = () => void setTimeout(() => later.abort(stop.signal.reason), seconds * 1000);
    addAbortListener(stop.signal, start);
    return later.signal;
  };
  const settled = (code: number) => {
    if (isTimeUp) process.exit(code);
    return result = code;
  };
  return { stop: stop.signal, afterStop, settled };
}

/**
 * The error codes of a pipe that nobody reads. The second one means that it was closed before the
 * write.
 */
const CLOSED: ReadonlySet<string> = new Set(["EPIPE", "ERR_STREAM_DESTROYED"]);
function onHangUp(listener: () => void): void {
  process.on("SIGHUP", listener);
}

function printer(): Program["print"] {
  // The failed write tells its caller. The event of the same failure would end the process.
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

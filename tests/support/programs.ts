import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleFlags } from "./bundle_flags.ts";
import { eventually } from "./eventually.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export const RUNTIMES = ["node", "deno"] as const;
export type Runtime = typeof RUNTIMES[number];
export type ProgramName = "producer" | "consumer";

/** How a user starts a program under each runtime. */
const COMMANDS: Record<Runtime, (program: string) => string[]> = {
  node: (program) => ["--experimental-strip-types", `${program}.ts`],
  deno: (program) => ["run", "-q", `-P=${program}`, `${program}.ts`],
};
/**
 * The log of a program, as a person at a terminal would read it. Elsewhere the log is JSON, whose
 * quotes would hinder comparisons.
 */
function readable(stderr: string): string {
  return stderr.replaceAll(/^\{"time":"[^"]+","level":"\w+","program":"\w+","message":.*\}$/gm, (line) => {
    const { time, level, message } = JSON.parse(line) as Readonly<Record<"time" | "level" | "message", string>>;
    return `${time} ${level.padEnd(5)} ${message}`;
  });
}

const PLAIN_DENO = (program: string) => ["run", "-q", `${program}.ts`];

/**
 * A bundled program, started as its image does. Its files are with it, and Deno allows no more than
 * the image says.
 */
const BUNDLED: Record<Runtime, (program: ProgramName, folder: string) => string[]> = {
  node: (program, folder) => [join(folder, `${program}.js`)],
  deno: (program, folder) => [...bundleFlags(program), join(folder, `${program}.js`)],
};

/** The variables that a program inherits from the tests, without any that could be a setting. */
const INHERITED = [
  ...["PATH", "HOME", "DENO_DIR", "NODE_EXTRA_CA_CERTS", "TMPDIR"],
  ...["NODE_DISABLE_COMPILE_CACHE", "NODE_V8_COVERAGE", "DENO_COVERAGE_DIR"],
];

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A program as a user runs it, in a process of its own. Disposing of it kills it, if it still runs.
 */
export interface Running extends AsyncDisposable {
  readonly ended: Promise<Ended>;
  readonly stdout: string;
  readonly stderr: string;
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  write(text: string): void;
  endInput(): void;
  /** Stops reading its standard output. */
  closeOutput(): void;
  /** Waits until its standard output matches. */
  prints(text: RegExp): Promise<void>;
  /** Waits until its standard error holds `text`. */
  says(text: string | RegExp): Promise<void>;
}

export interface StartOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly input?: string;
  /** Under Deno: without its permissions. */
  readonly plain?: boolean;
  /** Commands of a shell that run in the process first, such as `ulimit`. */
  readonly shell?: string;
  /**
   * It runs at a terminal of its own, which types the standard input and shows the standard output
   * (Linux).
   */
  readonly terminal?: boolean;
  /**
   * It runs in a session of its own: the Ctrl-C of the person at the terminal does not reach it.
   */
  readonly apart?: boolean;
  /** The folder of the bundle that is started instead of the sources. */
  readonly bundle?: string;
}

/** Starts a program. Its standard input stays open unless `input` is given. */
export function start(
  runtime: Runtime,
  program: ProgramName,
  args: readonly string[],
  options: StartOptions = {},
): Running {
  // A bundle lies in a new folder each time, where nothing is known of it.
  const names = options.bundle === undefined ? [...INHERITED, "NODE_COMPILE_CACHE"] : INHERITED;
  const inherited = Object.fromEntries(names.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }));
  const line = [runtime === "node" ? process.execPath : "deno", ...command(runtime, program, options), ...args];
  const shell = options.shell === undefined ? [] : ["sh", "-c", `${options.shell}; exec "$0" "$@"`];
  const all = [...shell, ...line];
  const quoted = () => all.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  // Without `exec` a shell stays in between, and the Ctrl-C ends that too.
  const terminal = () => ["script", "-qec", `exec ${quoted()}`, "/dev/null"];
  const [file = "", ...rest] = options.terminal === true ? terminal() : all;
  const child = spawn(file, rest, {
    cwd: options.cwd ?? ROOT,
    env: { ...inherited, ...options.env },
    detached: options.apart ?? false,
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => output.stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => output.stderr += text);
  // A program that ended early has closed its input. Its exit code tells that.
  child.stdin.on("error", () => {});
  if (options.input !== undefined) child.stdin.end(options.input);
  const until = async (holds: () => boolean, what: () => string) => {
    // The making of an embedded database alone takes up to 50 s where many tests share two cores.
    await eventually(holds, () => `${runtime} ${program} has ${what()}`, { timeout: 90_000 });
  };
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once(
      "close",
      (code, signal) => resolve({ code, signal, stdout: output.stdout, stderr: readable(output.stderr) }),
    );
  });
  return {
    ended,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return readable(output.stderr);
    },
    pid: child.pid ?? 0,
    kill: (signal) => void child.kill(signal),
    write: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    closeOutput: () => void child.stdout.destroy(),
    prints: (text) => until(() => text.test(output.stdout), () => `not printed ${text}, but:\n${output.stdout}`),
    says: (text) => {
      const isSaid = () =>
        typeof text === "string" ? readable(output.stderr).includes(text) : text.test(readable(output.stderr));
      return until(isSaid, () => `not said ${text}, but:\n${readable(output.stderr)}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended.catch(() => {});
    },
  };
}

function command(runtime: Runtime, program: ProgramName, { plain, bundle }: StartOptions): string[] {
  if (bundle !== undefined) return BUNDLED[runtime](program, bundle);
  return (plain === true ? PLAIN_DENO : COMMANDS[runtime])(program);
}

/** Runs a program to its end. */
export async function run(
  runtime: Runtime,
  program: ProgramName,
  args: readonly string[],
  options: StartOptions = {},
): Promise<Ended> {
  await using running = start(runtime, program, args, { input: "", ...options });
  return await running.ended;
}

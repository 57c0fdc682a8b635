import { hostname } from "node:os";
import process from "node:process";
import { optionsOf, type ProgramName } from "./options.ts";
import type { ColourVariables } from "./terminal.ts";

/** Environment variables by name; an empty one counts as unset. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the environment variables that are a program's settings, each by its name. So Deno needs no
 * permission for the others.
 */
export function environmentOf(program: ProgramName): Environment {
  const names = optionsOf(program).flatMap(([, { variable }]) => variable === undefined ? [] : [variable]);
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/**
 * A variable to which a hosts file refers. Its name begins with HOSTS_: who writes the file must not
 * read the program's own secrets. Throws where Deno does not allow the reading.
 */
export function hostsVariable(name: `HOSTS_${string}`): string | undefined {
  return process.env[name];
}

/** The environment's wishes for colours; none where Deno does not allow the reading. */
export function colourVariables(): ColourVariables {
  try {
    const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
    return { NO_COLOR, FORCE_COLOR, TERM };
  } catch {
    return {};
  }
}

/** The name of this machine; null where it has none, or where Deno does not allow the reading. */
export function machineName(): string | null {
  try {
    return hostname() || null;
  } catch {
    return null;
  }
}

/**
 * How many threads make checks where nobody says so: one for each core that this process may use,
 * but for that of the main thread.
 */
export function threadsOfThisMachine(): number {
  return Math.max(1, navigator.hardwareConcurrency - 1);
}

/**
 * The file of the authorities that Deno trusts beside its own (DENO_CERT), and that no API lists.
 * Null where there is none, or where reading it is not allowed.
 */
export function denoCertificatesFile(): string | null {
  try {
    return "Deno" in globalThis ? process.env.DENO_CERT || null : null;
  } catch {
    return null;
  }
}

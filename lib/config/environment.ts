import process from "node:process";
import { optionsOf, type ProgramName } from "./options.ts";
import type { ColourVariables } from "./terminal.ts";

/** Environment variables by name; an empty one counts as unset. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The environment variables that are a program's settings, each read by its name: Deno then needs
 * no right to all the others.
 */
export function environmentOf(program: ProgramName): Environment {
  const names = optionsOf(program).flatMap(([, { variable }]) => variable === undefined ? [] : [variable]);
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/** What the environment says of colours; nothing where Deno does not allow to look. */
export function colourVariables(): ColourVariables {
  try {
    const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
    return { NO_COLOR, FORCE_COLOR, TERM };
  } catch {
    return {};
  }
}

/**
 * The file of authorities that Deno trusts beside its own, which it tells nobody; null where there
 * is none or it may not be known.
 */
export function denoCertificatesFile(): string | null {
  try {
    return "Deno" in globalThis ? process.env.DENO_CERT || null : null;
  } catch {
    return null;
  }
}

import * as v from "valibot";
import { type CommandLine, readCommandLine } from "./command_line.ts";
import type { Environment } from "./environment.ts";
import { nameOf, type Option, type OptionName, OPTIONS, type ProgramName, type ValueOf } from "./options.ts";
import { readSecretSync } from "./secret_file.ts";

/** Where the text of a setting came from. */
export type Origin = "flag" | "variable" | "default";

/** Reads a program's settings one by one. Collects their problems instead of throwing. */
export class SettingsReader {
  readonly commandLine: CommandLine;
  readonly problems: string[];
  readonly #environment: Environment;

  constructor(program: ProgramName, args: readonly string[], environment: Environment) {
    this.commandLine = readCommandLine(program, args);
    this.problems = [...this.commandLine.problems];
    this.#environment = environment;
  }

  /** Where the setting is given; null: nowhere. */
  originOf(name: OptionName): Origin | null {
    const { variable, default: fallback }: Option = OPTIONS[name];
    if (this.has(name)) return "flag";
    if (variable !== undefined && this.#environment[variable]) return "variable";
    return fallback === undefined ? null : "default";
  }

  /**
   * A setting's value; null where it is not given or wrong. A wrong value is a problem. Ask for
   * each setting once.
   */
  optional<N extends OptionName>(name: N): ValueOf<N> | null {
    const { schema, isSecret, ...option }: Option = OPTIONS[name];
    const text = this.#textOf(name);
    if (text === null || schema === undefined) return null;
    const result = v.safeParse(schema, text, { abortEarly: true, abortPipeEarly: true });
    if (result.success) return result.output as ValueOf<N>;
    const came = isSecret === true ? "" : ` is ${JSON.stringify(text)}`;
    this.problems.push(`${nameOf(option as Option)}${came}: ${result.issues[0].message}`);
    return null;
  }

  /** As `optional`; here a setting that is not given is a problem as well. */
  required<N extends OptionName>(name: N, remedy: string): ValueOf<N> | null {
    if (this.originOf(name) === null) this.missing(name, remedy);
    return this.optional(name);
  }

  /** Notes that a setting should have been given. */
  missing(name: OptionName, remedy: string): void {
    this.problems.push(`${nameOf(OPTIONS[name])} is missing: ${remedy}`);
  }

  /** True where the flag stands on the command line. */
  has(name: OptionName): boolean {
    return this.commandLine.flags.has(name);
  }

  /** Notes each flag on the command line that makes no sense beside `name`. */
  refuse(name: OptionName, others: readonly OptionName[]): void {
    if (!this.has(name)) return;
    for (const other of others.filter((other) => this.has(other))) {
      this.problems.push(
        `${nameOf(OPTIONS[other])} contradicts --${(OPTIONS[name] as Option).flag}: leave out one of them`,
      );
    }
  }

  /**
   * A secret from a variable or from a file. A file's last newline is no part of it: editors add
   * it.
   */
  secret(value: OptionName, file: OptionName): string | null {
    const path = this.#textOf(file);
    const secret = this.#textOf(value);
    if (path === null) return secret;
    if (secret === null) return this.#readSecret(path, nameOf(OPTIONS[file]));
    this.problems.push(`${nameOf(OPTIONS[value])} and ${nameOf(OPTIONS[file])} are both set: unset one of them`);
    return null;
  }

  #readSecret(path: string, name: string): string | null {
    const secret = readSecretSync(path);
    if (typeof secret === "string") return secret;
    this.problems.push(`${name} is ${JSON.stringify(path)}: ${secret.problem}`);
    return null;
  }

  #textOf(name: OptionName): string | null {
    const { variable, default: fallback }: Option = OPTIONS[name];
    const flag = this.commandLine.flags.get(name);
    if (flag !== undefined) return flag || null;
    const value = variable === undefined ? undefined : this.#environment[variable];
    return (value || fallback) ?? null;
  }
}

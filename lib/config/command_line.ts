import { parseArgs } from "node:util";
import { nearestWord } from "./nearest_word.ts";
import { type Option, type OptionName, optionsOf, type ProgramName } from "./options.ts";

/** The content of a command line. Where a flag stands there twice, the last one counts. */
export interface CommandLine {
  /**
   * The text of each flag. It is empty for a flag that takes no value, and where the value is a
   * problem.
   */
  readonly flags: ReadonlyMap<OptionName, string>;
  /** What is neither a flag nor its value. Empty where a flag is unknown: each may be its value. */
  readonly operands: readonly string[];
  readonly problems: readonly string[];
}

const OTHER: Readonly<Record<ProgramName, ProgramName>> = { producer: "consumer", consumer: "producer" };

/** Takes a program's command line apart, without a look at the meaning of the values. */
export function readCommandLine(program: ProgramName, args: readonly string[]): CommandLine {
  const known = flagsOf(program);
  const flags = new Map<OptionName, string>();
  const operands: string[] = [];
  const problems: string[] = [];
  let unknown = false;
  for (const token of tokensOf(args, known)) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    const found = known.get(token.name === "h" ? "help" : token.name);
    if (found === undefined) {
      unknown = true;
      problems.push(describeUnknown(token.rawName, program, known));
      continue;
    }
    const { name, option } = found;
    const value = option.placeholder === undefined ? readSwitch(token) : readValue(token, option.placeholder);
    if (value instanceof SyntaxError) problems.push(value.message);
    // A flag with a wrong value is given: calling the setting missing as well would mislead.
    flags.set(name, value instanceof SyntaxError ? "" : value);
  }
  // The value of an unknown flag may stand behind it, and be a password, which no message may tell.
  // Operands are certain only where every flag is known.
  if (unknown) return { flags, operands: [], problems };
  return { flags, operands, problems: [...problems, ...checkOperands(program, operands, flags)] };
}

type KnownFlags = ReadonlyMap<string, { readonly name: OptionName; readonly option: Option }>;

function flagsOf(program: ProgramName): KnownFlags {
  return new Map(
    optionsOf(program).flatMap(([name, option]) => option.flag === undefined ? [] : [[option.flag, { name, option }]]),
  );
}

interface OptionToken {
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

function tokensOf(args: readonly string[], known: KnownFlags) {
  const withValue = [...known].filter(([, { option }]) => option.placeholder !== undefined);
  const options = Object.fromEntries(withValue.map(([flag]) => [flag, { type: "string" as const }]));
  // Not strict: strict parsing stops at the first fault, and all faults are to be told at once.
  return parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function readSwitch({ rawName, inlineValue }: OptionToken): string | SyntaxError {
  return inlineValue === true ? new SyntaxError(`${rawName} takes no value: write ${rawName} alone`) : "";
}

function readValue({ rawName, value = "", inlineValue }: OptionToken, placeholder: string): string | SyntaxError {
  // A flag behind a flag is a flag of its own, not the forgotten value.
  const isForgotten = value === "" || (inlineValue !== true && value.startsWith("--"));
  return isForgotten ? new SyntaxError(`${rawName} needs a value: write ${rawName} ${placeholder}`) : value;
}

function checkOperands(
  program: ProgramName,
  operands: readonly string[],
  flags: ReadonlyMap<OptionName, string>,
): string[] {
  if (program === "consumer") {
    return operands.map((text) => `"${text}" is not understood: consumer.ts takes flags only`);
  }
  if (operands.length === 0) {
    const isTold = (["help", "version", "health", "from"] as const).some((name) => flags.has(name));
    return isTold ? [] : ["HOSTS_FILE is missing: name the file that lists the hosts, or - for standard input"];
  }
  const excess = flags.has("from") ? "is one file of modules too many" : "is one HOSTS_FILE too many";
  return operands.slice(1).map((text) => `"${text}" ${excess}: "${operands[0]}" is one already`);
}

function describeUnknown(rawName: string, program: ProgramName, known: KnownFlags): string {
  const name = rawName.replace(/^-+/, "");
  if (flagsOf(OTHER[program]).has(name)) {
    return `${rawName} is no flag of ${program}.ts, but of ${OTHER[program]}.ts: leave it out`;
  }
  const near = nearestWord(name, [...known.keys()]);
  return `${rawName} is no flag of ${program}.ts: ${near === undefined ? "see --help" : `did you mean --${near}?`}`;
}

import { type Option, optionsOf, type ProgramName } from "./options.ts";
import { VERSION } from "./version.ts";

const WIDTH = 100;
const LEFT = 38;

const INTRODUCTIONS: Readonly<Record<ProgramName, string>> = {
  producer: `Usage: producer.ts [options] HOSTS_FILE

Checks the hosts of a file on schedule and sends every result to a Kafka topic.
HOSTS_FILE holds one host a line, DOMAIN FREQUENCY (REGEX); - is standard input.`,
  consumer: `Usage: consumer.ts [options]

Stores every metric of a Kafka topic in a table of PostgreSQL, exactly once.`,
};

const CLOSING =
  "A setting is its flag, else its environment variable, else its default; an empty variable counts as unset.\n";

/** The text of --help: every setting of a program with its flag, variable and default. */
export function helpText(program: ProgramName): string {
  const options = optionsOf(program).map(([, option]) => option);
  const sections = Map.groupBy(options, ({ section }) => section);
  const blocks = [...sections].map(([title, members]) => `${title}\n${members.map(entry).join("\n")}`);
  return [INTRODUCTIONS[program], ...blocks, CLOSING].join("\n\n");
}

/** The text of --version. */
export function versionText(): string {
  return `host-checker ${VERSION}\n`;
}

function entry(option: Option): string {
  const { flag, variable, placeholder = "", help } = option;
  const left = flag === undefined ? `  ${variable}` : `  --${flag} ${placeholder}`.trimEnd();
  const origin = [flag === undefined ? undefined : variable, fallback(option)].filter((part) => part !== undefined);
  const right = [...wrap(help), ...(origin.length === 0 ? [] : wrap(`[${origin.join("; ")}]`))];
  const first = left.length < LEFT ? [left.padEnd(LEFT) + right.shift()] : [left];
  return [...first, ...right.map((line) => " ".repeat(LEFT) + line)].join("\n");
}

/** What applies where an option is not given; undefined where nothing has to be said. */
export function fallback({ default: text, otherwise, variable }: Option): string | undefined {
  if (otherwise === "required" || (otherwise ?? text ?? variable) === undefined) return otherwise;
  return `default: ${otherwise ?? text ?? "none"}`;
}

function wrap(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1)} ${word}`.trimStart();
    if (line.length <= WIDTH - LEFT) lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines;
}

import { nearestWord } from "../config/nearest_word.ts";
import type { HostHeader, StatusRange } from "./host_options.ts";
import type { HostsLine } from "./hosts_line.ts";
import {
  readHeader,
  readLabel,
  readMaxBody,
  readMethod,
  readOnOff,
  readRedirects,
  readStatus,
  readTimeout,
  readTlsName,
} from "./option_values.ts";
import type { Pattern } from "./pattern.ts";
import { hasReference, type References, resolveReferences } from "./references.ts";

/** How the values of options are read. */
export interface OptionReaders {
  readonly references: References;
  /** Reads a REGEX, and notes a doubt at the line. */
  readPattern(source: string, line: HostsLine): Pattern;
}

/** The values of options that come once. */
export interface OptionValues {
  readonly method?: string;
  readonly body?: string;
  readonly status?: readonly StatusRange[];
  readonly timeout?: number;
  readonly redirects?: number;
  readonly absent?: Pattern;
  readonly maxBody?: number;
  /** Paths. */
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsName?: string;
  readonly tlsVerify?: boolean;
}

export type Label = readonly [name: string, value: string];

/** What one line says. Lines of the same text share it. */
export interface OptionLine {
  /** Where two lines of a host have the same, one of them is too much. */
  readonly key: string;
  readonly values: OptionValues | null;
  readonly header: HostHeader | null;
  readonly label: Label | null;
  /** What variables and files have brought. */
  readonly secrets: readonly string[];
  /** Its number among the lines that are shared; null: this one is not. */
  readonly id: number | null;
}

type Said = Partial<Pick<OptionLine, "key" | "values" | "header" | "label">>;
type ReadOption = (text: string, readers: OptionReaders, line: HostsLine) => Said;

/** An option of which the value is all. */
function valued(read: (...given: Parameters<ReadOption>) => OptionValues): ReadOption {
  return (...given) => ({ values: read(...given) });
}

/** The options, in the order in which messages name them. */
const OPTIONS: Readonly<Record<string, ReadOption>> = {
  "method": valued((text) => ({ method: readMethod(text) })),
  "header": (text, { references }) => {
    const header = readHeader(text, references);
    return { header, key: headerKey(header.name) };
  },
  "body": valued((text, { references }) => ({ body: resolveReferences(text, references).text })),
  "status": valued((text) => ({ status: readStatus(text) })),
  "timeout": valued((text) => ({ timeout: readTimeout(text) })),
  "redirects": valued((text) => ({ redirects: readRedirects(text) })),
  "absent": valued((text, { readPattern }, line) => ({ absent: readPattern(text, line) })),
  "max-body": valued((text) => ({ maxBody: readMaxBody(text) })),
  "tls-ca": valued((text) => ({ tlsCa: text })),
  "tls-cert": valued((text) => ({ tlsCert: text })),
  "tls-key": valued((text) => ({ tlsKey: text })),
  "tls-name": valued((text) => ({ tlsName: readTlsName(text) })),
  "tls-verify": valued((text) => ({ tlsVerify: readOnOff(text) })),
  "label": (text) => {
    const label = readLabel(text);
    return { label, key: `label ${label[0]}` };
  },
};
const NAMES = Object.keys(OPTIONS);
/** Options in which a reference is replaced. */
const WITH_REFERENCES = ["header", "body"];

/** The `key` of a header. */
export function headerKey(name: string): string {
  return `header ${name.toLowerCase()}`;
}

/** The option for a person: `timeout`, `the header Accept`. */
export function titleOf({ key, header, label }: OptionLine): string {
  if (header !== null) return `the header ${header.name}`;
  return label === null ? key : `the label ${label[0]}`;
}

/** Lines that are kept to be shared: as many as 100,000 hosts may well have in common. */
const MOST_KNOWN = 10_000;

/** Reads lines that begin with `|`, those of the same text once. */
export class OptionLineReader {
  readonly #readers: OptionReaders;
  readonly #known = new Map<string, OptionLine>();

  constructor(readers: OptionReaders) {
    this.#readers = readers;
  }

  /** Throws an error that says what to write instead. */
  read(line: HostsLine): OptionLine {
    const known = this.#known.get(line.text);
    if (known !== undefined) return known;
    const read = readOption(line, this.#readers);
    // A doubt about a REGEX is told at each line.
    if (read.key === "absent" || this.#known.size >= MOST_KNOWN) return read;
    const shared = { ...read, id: this.#known.size };
    this.#known.set(line.text, shared);
    return shared;
  }
}

function readOption(line: HostsLine, readers: OptionReaders): OptionLine {
  const { name, text } = takeOption(line);
  if (!Object.hasOwn(OPTIONS, name)) throw unknownOption(name);
  if (text === "") throw new SyntaxError(`| ${name} lacks its value: write | ${name} and, behind it, the value`);
  if (!WITH_REFERENCES.includes(name) && hasReference(text)) {
    throw new SyntaxError(`| ${name} takes no reference: \${…} stands in header and body only`);
  }
  const secrets: string[] = [];
  const known = hasReference(text) ? { ...readers, references: remembering(readers.references, secrets) } : readers;
  const said = (OPTIONS[name] as ReadOption)(text, known, line);
  const { key = name, values = null, header = null, label = null } = said;
  return { key, values, header, label, secrets, id: null };
}

/** Takes the fields of a line with an option. Problems are then noted at its value. */
export function takeOption(line: HostsLine): { readonly name: string; readonly text: string } {
  line.rewind();
  line.take(() => "|");
  const name = line.take();
  if (!Object.hasOwn(OPTIONS, name)) return { name, text: "" };
  return { name, text: line.take((rest) => rest) };
}

function unknownOption(name: string): SyntaxError {
  if (name === "") return new SyntaxError("| names no option: write one such as | timeout 5s");
  const shown = name.slice(0, 40);
  if (name.endsWith(":")) return new SyntaxError(`"${shown}" is no option: write | header ${shown} and its value`);
  const near = nearestWord(name.toLowerCase(), NAMES);
  return new SyntaxError(
    `"${shown}" is no option: ${near === undefined ? `write one of ${NAMES.join(", ")}` : `write | ${near}`}`,
  );
}

/** Adds to `values` what references bring. */
function remembering(references: References, values: string[]): References {
  return {
    variable(name) {
      const value = references.variable(name);
      if (value) values.push(value);
      return value;
    },
    file(path) {
      const content = references.file(path);
      if (!("problem" in content)) values.push(content.toString("utf8").replace(/\r?\n$/, ""));
      return content;
    },
  };
}

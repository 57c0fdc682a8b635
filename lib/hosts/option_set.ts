import { nearestWord } from "../config/nearest_word.ts";
import { type HostHeader, type HostOptions, type StatusRange } from "./host_options.ts";
import type { HostsLine } from "./hosts_line.ts";
import type { HostTls } from "./host_options.ts";
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
interface Values {
  method?: string;
  body?: string;
  status?: readonly StatusRange[];
  timeout?: number;
  redirects?: number;
  absent?: Pattern;
  maxBody?: number;
  /** Paths. */
  tlsCa?: string;
  tlsCert?: string;
  tlsKey?: string;
  tlsName?: string;
  tlsVerify?: boolean;
}

type ReadOption = (set: OptionSet, text: string, readers: OptionReaders, line: HostsLine) => void;

/** The options, in the order in which messages name them. */
const OPTIONS: Readonly<Record<string, ReadOption>> = {
  "method": ({ values }, text) => void (values.method = readMethod(text)),
  "header": (set, text, { references }, line) => set.addHeader(readHeader(text, references), line),
  "body": ({ values }, text, { references }) => void (values.body = resolveReferences(text, references).text),
  "status": ({ values }, text) => void (values.status = readStatus(text)),
  "timeout": ({ values }, text) => void (values.timeout = readTimeout(text)),
  "redirects": ({ values }, text) => void (values.redirects = readRedirects(text)),
  "absent": ({ values }, text, { readPattern }, line) => void (values.absent = readPattern(text, line)),
  "max-body": ({ values }, text) => void (values.maxBody = readMaxBody(text)),
  "tls-ca": ({ values }, text) => void (values.tlsCa = text),
  "tls-cert": ({ values }, text) => void (values.tlsCert = text),
  "tls-key": ({ values }, text) => void (values.tlsKey = text),
  "tls-name": ({ values }, text) => void (values.tlsName = readTlsName(text)),
  "tls-verify": ({ values }, text) => void (values.tlsVerify = readOnOff(text)),
  "label": (set, text, _readers, line) => set.addLabel(readLabel(text), line),
};
const NAMES = Object.keys(OPTIONS);
const TLS = NAMES.filter((name) => name.startsWith("tls-"));
/** Options in which a reference is replaced. */
const WITH_REFERENCES = ["header", "body"];
/** Options that may come more than once. */
const REPEATED = ["header", "label"];
/** The most labels of a host: they stand in each of its metrics. */
export const MOST_LABELS = 20;

/** The options of one host, or of all: what their lines say, one after the other. */
export class OptionSet {
  readonly values: Values = {};
  readonly headers: HostHeader[] = [];
  readonly labels = new Map<string, string>();
  /** What variables and files have brought. */
  readonly secrets: string[] = [];
  /** The line of each option, by its name, and of each header and label. */
  readonly #lines = new Map<string, HostsLine>();

  /** True where an option is about TLS. */
  get hasTls(): boolean {
    return TLS.some((name) => this.#lines.has(name));
  }

  /** The lines so far: sets of one text mean the same. */
  text = "";

  /** Reads a line that begins with `|`. Reports what is wrong with it. */
  read(line: HostsLine, readers: OptionReaders): void {
    this.text += `${line.text}\n`;
    line.attempt(() => {
      const name = readName(line);
      const text = line.take((rest) => rest);
      if (text === "") throw new SyntaxError(`| ${name} lacks its value: write | ${name} and, behind it, the value`);
      if (!REPEATED.includes(name)) this.#note(name, name, line);
      if (!WITH_REFERENCES.includes(name) && hasReference(text)) {
        throw new SyntaxError(`| ${name} takes no reference: \${…} stands in header and body only`);
      }
      const known = hasReference(text)
        ? { ...readers, references: remembering(readers.references, this.secrets) }
        : readers;
      (OPTIONS[name] as ReadOption)(this, text, known, line);
    });
  }

  /** The line that gave an option. */
  lineOf(name: string): HostsLine | undefined {
    return this.#lines.get(name);
  }

  addHeader(header: HostHeader, line: HostsLine): void {
    this.#note(`header ${header.name.toLowerCase()}`, `the header ${header.name}`, line);
    this.headers.push(header);
  }

  addLabel([name, value]: readonly [name: string, value: string], line: HostsLine): void {
    this.#note(`label ${name}`, `the label ${name}`, line);
    if (this.labels.size >= MOST_LABELS) throw new RangeError(`${MOST_LABELS} labels are the most: remove this one`);
    this.labels.set(name, value);
  }

  /** Notes where an option stands. Throws where it stands twice. */
  #note(key: string, name: string, line: HostsLine): void {
    const first = this.#lines.get(key);
    if (first !== undefined) throw new SyntaxError(`${name} stands on line ${first.number} already: remove one`);
    this.#lines.set(key, line);
  }
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

function readName(line: HostsLine): string {
  line.take(() => "|");
  const name = line.take();
  if (Object.hasOwn(OPTIONS, name)) return name;
  if (name === "") throw new SyntaxError("| names no option: write one such as | timeout 5s");
  const shown = name.slice(0, 40);
  if (name.endsWith(":")) throw new SyntaxError(`"${shown}" is no option: write | header ${shown} and its value`);
  const near = nearestWord(name.toLowerCase(), NAMES);
  throw new SyntaxError(
    `"${shown}" is no option: ${near === undefined ? `write one of ${NAMES.join(", ")}` : `write | ${near}`}`,
  );
}

/** The options of a host: its own go before those of all hosts. Null where there is none. */
export function hostOptions(own: OptionSet, defaults: OptionSet, tls: HostTls | null): HostOptions | null {
  if (own.text === "" && defaults.text === "") return null;
  const value = <N extends keyof Values>(name: N) => own.values[name] ?? defaults.values[name] ?? null;
  const inherited = defaults.headers.filter(({ name }) => own.lineOf(`header ${name.toLowerCase()}`) === undefined);
  const labels = { ...Object.fromEntries(defaults.labels), ...Object.fromEntries(own.labels) };
  return {
    method: value("method"),
    headers: [...inherited, ...own.headers],
    body: value("body"),
    status: value("status"),
    timeout: value("timeout"),
    redirects: value("redirects"),
    maxBody: value("maxBody"),
    tls,
    labels: defaults.labels.size + own.labels.size === 0 ? null : labels,
    secrets: [...defaults.secrets, ...own.secrets],
  };
}

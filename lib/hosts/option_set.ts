import type { HostHeader, HostOptions, HostTls } from "./host_options.ts";
import type { HostsLine } from "./hosts_line.ts";
import { headerKey, type Label, type OptionLine, type OptionLineReader, takeOption, titleOf } from "./option_line.ts";
import type { OptionValues } from "./option_line.ts";

/** Values in the making. */
type Values = { -readonly [N in keyof OptionValues]: OptionValues[N] };

/** The most labels of a host: they stand in each of its metrics. */
export const MOST_LABELS = 20;

const NONE: readonly never[] = [];

/** The options of one host, or of all: what their lines say, one after the other. */
export class OptionSet {
  readonly values: Values = {};
  readonly headers: HostHeader[] = [];
  readonly labels: Label[] = [];
  /** What variables and files have brought. */
  secrets: readonly string[] = NONE;
  /** The line of each option, by its name, and of each header and label. */
  readonly #lines = new Map<string, HostsLine>();
  /** True where an option is about TLS. */
  hasTls = false;
  /** True where no line was read. */
  isEmpty = true;
  /** Sets with the same identity mean the same. Null: this one shares nothing. */
  identity: string | null = "";

  /** Reads a line that begins with `|`. Reports what is wrong with it. */
  read(line: HostsLine, reader: OptionLineReader): void {
    const { identity } = this;
    this.isEmpty = false;
    this.identity = null;
    line.attempt(() => {
      const said = reader.read(line);
      this.#add(said, line);
      if (identity !== null && said.id !== null) this.identity = `${identity},${said.id}`;
    });
  }

  has(key: string): boolean {
    return this.#lines.has(key);
  }

  /** The line that gave an option, to report or warn of its value. */
  lineOf(key: string): HostsLine | undefined {
    const line = this.#lines.get(key);
    if (line !== undefined) takeOption(line);
    return line;
  }

  #add(said: OptionLine, line: HostsLine): void {
    const { key, values, header, label, secrets } = said;
    const first = this.#lines.get(key);
    if (first !== undefined) {
      takeOption(line);
      throw new SyntaxError(`${titleOf(said)} stands on line ${first.number} already: remove one`);
    }
    this.#lines.set(key, line);
    if (values !== null) Object.assign(this.values, values);
    if (key.startsWith("tls-")) this.hasTls = true;
    if (header !== null) this.headers.push(header);
    if (label !== null) this.#addLabel(label, line);
    this.secrets = joined(this.secrets, secrets);
  }

  #addLabel(label: Label, line: HostsLine): void {
    if (this.labels.length >= MOST_LABELS) {
      takeOption(line);
      throw new RangeError(`${MOST_LABELS} labels are the most: remove this one`);
    }
    this.labels.push(label);
  }
}

/** Both lists in one. Where one is empty it is the other itself: 100,000 hosts share it. */
function joined<T>(one: readonly T[], other: readonly T[]): readonly T[] {
  if (one.length === 0) return other;
  return other.length === 0 ? one : one.concat(other);
}

/** The options of a host: its own go before those of all hosts. Null where there is none. */
export function hostOptions(own: OptionSet, defaults: OptionSet, tls: HostTls | null): HostOptions | null {
  if (own.isEmpty && defaults.isEmpty) return null;
  const { values } = own;
  const labels = joined(defaults.labels, own.labels);
  return {
    method: values.method ?? defaults.values.method ?? null,
    headers: joined(inheritedHeaders(own, defaults), own.headers),
    body: values.body ?? defaults.values.body ?? null,
    status: values.status ?? defaults.values.status ?? null,
    timeout: values.timeout ?? defaults.values.timeout ?? null,
    redirects: values.redirects ?? defaults.values.redirects ?? null,
    maxBody: values.maxBody ?? defaults.values.maxBody ?? null,
    tls,
    labels: labels.length === 0 ? null : Object.fromEntries(labels),
    secrets: joined(defaults.secrets, own.secrets),
  };
}

/** The headers of all hosts that a host has none of its own for. */
function inheritedHeaders(own: OptionSet, { headers }: OptionSet): readonly HostHeader[] {
  if (own.headers.length === 0) return headers;
  return headers.filter(({ name }) => !own.has(headerKey(name)));
}

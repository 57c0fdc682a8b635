import type { HostHeader, HostOptions, HostTls } from "./host_options.ts";
import type { HostsLine } from "./hosts_line.ts";
import { headerKey, type Label, type OptionLine, type OptionLineReader, takeOption } from "./option_line.ts";
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
  /** The lines so far: sets of one text mean the same. */
  text = "";

  /** True where an option is about TLS. */
  get hasTls(): boolean {
    return TLS.some((name) => this.values[name] !== undefined);
  }

  /** Reads a line that begins with `|`. Reports what is wrong with it. */
  read(line: HostsLine, reader: OptionLineReader): void {
    this.text += `${line.text}\n`;
    line.attempt(() => this.#add(reader.read(line), line));
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

  #add({ key, title, values, header, label, secrets }: OptionLine, line: HostsLine): void {
    const first = this.#lines.get(key);
    if (first !== undefined) {
      takeOption(line);
      throw new SyntaxError(`${title} stands on line ${first.number} already: remove one`);
    }
    this.#lines.set(key, line);
    if (values !== null) Object.assign(this.values, values);
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

const TLS = ["tlsCa", "tlsCert", "tlsKey", "tlsName", "tlsVerify"] as const;

/** Both lists in one. Where one is empty it is the other itself: 100,000 hosts share it. */
function joined<T>(one: readonly T[], other: readonly T[]): readonly T[] {
  if (one.length === 0) return other;
  return other.length === 0 ? one : [...one, ...other];
}

/** The options of a host: its own go before those of all hosts. Null where there is none. */
export function hostOptions(own: OptionSet, defaults: OptionSet, tls: HostTls | null): HostOptions | null {
  if (own.text === "" && defaults.text === "") return null;
  const value = <N extends keyof OptionValues>(name: N) => own.values[name] ?? defaults.values[name] ?? null;
  const inherited = defaults.headers.filter(({ name }) => !own.has(headerKey(name)));
  const labels = joined(defaults.labels, own.labels);
  return {
    method: value("method"),
    headers: joined(inherited, own.headers),
    body: value("body"),
    status: value("status"),
    timeout: value("timeout"),
    redirects: value("redirects"),
    maxBody: value("maxBody"),
    tls,
    labels: labels.length === 0 ? null : Object.fromEntries(labels),
    secrets: joined(defaults.secrets, own.secrets),
  };
}

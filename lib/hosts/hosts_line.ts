/** The longest line that is read, in bytes. */
const LONGEST_LINE = 64 * 1024;
/** The longest message about a line, in characters. */
const LONGEST_MESSAGE = 2000;

const BROKEN = /[\0\uFFFD]/;

/** Notes about lines: a `HostsFile` in the making. */
export interface LineNotes {
  readonly problems: string[];
  readonly warnings: string[];
}

/**
 * The text of one line while it is read, and the place up to which it was read. It gives one field
 * after the other. A problem is noted with the place of the last field.
 */
export class HostsLine {
  readonly text: string;
  readonly number: number;
  readonly #fileName: string;
  readonly #notes: LineNotes;
  #field = 0;
  #next: number;

  constructor(text: string, number: number, fileName: string, notes: LineNotes) {
    this.text = text.slice(0, endWithoutBlanks(text));
    this.number = number;
    this.#fileName = fileName;
    this.#notes = notes;
    this.#next = skipBlanks(this.text, 0);
  }

  /** True for a blank line and a comment. */
  get isSkipped(): boolean {
    return this.#next === this.text.length || this.text[this.#next] === "#";
  }

  /** True for a line that belongs to the host above it, or to all hosts. */
  get isOption(): boolean {
    return this.text[this.#next] === "|";
  }

  get isTooLong(): boolean {
    // A character has one byte at least, and three at most.
    return this.text.length * 3 > LONGEST_LINE && Buffer.byteLength(this.text) > LONGEST_LINE;
  }

  reportLength(): void {
    this.report(
      `the line has ${Buffer.byteLength(this.text)} bytes, and ${LONGEST_LINE} are the most: write a shorter one`,
    );
  }

  /** True where the text has a sign that no UTF-8 text has. */
  get isBroken(): boolean {
    return BROKEN.test(this.text);
  }

  reportBroken(): void {
    this.take((rest) => rest.slice(0, rest.search(BROKEN)));
    this.take(() => "");
    this.report("this line is not UTF-8 text: save the file as UTF-8");
  }

  /** The rest of the line, without blanks in front. */
  get rest(): string {
    return this.text.slice(this.#next);
  }

  /** Goes back to the beginning of the line. */
  rewind(): void {
    this.#next = skipBlanks(this.text, 0);
  }

  /**
   * Takes the next field: what `find` finds at the beginning of the rest, or all up to the next
   * blank.
   */
  take(find: (rest: string) => string = upToBlank): string {
    this.#field = this.#next;
    const field = find(this.rest);
    this.#next = skipBlanks(this.text, this.#field + field.length);
    return field;
  }

  /** The outcome of `read`. Undefined where it throws: its message is then reported. */
  attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.report((error as Error).message);
      return undefined;
    }
  }

  report(message: string): void {
    this.#notes.problems.push(this.#placed(message));
  }

  warn(message: string): void {
    this.#notes.warnings.push(this.#placed(message));
  }

  #placed(message: string): string {
    const column = [...this.text.slice(0, this.#field)].length + 1;
    return `${this.#fileName}:${this.number}:${column}: ${showInvisible(curtailed(message))}`;
  }
}

/** Cut in the middle: the end of a message says what to write instead. */
function curtailed(message: string): string {
  if (message.length <= LONGEST_MESSAGE) return message;
  const half = LONGEST_MESSAGE / 2;
  return `${message.slice(0, half)} … ${message.slice(-half)}`.toWellFormed();
}

/**
 * A message is one line on a terminal. A blank that is neither space nor tab is no blank here, and
 * would not be seen.
 */
function showInvisible(text: string): string {
  return text.replace(/(?![ \t])[\p{Cc}\p{Cf}\p{Z}]/gu, (sign) => `\\x{${sign.codePointAt(0)?.toString(16)}}`);
}

function isBlank(sign: string | undefined): boolean {
  return sign === " " || sign === "\t";
}

function skipBlanks(text: string, from: number): number {
  while (isBlank(text[from])) from++;
  return from;
}

function endWithoutBlanks(text: string): number {
  let end = text.length;
  while (isBlank(text[end - 1])) end--;
  return end;
}

function upToBlank(text: string): string {
  let end = 0;
  while (end < text.length && !isBlank(text[end])) end++;
  return text.slice(0, end);
}

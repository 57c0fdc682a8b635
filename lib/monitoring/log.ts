import { LOG_LEVELS, type LogLevel } from "../config/setting_types.ts";
import { type Colour, colourless, type Paint, printable, printableJson } from "../config/terminal.ts";

/** Seconds between two summaries in the log. */
export const SUMMARY_PERIOD = 60;

/** The subject of an event, for a search in the log. The message says it too. */
export interface LogFields {
  /** The host that went down, or came back. */
  readonly address?: string;
  readonly state?: "up" | "down";
  /** Why the host is down, or was down. */
  readonly reason?: string;
}

/** One event. */
export interface LogEntry extends LogFields {
  readonly time: Date;
  readonly level: LogLevel;
  readonly program: string;
  readonly message: string;
}

/**
 * The form of one event: a line for a person at a terminal, or a JSON object for a log collector.
 */
export type LogFormat = (entry: LogEntry) => string;

const LEVEL_COLOURS: Readonly<Record<LogLevel, Colour | null>> = {
  ERROR: "red",
  WARN: "yellow",
  INFO: null,
  DEBUG: null,
};
const STATE_COLOURS = { down: "red", up: "green" } as const;

/**
 * `2026-11-24 13:32:50 INFO  producer: message`, in local time. Errors, warnings and news of hosts
 * have colours.
 */
export function terminalLine(paint: Paint = colourless): LogFormat {
  return ({ time, level, program, message, state }) => {
    const shown = printable(message);
    const text = state === undefined ? shown : paint(shown, STATE_COLOURS[state]);
    // Sweden writes dates as ISO 8601 does.
    return `${time.toLocaleString("sv-SE")} ${paint(level.padEnd(5), LEVEL_COLOURS[level])} ${program}: ${text}\n`;
  };
}

/** A JSON object with the names of `LogEntry`. Fields without a value are left out. */
export const jsonLine: LogFormat = ({ time, level, program, message, address, state, reason }) =>
  `${printableJson(JSON.stringify({ time, level, program, message, address, state, reason }))}\n`;

/** Writes one line for each event. */
export class Log {
  readonly #program: string;
  readonly #level: LogLevel;
  readonly #format: LogFormat;
  readonly #write: (line: string) => void;

  constructor(program: string, level: LogLevel, format: LogFormat, write: (line: string) => void) {
    this.#program = program;
    this.#level = level;
    this.#format = format;
    this.#write = write;
  }

  /** True if DEBUG is written. If not, nobody needs to put costly things into words. */
  get isVerbose(): boolean {
    return this.#level === "DEBUG";
  }

  error(message: string): void {
    this.#log("ERROR", message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#log("WARN", message, fields);
  }

  info(message: string): void {
    this.#log("INFO", message);
  }

  debug(message: string): void {
    this.#log("DEBUG", message);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(this.#level)) return;
    // Only statements that a person is to run stand on lines of their own. The last of these lines
    // ends like the others.
    this.#write(
      this.#format({ ...fields, time: new Date(), level, program: this.#program, message: message.trimEnd() }),
    );
  }
}

import { printable, printableJson } from "./printable.ts";

/** From the gravest on; a log writes its own level and the graver ones. */
export const LOG_LEVELS = ["ERROR", "WARN", "INFO", "DEBUG"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

/** How one event looks: a tidy line for a person at a terminal, a JSON object for whoever collects logs. */
export type LogFormat = (time: Date, level: LogLevel, message: string) => string;

/** `2026-11-24 13:32:50 INFO  message`, in local time. */
export const terminalLine: LogFormat = (time, level, message) => {
  // Sweden writes dates as ISO 8601 does.
  return `${time.toLocaleString("sv-SE")} ${level.padEnd(5)} ${printable(message)}\n`;
};

/** `{"time":"…","level":"INFO","message":"…"}`. */
export const jsonLine: LogFormat = (time, level, message) =>
  `${printableJson(JSON.stringify({ time, level, message }))}\n`;

/** Writes one line an event. */
export class Log {
  readonly #level: LogLevel;
  readonly #format: LogFormat;
  readonly #write: (line: string) => void;

  constructor(level: LogLevel, format: LogFormat, write: (line: string) => void) {
    this.#level = level;
    this.#format = format;
    this.#write = write;
  }

  /** True where DEBUG is written: what costs time to put into words need not be, else. */
  get isVerbose(): boolean {
    return this.#level === "DEBUG";
  }

  error(message: string): void {
    this.#log("ERROR", message);
  }

  warn(message: string): void {
    this.#log("WARN", message);
  }

  info(message: string): void {
    this.#log("INFO", message);
  }

  debug(message: string): void {
    this.#log("DEBUG", message);
  }

  #log(level: LogLevel, message: string): void {
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(this.#level)) return;
    // Statements to run stand on lines of their own, to be copied; they are the only ones.
    this.#write(this.#format(new Date(), level, message.trimEnd()));
  }
}

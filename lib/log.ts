/** From the gravest on; a log writes its own level and the graver ones. */
export const LOG_LEVELS = ["ERROR", "WARN", "INFO", "DEBUG"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

/** Writes one line an event: time (ISO 8601 UTC), level, message. */
export class Log {
  readonly #level: LogLevel;
  readonly #write: (line: string) => void;

  constructor(level: LogLevel, write: (line: string) => void) {
    this.#level = level;
    this.#write = write;
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
    this.#write(`${new Date().toISOString()} ${level.padEnd(5)} ${message.trimEnd()}\n`);
  }
}

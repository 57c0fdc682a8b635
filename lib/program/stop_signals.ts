import process from "node:process";

/**
 * Milliseconds in which a signal that comes again is the same one: npm passes on the Ctrl-C that
 * the terminal sends to both.
 */
const ECHO = 500;

/** Calls `listener` at every SIGINT and SIGTERM, once where npm passes it on too. */
export function onStopSignal(listener: (signal: NodeJS.Signals) => void): void {
  let last: { readonly signal: NodeJS.Signals; readonly at: number } | null = null;
  const hear = (signal: NodeJS.Signals) => {
    const at = performance.now();
    const isEcho = last?.signal === signal && at - last.at < ECHO;
    if (isEcho) return;
    last = { signal, at };
    listener(signal);
  };
  process.on("SIGINT", hear);
  process.on("SIGTERM", hear);
}

import process from "node:process";

/**
 * Milliseconds in which a repeated signal counts as the same one. The terminal sends Ctrl-C to npm
 * and to the program, and npm passes it on.
 */
const ECHO = 500;

/** Calls `listener` at every SIGINT and SIGTERM. A signal that npm passes on too counts once. */
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

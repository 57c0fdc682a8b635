/**
 * The codes with which a system says that nothing is left: files, memory, room for data to send.
 */
const SCARCE: ReadonlyMap<unknown, string> = new Map([
  ["EMFILE", "this program has as many files open as it may: raise ulimit -n, or lower --concurrency"],
  ["ENFILE", "this machine has as many files open as it may"],
  ["ENOMEM", "this machine has no memory left for it"],
  ["ENOBUFS", "this machine has no memory left for it"],
]);

/** True where a failure is this machine's own. It says nothing about the other side. */
export function isResourceExhausted(error: unknown): boolean {
  return exhaustedResource(error) !== null;
}

/** What this machine lacks, for a person; null where a failure is about something else. */
export function exhaustedResource(error: unknown): string | null {
  return SCARCE.get((error as NodeJS.ErrnoException | undefined)?.code) ?? null;
}

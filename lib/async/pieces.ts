import { whenSocketsAreServed } from "./waits.ts";

/**
 * Work that may rest at each `yield`: what it changes is as it must be there. From one `yield` to
 * the next it takes a millisecond at most.
 */
export type Pieces<T> = Generator<void, T, void>;

/** Milliseconds of one piece. */
const PIECE = 8;

/** Does all of the work at once. */
export function atOnce<T>(work: Pieces<T>): T {
  while (true) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Does the work in pieces of some milliseconds. Between them the sockets are served, and other work
 * runs. Calls `rest` before each such pause.
 */
export async function inPieces<T>(work: Pieces<T>, rest: () => void = () => {}): Promise<T> {
  let began = performance.now();
  while (true) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (performance.now() - began < PIECE) continue;
    rest();
    await new Promise<void>((resolve) => void whenSocketsAreServed(resolve));
    began = performance.now();
  }
}

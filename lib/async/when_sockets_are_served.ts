/**
 * Does `work` when the sockets that have something have been looked at. Deno runs immediates again
 * and again before it looks at a socket; after a timer, even of no time, it has looked.
 */
export const whenSocketsAreServed: (work: () => void) => unknown = "Deno" in globalThis
  ? (work) => setTimeout(work, 0)
  : setImmediate;

import { lookup } from "node:dns";
import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { codeOf, Failure } from "./failure.ts";
import { wait } from "./wait.ts";

/** What the system's resolver says, for a person. */
const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such name",
  ENODATA: "the name has no address",
  EAI_AGAIN: "the name server does not answer",
  EAI_FAIL: "the name server failed",
};

/** The address that a URL's host name already is, or undefined where it is a name. */
export function literalAddress(hostname: string): LookupAddress | undefined {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  const family = isIP(address);
  return family === 0 ? undefined : { address, family };
}

/** All addresses of a name, in the order in which the system would try them. */
export function resolve(name: string, signal: AbortSignal): Promise<readonly LookupAddress[] | Failure> {
  return wait(signal, (done) => {
    lookup(name, { all: true }, (error, addresses) => {
      if (error === null && addresses.length > 0) return done(addresses);
      const code = error === null ? "ENODATA" : codeOf(error);
      done(new Failure("dns", `${name}: ${REASONS[code] ?? `the name cannot be resolved (${code})`}`));
    });
    // The system's resolver cannot be called off; what it says later is dropped.
    return () => {};
  });
}

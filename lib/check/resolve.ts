import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { withoutBrackets } from "../config/host_and_port.ts";
import { NoAddress, type Resolver } from "../net/resolver.ts";
import { Failure, ownFailure } from "./failure.ts";
import type { CertificateJudge } from "./judgement.ts";

/**
 * How the addresses of a host are found, which of them may be dialed, and who judges its
 * certificates.
 */
export interface ConnectOptions {
  readonly resolver: Resolver;
  /** True for an address that must not be dialed; null: all may be. */
  readonly isBlocked: ((address: string) => boolean) | null;
  readonly certificates: CertificateJudge;
}

/** The address that a URL's host name is; undefined where it is a name. */
export function literalAddress(hostname: string): LookupAddress | undefined {
  const address = withoutBrackets(hostname);
  const family = isIP(address);
  return family === 0 ? undefined : { address, family };
}

/** All addresses of a name, in the order to try them. */
export async function resolve(
  name: string,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly LookupAddress[] | Failure> {
  let found: Awaited<ReturnType<Resolver["resolve"]>>;
  try {
    found = await resolver.resolve(name, signal);
  } catch (error) {
    const own = ownFailure(error);
    if (own === null) throw error;
    return own;
  }
  return found instanceof NoAddress ? new Failure("dns", `${name}: ${found.reason}`) : found;
}

/**
 * The addresses that may be dialed. The caller dials these, and does not ask a resolver again. So a
 * name gains nothing by a private address that follows a public one.
 */
export function permitted(
  addresses: readonly LookupAddress[],
  isBlocked: ConnectOptions["isBlocked"],
): readonly LookupAddress[] | Failure {
  if (isBlocked === null) return addresses;
  const allowed = addresses.filter(({ address }) => !isBlocked(address));
  if (allowed.length > 0) return allowed;
  return new Failure("connect", `${addresses[0]?.address} is a private address, and --block-private-addresses is on`);
}

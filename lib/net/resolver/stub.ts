import { randomInt } from "node:crypto";
import type { LookupAddress } from "node:dns";
import { setTimeout } from "node:timers/promises";
import { ask, type Server } from "./ask.ts";
import { candidates, type ResolverConfig } from "./files.ts";
import { isAskable, RCODES, type Reply, TYPES } from "./packet.ts";

/** A name's addresses, or why the name servers have none, and whether that is certain. */
export type Found =
  | { readonly addresses: readonly LookupAddress[] }
  | { readonly addresses: null; readonly reason: string; readonly isCertain: boolean };

const NO_SUCH_NAME: Found = { addresses: null, reason: "no such name", isCertain: true };
const NO_ADDRESS: Found = { addresses: null, reason: "the name has no address", isCertain: true };

/** Names of the codes for a failure (RFC 1035, section 4.1.1). */
const CODES: Readonly<Record<number, string>> = { 1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED" };

/**
 * Asks the name servers of `config`, at `port`, for IPv4 and IPv6 at once. The dots of the name
 * decide whether it is tried alone or with a suffix first. `turn` counts lookups, for the rotation.
 * Rejects as `ask` does.
 */
export async function askServers(
  name: string,
  config: ResolverConfig,
  port: number,
  turn: number,
  signal: AbortSignal,
): Promise<Found> {
  let failure: Found | undefined;
  let negative: Found = NO_SUCH_NAME;
  for (const candidate of candidates(name, config)) {
    if (!isAskable(candidate)) continue;
    const found = await askFor(candidate, config, port, turn, signal);
    if (found.addresses !== null) return found;
    // A suffix whose servers fail must not hide the name itself; glibc goes on, too. Servers that
    // answered nothing would answer nothing again.
    if (!found.isCertain) failure ??= found;
    if (found === UNANSWERED) break;
    if (found === NO_ADDRESS) negative = found;
  }
  return failure === undefined ? negative : failure;
}

function unsure(reason: string): Found {
  return { addresses: null, reason, isCertain: false };
}

const UNANSWERED: Found = { addresses: null, reason: "the name server does not answer", isCertain: false };

const UNREADABLE = unsure("the name server's answer cannot be read");
const CUT = unsure("the name server's answer is cut off, and it does not answer over TCP");

/** Milliseconds between two rounds over all servers. */
const ROUND_PAUSE = 250;

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** Asks for one full name, server after server, until one of them knows. */
async function askFor(
  name: string,
  config: ResolverConfig,
  port: number,
  turn: number,
  signal: AbortSignal,
): Promise<Found> {
  let failure: Found = UNANSWERED;
  for (const [index, server] of order(config, port, turn).entries()) {
    // All have failed, and at once: dnsmasq, for one, refuses more than 150 names at a time.
    if (index > 0 && index % config.servers.length === 0 && failure !== UNANSWERED) await pause(ROUND_PAUSE, signal);
    const questions = [TYPES.AAAA, TYPES.A].map((type) => ({ id: randomInt(65_536), name, type }));
    const replies = await ask(server, questions, config.overTcp, config.timeout, signal);
    const found = judge(replies);
    if (found.addresses !== null || found.isCertain) return found;
    if (found !== UNANSWERED) failure = found;
  }
  return failure;
}

function judge(replies: readonly (Reply | undefined)[]): Found {
  const addresses = replies.flatMap((reply) => reply?.addresses ?? []);
  if (addresses.length > 0) return { addresses };
  // For either type: a name that does not exist has neither.
  if (replies.some((reply) => reply?.code === RCODES.noSuchName)) return NO_SUCH_NAME;
  if (replies.some((reply) => reply?.isTruncated)) return CUT;
  if (replies.every((reply) => reply?.code === RCODES.noError)) return NO_ADDRESS;
  if (replies.some((reply) => reply?.code === RCODES.unreadable)) return UNREADABLE;
  const code = replies.find((reply) => reply !== undefined && reply.code !== RCODES.noError)?.code;
  if (code !== undefined) return unsure(`the name server failed (${CODES[code] ?? code})`);
  const [isV6Said, isV4Said] = replies.map((reply) => reply !== undefined);
  if (isV6Said === isV4Said) return UNANSWERED;
  return unsure(
    `the name server knows no ${isV6Said ? "IPv6" : "IPv4"} address, and does not answer for ${
      isV6Said ? "IPv4" : "IPv6"
    }`,
  );
}

/** The servers in the order in which to ask them, over all attempts. */
function order({ servers, attempts, rotate }: ResolverConfig, port: number, turn: number): readonly Server[] {
  const first = rotate ? turn % servers.length : 0;
  const round = [...servers.slice(first), ...servers.slice(0, first)].map((address) => ({ address, port }));
  return Array.from({ length: attempts }, () => round).flat();
}

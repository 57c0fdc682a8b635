import type { LookupAddress } from "node:dns";
import { BlockList, isIP, isIPv4 } from "node:net";
import { withoutBrackets } from "../config/host_and_port.ts";

/**
 * IPv4 addresses that no public site has (IANA's registry of special-purpose addresses, RFC 6890).
 * They are: this network, private, shared (RFC 6598), loopback, and link-local (with the metadata
 * of most clouds). Further: protocol assignments, documentation, 6to4 relays, benchmarks,
 * multicast, reserved and broadcast. 168.63.129.16 is Azure's address in every machine.
 */
const PRIVATE_V4 = listOf("ipv4", [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"],
  ...["192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
  ...["224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"],
]);
/**
 * IPv6 addresses that sites may have: global unicast, without protocol assignments (Teredo among
 * them) and documentation.
 */
const GLOBAL_V6 = listOf("ipv6", ["2000::/3"]);
const PRIVATE_V6 = listOf("ipv6", ["2001::/23", "2001:db8::/32", "3fff::/20"]);
/**
 * IPv6 addresses that stand for an IPv4 address, and the 16-bit group where that begins: mapped,
 * translated (RFC 6052), 6to4.
 */
const EMBEDDING: readonly (readonly [BlockList, group: number])[] = [
  [listOf("ipv6", ["::ffff:0:0/96", "64:ff9b::/96"]), 6],
  [listOf("ipv6", ["2002::/16"]), 1],
];

/** True for an address that is not on the public Internet, however it is wrapped. */
export function isPrivateAddress(address: string): boolean {
  if (isIPv4(address)) return PRIVATE_V4.check(address, "ipv4");
  // A zone (fe80::1%eth0) belongs to link-local addresses only.
  if (address.includes("%")) return true;
  const embedding = EMBEDDING.find(([list]) => list.check(address, "ipv6"));
  if (embedding !== undefined) return isPrivateAddress(embeddedIn(address, embedding[1]));
  return !GLOBAL_V6.check(address, "ipv6") || PRIVATE_V6.check(address, "ipv6");
}

function listOf(family: "ipv4" | "ipv6", subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = "", prefix] = subnet.split("/");
    list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/** The IPv4 address that is two of the eight groups of an IPv6 address. */
function embeddedIn(address: string, group: number): string {
  const groups = groupsOf(address);
  return [groups[group], groups[group + 1]].flatMap((value = 0) => [value >> 8, value & 0xff]).join(".");
}

/** The address that a URL has as its host, or undefined where that is a name. */
export function literalAddress(hostname: string): LookupAddress | undefined {
  const address = withoutBrackets(hostname);
  const family = isIP(address);
  return family === 0 ? undefined : { address, family };
}

/** The eight groups of 16 bits that an IPv6 address has. */
export function groupsOf(address: string): readonly number[] {
  // The short form has no dots; `::` stands for as many zeros as are missing.
  const [before = "", after = ""] = shortForm(address).split("::");
  const [first, last] = [before, after].map((part) =>
    part === "" ? [] : part.split(":").map((text) => parseInt(text, 16))
  );
  const [head, tail] = [first ?? [], last ?? []];
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** An IPv6 address as a URL writes it: in groups, and as short as it can be. */
export function shortForm(address: string): string {
  return withoutBrackets(new URL(`http://[${address}]`).hostname);
}

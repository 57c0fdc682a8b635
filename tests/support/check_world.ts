import type { ResolverOptions } from "../../lib/net/resolver.ts";
import type { Certificates } from "./certificates.ts";
import type { World } from "./check_cases.ts";
import { PAGES } from "./check_pages.ts";
import { openUnresponsivePort } from "./unresponsive_port.ts";
import { type Answer, type NameServer, openNameServer } from "./name_server.ts";
import { namesFolder } from "./resolver_folder.ts";
import { answer, openSite, type Page, refusedPort, type Site } from "./site.ts";

/** Milliseconds that everything slow takes. */
const SLOW = 1000;

const page: Page = (socket, request) => {
  const found = PAGES[request.path.split("?")[0] ?? ""];
  if (found === undefined) socket.end(answer("404 Not Found"));
  else found(socket, request);
};

/** All sites that the cases need. */
async function openSites(certificates: Certificates) {
  return {
    http: await openSite(page),
    ipv6: await openSite(page, { address: "::1" }),
    otherOrigin: await openSite(page),
    dualStack: await openSite(page),
    closesAtOnce: await openSite(page, { onAccept: (socket) => !!socket.end() }),
    speaksFirst: await openSite(page, { onAccept: (socket) => socket.write("SSH-2.0-Test\r\n") }),
    speaksPlainly: await openSite(page, {
      onAccept: (socket) => !!socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
    }),
    tls: await openSite(page, { identity: certificates.good }),
    tlsNamed: await openSite(page, { identity: certificates.named }),
    tlsSlow: await openSite(page, { identity: certificates.good, handshakeDelay: SLOW }),
    tlsWithRoot: await openSite(page, { identity: certificates.withRoot }),
    tlsWithoutIntermediate: await openSite(page, { identity: certificates.withoutIntermediate }),
    tlsExpired: await openSite(page, { identity: certificates.expired }),
    tlsNotYetValid: await openSite(page, { identity: certificates.notYetValid }),
    tlsOtherName: await openSite(page, { identity: certificates.otherName }),
    tlsSelfSigned: await openSite(page, { identity: certificates.selfSigned }),
    tlsNoNames: await openSite(page, { identity: certificates.noNames }),
    tlsAddressAsName: await openSite(page, { identity: certificates.addressAsName }),
    tlsVersionOne: await openSite(page, { identity: certificates.versionOne }),
    tlsSha1: await openSite(page, { identity: certificates.sha1 }),
    tlsSha1Intermediate: await openSite(page, { identity: certificates.sha1Intermediate }),
    tlsShortIntermediate: await openSite(page, { identity: certificates.shortIntermediate }),
    tlsForClients: await openSite(page, { identity: certificates.forClients }),
    tlsForSigning: await openSite(page, { identity: certificates.forSigning }),
    tlsMailIntermediate: await openSite(page, { identity: certificates.mailIntermediate }),
    tlsNoAuthority: await openSite(page, { identity: certificates.noAuthority }),
    tlsOutsideConstraints: await openSite(page, { identity: certificates.outsideConstraints }),
    tlsStrangeExtension: await openSite(page, { identity: certificates.strangeExtension }),
    tlsExpiredIntermediate: await openSite(page, { identity: certificates.expiredIntermediate }),
    tlsBelowOldRoot: await openSite(page, { identity: certificates.belowOldRoot }),
    tlsAuthorityAsServer: await openSite(page, { identity: certificates.authorityAsServer }),
    tlsTrustedSelf: await openSite(page, { identity: certificates.trustedSelf }),
    tlsTrustedAuthority: await openSite(page, { identity: certificates.trustedAuthority }),
    tlsRenewedIntermediate: await openSite(page, { identity: certificates.renewedIntermediate }),
    tlsLeftover: await openSite(page, { identity: certificates.leftover }),
    tlsRsa: await openSite(page, { identity: certificates.rsa }),
    tlsWildcard: await openSite(page, { identity: certificates.wildcard("*.Wild.test") }),
    tlsWildTop: await openSite(page, { identity: certificates.wildcard("*.test") }),
    tlsWildPart: await openSite(page, { identity: certificates.wildcard("dee*.wild.test") }),
    tlsManyCertificates: await openSite(page, { identity: certificates.long(33) }),
    tlsEnoughCertificates: await openSite(page, { identity: certificates.long(32) }),
    tlsEndlessCertificates: await openSite(page, { identity: certificates.long(400) }),
    tlsShortKey: await openSite(page, { identity: certificates.shortKey }),
    tlsSilent: await openSite(page, { onAccept: () => true }),
  };
}

/** The answers of the name server for names in .test. No other name exists. */
function zoneOf(resumeLateAccept: () => void) {
  const local = { addresses: ["127.0.0.1"] };
  let rebound = 0;
  const names: Record<string, (type: string) => Answer | null | Promise<Answer | null>> = {
    "named.test": () => local,
    "xn--mnchen-3ya.test": () => local,
    "short.inside.test": () => local,
    "wild.test": () => local,
    "deep.wild.test": () => local,
    "very.deep.wild.test": () => local,
    "alias.test": () => ({ ...local, alias: "named.test" }),
    "many.test": () => ({ ...local, isTruncated: true }),
    "v4-only.test": (type) => type === "A" ? local : null,
    "dual.test": () => ({ addresses: ["::1", "127.0.0.1"] }),
    "mail-only.test": () => ({}),
    "broken.test": () => ({ code: 2 }),
    "silent.test": () => null,
    "slow.test": () => new Promise((resolve) => setTimeout(resolve, SLOW, local)),
    "late-accept.test": (type) => {
      // The client tries the connection at once, and again a second later.
      if (type === "A") setTimeout(resumeLateAccept, SLOW);
      return local;
    },
    // The first answer is a public address (that of the case). All later ones are private.
    "rebinds.test": (type) => type === "A" ? { addresses: [rebound++ === 0 ? "127.0.0.1" : "127.0.0.2"] } : {},
    "partly-private.test": () => ({ addresses: ["127.0.0.2", "127.0.0.1"] }),
  };
  return (name: string, type: string) => names[name.toLowerCase()]?.(type) ?? (name in names ? null : { code: 3 });
}

/** The servers of all cases. */
export interface CheckWorld extends AsyncDisposable {
  readonly sites: Readonly<Record<string, Site>> & Awaited<ReturnType<typeof openSites>>;
  readonly places: World;
  readonly nameServer: NameServer;
  readonly names: ResolverOptions;
}

export async function openWorld(certificates: Certificates): Promise<CheckWorld> {
  const stack = new AsyncDisposableStack();
  const sites = await openSites(certificates);
  for (const site of Object.values(sites)) stack.use(site);
  const port = stack.use(await openUnresponsivePort("127.0.0.1"));
  const lateAccept = stack.use(await openUnresponsivePort("127.0.0.1"));
  stack.use(await openUnresponsivePort("::1", sites.dualStack.port));
  const nameServer = stack.use(await openNameServer(zoneOf(() => lateAccept.listen())));
  const folder = stack.use(namesFolder({
    hosts: "127.0.0.1 localhost\n127.0.0.1 Listed.test # a name of this machine's own\n",
    resolver: "nameserver 127.0.0.1\nsearch inside.test\n",
  }));
  const names = { ...folder.paths, port: nameServer.port };
  const placed = Object.entries(sites).map(([name, site]) => {
    const host = name.startsWith("tls") ? "localhost" : name === "ipv6" ? "[::1]" : "127.0.0.1";
    return [name, `${host}:${site.port}`];
  });
  const places = {
    ...Object.fromEntries(placed),
    deaf: `127.0.0.1:${port.port}`,
    lateAccept: `127.0.0.1:${lateAccept.port}`,
    refused: `127.0.0.1:${await refusedPort()}`,
  } as World;
  return { sites, places, nameServer, names, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

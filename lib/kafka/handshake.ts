import { X509Certificate } from "node:crypto";
import { addAbortListener } from "node:events";
import { isIP } from "node:net";
import { connect, type ConnectionOptions, type DetailedPeerCertificate, type TLSSocket } from "node:tls";
import { day } from "../net/certificates.ts";
import { systemAuthorities } from "../net/system_authorities.ts";
import type { KafkaOptions } from "./kafka.ts";
import { refusedTls, type RefusedTlsError } from "./setup_errors.ts";

/** Milliseconds that a broker may take for a handshake and a first answer. */
const LIMIT = 5_000;

/**
 * "Which versions do you speak?" (key 18, version 0), which a broker answers before anybody has
 * logged in.
 */
const QUESTION = Uint8Array.of(0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255);

/** Why a handshake failed, and what to look at. */
interface TlsRefusal {
  readonly detail: string;
  readonly advice?: string;
}

/**
 * Why TLS with a broker cannot be agreed on, or null where nothing speaks against it. It makes a
 * handshake of its own with the same certificates, since the libraries do not tell the cause. One
 * has the same words for everything. The other says nothing of alerts that come after the
 * handshake, as in TLS 1.3.
 */
export async function findRefusal(options: KafkaOptions, signal: AbortSignal): Promise<RefusedTlsError | null> {
  const { tls, bootstrapServers } = options;
  if (tls === undefined) return null;
  const { ca = systemAuthorities(), key, cert } = tls;
  const material = { ca, ...key !== undefined && { key }, ...cert !== undefined && { cert } };
  const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT)]);
  const refusals = await Promise.all(bootstrapServers.map((server) => shakeHands(server, material, limit)));
  const at = refusals.findIndex((refusal) => refusal !== null);
  const refusal = refusals[at];
  if (!refusal) return null;
  return refusedTls(`${bootstrapServers[at]}: ${refusal.detail}`, refusal.advice);
}

/** Accepts any certificate in the handshake, to look at it. A stranger hears nothing more. */
function shakeHands(server: string, material: ConnectionOptions, signal: AbortSignal): Promise<TlsRefusal | null> {
  const { hostname, port } = new URL(`kafka://${server}`);
  const host = hostname.replace(/^\[|\]$/g, "");
  const name = isIP(host) === 0 ? { servername: host } : {};
  const socket = connect({ ...material, ...name, host, port: Number(port), rejectUnauthorized: false });
  return new Promise((resolve) => {
    const listener = addAbortListener(signal, () => end(null));
    const end = (refusal: TlsRefusal | null) => {
      listener[Symbol.dispose]();
      socket.destroy();
      resolve(refusal);
    };
    socket.once("secureConnect", () => {
      if (socket.authorized) socket.write(QUESTION);
      else end(judge(socket, host, String(material.ca)));
    });
    socket.once("data", () => end(null));
    socket.on("error", (error) => end(alertOf(error, material.cert !== undefined)));
    socket.once("close", () => end(null));
  });
}

/**
 * What is wrong with a broker's certificate that a client's library has refused. The dates come
 * first, since Deno has no code of its own for them. The judge of checks would not do: it refuses
 * certificates that these libraries take, such as one with a common name only.
 */
function judge(socket: TLSSocket, host: string, ca: string): TlsRefusal {
  const code = String(socket.authorizationError);
  const chain = sentChain(socket);
  if (chain.length === 0) return { detail: "its certificate cannot be read", advice: OTHER };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = chain[0]?.subjectaltname?.replaceAll(/DNS:|IP Address:/g, "") ?? "nobody";
    return { detail: `its certificate is not for ${host}, but for ${names}`, advice: NAME };
  }
  const now = Date.now();
  const expired = chain.map(({ valid_to }) => new Date(valid_to)).find((date) => date.getTime() < now);
  if (expired !== undefined) return { detail: `its certificate expired on ${day(expired)}`, advice: DATE };
  const early = chain.map(({ valid_from }) => new Date(valid_from)).find((date) => date.getTime() > now);
  if (early !== undefined) return { detail: `its certificate is not valid before ${day(early)}`, advice: DATE };
  return isSignedByOne(chain, ca)
    ? { detail: "its certificate is refused, though a CA that is trusted here signed it", advice: OTHER }
    : { detail: "its certificate is of another CA than those that are trusted here", advice: AUTHORITY };
}

/** True where one of the authorities in `ca` (PEM) has signed a certificate of the chain. */
function isSignedByOne(chain: readonly DetailedPeerCertificate[], ca: string): boolean {
  const authorities = ca.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    const sent = chain.map(({ raw }) => new X509Certificate(raw));
    // Deno adds an authority to the chain that merely has the issuer's name.
    const hasSigned = (authority: X509Certificate) =>
      sent.some((one) =>
        !one.raw.equals(authority.raw) && one.checkIssued(authority) && one.verify(authority.publicKey)
      );
    return authorities.some((pem) => hasSigned(new X509Certificate(pem)));
  } catch {
    // A key or a certificate that the runtime cannot read.
    return false;
  }
}

/** The certificates that the broker sent; none where the runtime cannot read one of them. */
function sentChain(socket: TLSSocket): readonly DetailedPeerCertificate[] {
  const chain = new Set<DetailedPeerCertificate>();
  try {
    // A root names itself as its issuer.
    for (
      let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
      next?.valid_to !== undefined && !chain.has(next);
      next = next.issuerCertificate
    ) chain.add(next);
  } catch {
    // Deno throws. In a listener of an event that would end the process.
  }
  return [...chain];
}

/**
 * What a broker says of our certificate; null for an error that is not of TLS: a broker that ends,
 * say.
 */
function alertOf(error: NodeJS.ErrnoException, hasCertificate: boolean): TlsRefusal | null {
  const { code = "", message } = error;
  if (!/^(?:ERR_SSL_|EPROTO)/.test(code) && !/received fatal alert/.test(message)) return null;
  // The runtimes name another version of the protocol with the same alert.
  const said = /^ERR_SSL_(?:.*_ALERT_)?(.+)$/.exec(code)?.[1]?.toLowerCase().replaceAll("_", " ") ?? message;
  // Without a certificate Java says only "bad certificate" or, under TLS 1.2, "handshake failure".
  if (!hasCertificate && /certificate|handshake.?failure/i.test(said)) {
    return { detail: "it wants a client certificate", advice: OWN };
  }
  return /certificate|unknown.?ca/i.test(said)
    ? { detail: `it refuses our certificate (${said})`, advice: `${OWN}, of a CA that the broker trusts` }
    : { detail: said };
}

const NAME = "write a name that the certificate has into --kafka-bootstrap-servers (KAFKA_BOOTSTRAP_SERVERS)";
const DATE = "the broker needs a new one, unless this machine's clock is wrong";
const AUTHORITY = "name the CA that signed it in --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE)";
const OTHER =
  "look at its key, its digest and what it is for (openssl x509 -noout -text): the broker needs another one";
const OWN =
  "name one in --kafka-ssl-cert-file (KAFKA_SSL_CERT_FILE), and its key in --kafka-ssl-key-file (KAFKA_SSL_KEY_FILE)";

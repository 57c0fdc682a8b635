import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect, createSecureContext } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import type { DetailedPeerCertificate, SecureContext, TLSSocket } from "node:tls";
import { codeOf, Failure } from "./failure.ts";
import { literalAddress } from "./resolve.ts";
import { wait } from "./wait.ts";

/** What came of a handshake. */
export interface Secured {
  /** The connection, or why there is none. */
  readonly outcome: TLSSocket | Failure;
  /** The earliest expiry in the chain that the server sent; null where it sent none. */
  readonly expiresAt: Date | null;
}

const onDeno = "Deno" in globalThis;

/**
 * Key exchanges that are offered; every server knows one of these. Node's own choice has a post-quantum one in front, which takes
 * 140 µs of CPU more a check, and a first message of two packets that some middleboxes drop. Deno does not read this.
 */
const GROUPS = "X25519:P-256:P-384:P-521";

/** Shared by all checks: a context of its own would cost each check more than the rest of it. */
const trusted = fullHandshakes(createSecureContext({ ecdhCurve: GROUPS }));

/**
 * TLS over `socket`, with the chain checked against the system's trust and the name against `hostname`. The handshake is let
 * through whatever certificate comes, so that its expiry is known; nothing is sent before the certificate has been judged.
 */
export function secure(socket: Socket, hostname: string, signal: AbortSignal): Promise<Secured> {
  return wait(signal, (done) => {
    const name = hostname.replace(/\.$/, "");
    const address = literalAddress(name)?.address;
    const tls = connect({
      socket,
      // An address is no server name (RFC 6066, section 3), but the certificate has to name it all the same.
      ...(address === undefined ? { servername: name } : { host: address }),
      ALPNProtocols: ["http/1.1"],
      secureContext: trusted,
      rejectUnauthorized: false,
    });
    const refuse = (detail: string, expiresAt: Date | null = null) => {
      tls.destroy();
      socket.destroy();
      done({ outcome: new Failure("tls", detail), expiresAt });
    };
    tls.once("secureConnect", () => {
      const chain = sentChain(tls);
      const expiresAt = earliest(chain);
      if (tls.authorized === true) done({ outcome: tls, expiresAt });
      else refuse(explainCertificate(tls, chain, address ?? name), expiresAt);
    });
    tls.on("error", (error) => refuse(explainHandshake(error)));
    tls.once("close", () => refuse(CLOSED));
    return () => {
      tls.destroy();
      socket.destroy();
    };
  });
}

/**
 * Deno resumes TLS sessions of its own accord, which measures no handshake and, worse, skips the check of the certificate. It does
 * not where a context has certificates of its own; this text holds none, so nothing more is trusted.
 */
function fullHandshakes(context: SecureContext): SecureContext {
  if (onDeno) context.context.addCACert("no certificate");
  return context;
}

interface Certificate {
  readonly from: Date;
  readonly to: Date;
  /** Whom it is for, as `DNS:a.example, IP Address:192.0.2.1`. */
  readonly names: string | undefined;
  /** True for one that signed itself: a root, or a server's that stands alone. */
  readonly isSelfSigned: boolean;
}

/**
 * The chain as it was sent. Each runtime tells it in one place only: Node's `getPeerCertificate` adds the root it found on this
 * machine, Deno's `getPeerX509Certificate` ends after two.
 */
function sentChain(tls: TLSSocket): readonly Certificate[] {
  const chain: Certificate[] = [];
  if (onDeno) {
    const seen = new Set<DetailedPeerCertificate>();
    let next: DetailedPeerCertificate | undefined = tls.getPeerCertificate(true);
    // A root names itself as its issuer.
    for (; next?.valid_to !== undefined && !seen.has(next); next = next.issuerCertificate) {
      seen.add(next);
      const isSelfSigned = isDeepStrictEqual(next.issuer, next.subject);
      chain.push({
        from: new Date(next.valid_from),
        to: new Date(next.valid_to),
        names: next.subjectaltname,
        isSelfSigned,
      });
    }
  } else {
    let next: X509Certificate | undefined = tls.getPeerX509Certificate();
    for (; next !== undefined; next = next.issuerCertificate) {
      const isSelfSigned = next.issuer === next.subject;
      chain.push({ from: next.validFromDate, to: next.validToDate, names: next.subjectAltName, isSelfSigned });
    }
  }
  return chain;
}

function earliest(chain: readonly Certificate[]): Date | null {
  const time = Math.min(...chain.map(({ to }) => to.getTime()));
  return Number.isFinite(time) ? new Date(time) : null;
}

/** What is wrong with a certificate, the same words on both runtimes: Deno has no code of its own for one that expired. */
function explainCertificate(tls: TLSSocket, chain: readonly Certificate[], host: string): string {
  // A code, whatever its type says. Names are looked at last: where they are wrong, all else is right.
  const code = String(tls.authorizationError);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `certificate is not for ${host}${namesOf(chain)}`;
  const now = Date.now();
  if (chain.some(({ to }) => to.getTime() < now)) return "certificate has expired";
  if (chain.some(({ from }) => from.getTime() > now)) return "certificate is not yet valid";
  // Deno knows one code for all of these.
  const isRootSent = chain.length > 1 && chain.at(-1)?.isSelfSigned === true;
  const reason = isRootSent && CERTIFICATE_REASONS[code] === UNKNOWN_ISSUER ? UNTRUSTED : CERTIFICATE_REASONS[code];
  return reason ?? `certificate is refused (${code})`;
}

const UNKNOWN_ISSUER = "certificate's issuer is not known, or an intermediate certificate is missing";
const UNTRUSTED = "certificate's issuer is not trusted";
const CERTIFICATE_REASONS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_ISSUER,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_ISSUER,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_ISSUER,
};

function namesOf(chain: readonly Certificate[]): string {
  const names = chain[0]?.names?.replaceAll(/DNS:|IP Address:/g, "");
  return names === undefined ? "" : ` (it is for ${names})`;
}

/** What comes of a server that speaks plain HTTP. */
export const NOT_TLS = "the answer is not TLS";
const CLOSED = "connection was closed during the TLS handshake";

function explainHandshake(error: Error): string {
  const code = codeOf(error);
  if (code === "ECONNRESET" || code === "EPIPE") return CLOSED;
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code)) return NOT_TLS;
  const reason = /^ERR_SSL_(.+)$/.exec(code)?.[1];
  return explainAlert(error) ?? `TLS handshake failed: ${reason?.toLowerCase().replaceAll("_", " ") ?? error.message}`;
}

/**
 * Why a server ended TLS, in the protocol's word for it (RFC 8446, section 6); null where an error is no alert. With TLS 1.3 it may come
 * behind the handshake: only then a server looks at the certificate that it wants of a client.
 */
export function explainAlert(error: Error): string | null {
  const onNode = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)$/.exec(codeOf(error))?.[1];
  const onDeno = /received fatal alert: (\w+)/.exec(error.message)?.[1]?.replaceAll(/([a-z])([A-Z])/g, "$1_$2");
  const name = (onNode ?? onDeno)?.toLowerCase().replace("unrecognised", "unrecognized");
  return name === undefined ? null : `the server refuses the TLS connection: ${name}`;
}

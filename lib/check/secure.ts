import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect, createSecureContext, DEFAULT_CIPHERS } from "node:tls";
import type { DetailedPeerCertificate, SecureContext, TLSSocket } from "node:tls";
import { wait } from "../async/waits.ts";
import { literalAddress } from "../net/ip_address.ts";
import type { KeyMaterial } from "../net/tls.ts";
import { codeOf, Failure } from "./failure.ts";
import { type CertificateJudge, TOO_LONG_CHAIN } from "./judgement.ts";
import { TlsRecords, WatchedSocket } from "./tls_records.ts";

/** What a TLS connection is made with, and who judges the server's certificates. */
export interface Trust {
  readonly context: SecureContext;
  readonly certificates: CertificateJudge;
  /** The name to ask for and to find in the certificate; null: that of the URL. */
  readonly name: string | null;
  /** False: any certificate is taken. */
  readonly isVerified: boolean;
}

/** The outcome of a handshake. */
export interface Secured {
  /** The connection, or the reason why there is none. */
  readonly outcome: TLSSocket | Failure;
  /**
   * The earliest expiry on the path that was verified. Where none was, the earliest of the
   * certificates that the server sent. Null where it sent none.
   */
  readonly expiresAt: Date | null;
}

const onDeno = "Deno" in globalThis;

/**
 * The key exchanges that are offered; every server knows one of these. Node's own choice begins
 * with a post-quantum one. That takes 140 µs more CPU a check, and a first message of two packets,
 * which some middleboxes drop. Deno does not read this.
 */
const GROUPS = "X25519:P-256:P-384:P-521";

/**
 * Node's own choice without DHE, where the server chooses the numbers: one of 10,000 bits takes a
 * second of CPU. Browsers have no DHE either. Deno has none, and does not read this.
 */
const CIPHERS = `${DEFAULT_CIPHERS}:!DHE`;

/** A context with these certificates and keys, else with those that the runtime trusts. */
export function checkContext(material: KeyMaterial): SecureContext {
  return fullHandshakes(createSecureContext({ ...material, ecdhCurve: GROUPS, ciphers: CIPHERS }));
}

/**
 * TLS over `socket`. The chain is checked against `trust`, and the name against that of `trust` or
 * else against `hostname`. The handshake passes with any certificate, so that the expiry is known.
 * Nothing is sent before the certificate has been judged.
 */
export function secure(
  socket: Socket,
  hostname: string,
  trust: Trust,
  signal: AbortSignal,
): Promise<Secured> {
  return wait(signal, (done) => {
    const name = (trust.name ?? hostname).replace(/\.$/, "");
    const address = literalAddress(name)?.address;
    const records = new TlsRecords();
    const watched = new WatchedSocket(socket, (piece) => {
      const excess = records.take(piece, tls.readableDidRead);
      if (excess !== null) tls.destroy(new BoundError(excess));
      return excess === null;
    });
    const connection = connect({
      socket: watched,
      // An address is no server name (RFC 6066, section 3), but the certificate has to name it all
      // the same.
      ...(address === undefined ? { servername: name } : { host: address }),
      ALPNProtocols: ["http/1.1"],
      secureContext: trust.context,
      rejectUnauthorized: false,
      // Names are compared by a rule of our own, the same on both runtimes.
      checkServerIdentity: () => undefined,
    });
    const tls = onDeno ? withoutThrowing(connection) : withoutDescription(connection);
    const refuse = (detail: string, expiresAt: Date | null = null) => {
      tls.destroy();
      socket.destroy();
      done({ outcome: new Failure("tls", detail), expiresAt });
    };
    tls.once("secureConnect", () => {
      records.endHandshake();
      // A code, though its type says otherwise.
      const code = String(tls.authorizationError);
      // Deno has one code for most faults, and its name is seldom right.
      const words = onDeno ? "Deno's TLS does not say why" : code;
      const verdict = { isTrusted: tls.authorized === true, code, words };
      const { reason, expiresAt } = trust.certificates.judge(sentChain(tls), address ?? name, verdict);
      if (reason === null || !trust.isVerified) done({ outcome: tls, expiresAt });
      else refuse(reason, expiresAt);
    });
    tls.on("error", (error) => {
      // After the handshake the error is for the user of the connection, and may come before there
      // is one.
      tls.destroy(error);
      refuse(explainHandshake(error));
    });
    tls.once("close", () => refuse(CLOSED));
    return () => {
      tls.destroy();
      socket.destroy();
    };
  });
}

/**
 * Deno resumes TLS sessions by itself. That measures no handshake and, worse, skips the check of
 * the certificate. It does not do so where a context has certificates of its own. This text holds
 * none, so nothing more is trusted.
 */
function fullHandshakes(context: SecureContext): SecureContext {
  if (onDeno) context.context.addCACert("no certificate");
  return context;
}

/**
 * Deno throws where it cannot read one of a server's certificates. It asks for them itself when it
 * trusts the server's own. In that handler the error would end the process. Any site could send
 * such a certificate beside its good path.
 */
function withoutThrowing(tls: TLSSocket): TLSSocket {
  const ask = tls.getPeerCertificate.bind(tls) as (detailed?: boolean) => DetailedPeerCertificate;
  const tell = (detailed?: boolean) => {
    // The server's own by itself, where that can be read.
    for (const isDetailed of [detailed, false]) {
      try {
        return ask(isDetailed);
      } catch {
        // The other way, or none.
      }
    }
    return {};
  };
  return Object.assign(tls, { getPeerCertificate: tell });
}

/**
 * Node describes each certificate before it asks `checkServerIdentity`, which reads none of it
 * here. That takes one twentieth of a check's CPU time.
 */
function withoutDescription(tls: TLSSocket): TLSSocket {
  return Object.assign(tls, { getPeerCertificate: () => ({}) });
}

/**
 * The certificates as they were sent, the server's own first. Each runtime gives them in one place
 * only. Node's `getPeerCertificate` adds the root that it found on this machine. Deno's
 * `getPeerX509Certificate` ends after two. Where Deno cannot read all of them, it gives the
 * server's own or none.
 */
function sentChain(tls: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  if (onDeno) {
    const seen = new Set<DetailedPeerCertificate>();
    let next: DetailedPeerCertificate | undefined = tls.getPeerCertificate(true);
    // A root names itself as its issuer.
    for (; next?.raw !== undefined && !seen.has(next); next = next.issuerCertificate) {
      seen.add(next);
      chain.push(Buffer.from(next.raw));
    }
  } else {
    let next: X509Certificate | undefined = tls.getPeerX509Certificate();
    for (; next !== undefined; next = next.issuerCertificate) chain.push(next.raw);
  }
  return chain;
}

/** A server sends more TLS than is tolerated. */
class BoundError extends Error {
  override name = "BoundError";
}

/** The failure of a server that speaks plain HTTP. */
export const NOT_TLS = "the answer is not TLS";
const CLOSED = "connection was closed during the TLS handshake";

function explainHandshake(error: Error): string {
  if (error instanceof BoundError) return error.message;
  const code = codeOf(error);
  if (code === "ECONNRESET" || code === "EPIPE" || /received fatal alert: CloseNotify/.test(error.message)) {
    return CLOSED;
  }
  // The longest message of a handshake is the one with the certificates.
  if (/EXCESSIVE_MESSAGE_SIZE/.test(code) || /PayloadTooLarge/.test(error.message)) return TOO_LONG_CHAIN;
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code)) return NOT_TLS;
  if (onDeno && OF_CERTIFICATE.test(code)) return DENO_UNREADABLE;
  const reason = /^ERR_SSL_(.+)$/.exec(code)?.[1];
  const words = onDeno ? error.message : reason?.toLowerCase().replaceAll("_", " ") ?? error.message;
  return explainAlert(error, false) ?? `TLS handshake failed: ${words}`;
}

/**
 * Deno's codes for certificates. With one of them the handshake ends where Deno cannot read the
 * server's certificate, or use its key. The code is that of another fault where the chain has one,
 * and the certificate is not shown.
 */
const OF_CERTIFICATE = /^(?:UNABLE_|CERT_|DEPTH_|SELF_SIGNED_|INVALID_PURPOSE$)/;
const DENO_UNREADABLE =
  "certificate cannot be used by Deno's TLS: its key is none of RSA of 2048 to 8192 bits, P-256, P-384, " +
  "P-521 and Ed25519, or it has a critical extension that is not known";

/** Alerts that may mean a limit of this side, and the other causes. */
const UNFIT = /^(?:handshake_failure|insufficient_security)$/;
const UNFIT_REASONS = `no cipher in common, or it wants a client certificate${
  onDeno ? "; Deno's TLS has no CBC ciphers, no RSA key exchange and no P-521 key exchange, Node has" : ""
}`;

/**
 * Why a server refuses TLS, in the protocol's words (RFC 8446, section 6); null where an error is
 * no alert. After the first handshake the server may want another one, as IIS does to ask for a
 * client certificate.
 */
function explainAlert(error: Error, isBehind: boolean): string | null {
  const name = alertIn(error);
  if (name === null) return null;
  const reasons = isBehind ? SECOND_HANDSHAKE : UNFIT_REASONS;
  return `the server refuses the TLS connection: ${name}${UNFIT.test(name) && reasons !== null ? ` (${reasons})` : ""}`;
}

const SECOND_HANDSHAKE = onDeno ? "it may want to renegotiate, which Deno's TLS cannot, Node's can" : null;

/**
 * The fault of TLS on a connection in use; null where an error is not of TLS. With TLS 1.3 a
 * refusal may come only then. A server looks at the client's certificate when the handshake has
 * ended on this side.
 */
export function explainTls(error: Error): string | null {
  if (error instanceof BoundError) return error.message;
  const alert = explainAlert(error, true);
  const code = /^ERR_SSL_(.+)$/.exec(codeOf(error))?.[1];
  if (alert !== null || code === undefined || code.includes("UNEXPECTED_EOF")) return alert;
  // Deno has one code for many errors, so its words count.
  return `TLS failed: ${onDeno ? error.message : code.toLowerCase().replaceAll("_", " ")}`;
}

/**
 * Deno's codes stand for several alerts and for other errors, so its words count. Where it has no
 * words either, they hold the number.
 */
function alertIn(error: Error): string | null {
  const said = /received fatal alert: (?:AlertDescription\((0x\w+)\)|(\w+))/.exec(error.message);
  if (said?.[1] !== undefined) return `alert ${Number(said[1])}`;
  const words = said?.[2]?.replaceAll(/([a-z])([A-Z])|([A-Z])([A-Z][a-z])/g, "$1$3_$2$4");
  const code = /^ERR_SSL_(?:SSL\/TLS|SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(.+)$/.exec(codeOf(error))?.[1];
  const name = (onDeno ? words : code)?.toLowerCase();
  return name?.replace("unrecognised", "unrecognized").replace("cancelled", "canceled") ?? null;
}

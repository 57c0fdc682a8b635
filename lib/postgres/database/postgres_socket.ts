import { addAbortListener, once } from "node:events";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { SslMode } from "../../config/setting_types.ts";
import { isConnectionLoss, SetupError } from "../database.ts";

/** The address of a server, and how far to trust the way there. */
export interface PostgresAddress {
  /** A name, an address, or the folder of a Unix socket (it starts with `/`). */
  readonly host: string;
  readonly port: number;
  readonly sslMode: SslMode;
  /** The trusted certificates, as PEM text; null: those of the system. */
  readonly ca: string | null;
  /** The file that they come from, for a person; null or absent: none. */
  readonly sslCaFile?: string | null;
}

/**
 * Follows the place in each message about a failed connection: the settings to change if it is the
 * wrong place.
 */
export const SETTINGS_OF_PLACE = "(DB_HOST, DB_PORT)";

/** "I would like TLS", said before the first message of the protocol. */
const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47);
const YES = "S".charCodeAt(0);
const NO = "N".charCodeAt(0);

/**
 * Opens a connection on which the protocol can begin. postgres.js would do it too, but with faults.
 * It goes on with TLS if the server has none. It trusts any certificate under `require` even if a
 * CA is given. It tries for ever if the server closes in between. Throws `SetupError` for a fault
 * that waiting cannot mend. `signal` destroys what has been opened.
 */
export async function openSocket(address: PostgresAddress, signal: AbortSignal): Promise<Socket> {
  const path = address.host.startsWith("/") ? `${address.host}/.s.PGSQL.${address.port}` : null;
  const socket = path === null ? connect({ host: address.host, port: address.port, noDelay: true }) : connect(path);
  using _abort = addAbortListener(signal, () => socket.destroy());
  try {
    await connected(socket, path ?? `${address.host}:${address.port}`, signal);
    // As in libpq: a Unix socket does not leave the machine, and no server offers TLS on it.
    return path === null && address.sslMode !== "disable" ? await secure(socket, address, signal) : socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function connected(socket: Socket, where: string, signal: AbortSignal): Promise<void> {
  try {
    await once(socket, "connect", { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    // If a name has several addresses, the error has no message, only the code of the last one.
    throw Object.assign(
      new Error(`Cannot connect to PostgreSQL at ${where} ${SETTINGS_OF_PLACE}: ${code ?? message}`, { cause: error }),
      {
        code,
      },
    );
  }
}

async function secure(socket: Socket, address: PostgresAddress, signal: AbortSignal): Promise<Socket> {
  socket.write(SSL_REQUEST);
  const answer = await firstAnswer(socket, `${address.host}:${address.port}`, signal);
  // Bytes behind the answer come from somebody in between, who wants them taken for the server's
  // (CVE-2021-23222).
  if (answer.length === 1 && answer[0] === YES) return await handshake(socket, address, signal);
  if (answer.length !== 1 || answer[0] !== NO) {
    throw new SetupError(
      `${address.host}:${address.port} does not answer as PostgreSQL does: check DB_HOST and DB_PORT`,
    );
  }
  if (address.sslMode === "prefer") return socket;
  throw new SetupError(
    `PostgreSQL at ${address.host}:${address.port} offers no TLS, and DB_SSL_MODE is ${address.sslMode}: ` +
      `switch TLS on at the server, or set DB_SSL_MODE (--db-ssl-mode) to prefer or disable`,
  );
}

async function firstAnswer(socket: Socket, where: string, signal: AbortSignal): Promise<Uint8Array> {
  const closed = new AbortController();
  const onClose = () => closed.abort();
  socket.once("close", onClose);
  try {
    const [answer] = await once(socket, "data", { signal: AbortSignal.any([signal, closed.signal]) });
    return answer;
  } catch (error) {
    if (!closed.signal.aborted || signal.aborted) throw error;
    const message = `PostgreSQL at ${where} ${SETTINGS_OF_PLACE} closed the connection before it began`;
    throw Object.assign(new Error(message), { code: "ECONNRESET" });
  } finally {
    socket.off("close", onClose);
  }
}

async function handshake(socket: Socket, address: PostgresAddress, signal: AbortSignal): Promise<TLSSocket> {
  // From here on the TLS socket tells of failures. Told by both sockets, a failure would end the
  // process.
  socket.on("error", () => {});
  const tls = connectTls({ socket, ...verification(address) });
  try {
    await once(tls, "secureConnect", { signal });
    return tls;
  } catch (error) {
    tls.destroy();
    if (signal.aborted || isConnectionLoss(error)) throw error;
    throw refused(error, address);
  }
}

/**
 * How to check the server's certificate. It is compared with `host`; the server is told
 * `servername`.
 */
function verification({ host, sslMode, ca }: PostgresAddress): ConnectionOptions {
  const name: ConnectionOptions = isIP(host) === 0 ? { host, servername: host } : { host };
  const trust: ConnectionOptions = ca === null ? name : { ...name, ca };
  if (sslMode === "verify-full") return trust;
  // As in libpq: if trusted certificates are given, `require` checks them as `verify-ca` does.
  const checksChain = sslMode === "verify-ca" || (sslMode === "require" && ca !== null);
  return checksChain ? { ...trust, checkServerIdentity: () => undefined } : { ...name, rejectUnauthorized: false };
}

function refused(error: unknown, address: PostgresAddress): SetupError {
  const { host, port, sslMode } = address;
  const { message } = error as NodeJS.ErrnoException;
  const advice = adviceFor(error as NodeJS.ErrnoException, address);
  // Node adds a flag to start it with, which is not the remedy here.
  const [why] = message.split("; if the root CA is installed locally");
  const text = `The certificate of PostgreSQL at ${host}:${port} is refused (DB_SSL_MODE is ${sslMode}): ${why}`;
  return new SetupError(`${text}; ${advice}`, { cause: error });
}

function adviceFor({ code, message }: NodeJS.ErrnoException, { sslCaFile }: PostgresAddress): string {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return "connect by a name that the certificate holds (DB_HOST), or set DB_SSL_MODE to verify-ca";
  }
  // Node says so by a code, Deno in words.
  if (code === "CERT_HAS_EXPIRED" || /expired/i.test(message)) return "renew the server's certificate";
  return sslCaFile === null || sslCaFile === undefined
    ? "name the CA that signed it in DB_SSL_CA_FILE (--db-ssl-ca-file)"
    : `the CA in ${sslCaFile} did not sign it: name the one that did in DB_SSL_CA_FILE (--db-ssl-ca-file)`;
}

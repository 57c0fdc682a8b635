import { createServer, type Server } from "node:tls";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openssl } from "../../tools/kafka/certificates.ts";

/** Certificates of a small authority. OpenSSL makes them in a folder. */
export class Authority {
  readonly #folder: string;
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  write(name: string, content: string | Uint8Array): string {
    const path = this.path(name);
    writeFileSync(path, content);
    return path;
  }

  /** A key of `openssl genpkey`, as `NAME.key`. */
  async key(name: string, ...kind: string[]): Promise<string> {
    const of = kind.length > 0 ? kind : ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    await openssl("genpkey", "-algorithm", ...of, "-out", this.path(`${name}.key`));
    return this.path(`${name}.key`);
  }

  /** A certificate for `NAME.key`, as `NAME.pem`. It signs itself where no `issuer` is named. */
  async certificate(name: string, options: CertificateOptions = {}): Promise<string> {
    const { issuer = null, isAuthority = issuer === null, days = 30, subject = name, more = [] } = options;
    const { names = "DNS:localhost" } = options;
    const [request, extensions] = [this.path(`${name}.csr`), this.path(`${name}.ext`)];
    await openssl("req", "-new", "-key", this.path(`${name}.key`), "-subj", `/CN=${subject}`, "-out", request);
    const rights = isAuthority ? "CA:TRUE\nkeyUsage=keyCertSign,cRLSign,digitalSignature" : "CA:FALSE";
    writeFileSync(extensions, `basicConstraints=critical,${rights}\nsubjectAltName=${names}\n`);
    const signer = issuer === null
      ? ["-signkey", this.path(`${name}.key`)]
      : ["-CA", this.path(`${issuer}.pem`), "-CAkey", this.path(`${issuer}.key`)];
    // Only `x509 -req` takes the negative days of an expired certificate.
    const dates = ["-days", String(days), "-set_serial", String(++this.#count)];
    const out = ["-extfile", extensions, "-out", this.path(`${name}.pem`)];
    await openssl("x509", "-req", "-in", request, ...signer, ...dates, ...out, ...more);
    return this.path(`${name}.pem`);
  }
}

export interface CertificateOptions {
  /** The name of the signer; null: the certificate signs itself. */
  readonly issuer?: string | null;
  readonly isAuthority?: boolean;
  /** Days until it expires; negative: it has expired. */
  readonly days?: number;
  readonly subject?: string;
  /** Whom it is for, as openssl writes it; absent: localhost. */
  readonly names?: string;
  /** More arguments for `openssl x509`. */
  readonly more?: readonly string[];
}

/**
 * A TLS server on loopback. It says `welcome` to each client with a certificate of the authority,
 * and to nobody else.
 */
export async function welcomingServer(material: { key: string; cert: string; ca: string }): Promise<Server> {
  const server = createServer({ ...material, requestCert: true, rejectUnauthorized: true }, (socket) => {
    socket.on("error", () => {});
    socket.end("welcome");
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

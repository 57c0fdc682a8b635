import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { type PeerCertificate, readCertificate } from "./certificate.ts";

/** The authorities whose signature under a certificate this machine trusts. */
export interface Authorities {
  /** The authorities of a name, as `PeerCertificate.issuer` writes it. */
  named(subject: string): readonly PeerCertificate[];
}

/**
 * The authorities that the runtime trusts too. They are read at once, so that no check pays for it.
 * Deno does not list those of DENO_CERT, so they are read from `denoFile`. Null: there is no such
 * file, or the runtime is another.
 */
export function runtimeAuthorities(denoFile: string | null): Authorities {
  const all = readAll([...getCACertificates("default"), read(denoFile)]);
  const bySubject = Map.groupBy(all, ({ subject }) => subject);
  return { named: (subject) => bySubject.get(subject) ?? [] };
}

function read(file: string | null): string {
  if (file === null) return "";
  try {
    return readFileSync(file, "latin1");
  } catch {
    // Only the runtime knows them then, and it says whether it trusts.
    return "";
  }
}

const PEM = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----([^-]*)-----END/g;

/** All certificates in PEM texts, each once. */
function readAll(texts: readonly string[]): PeerCertificate[] {
  const bodies = new Set(
    texts.flatMap((text) => [...text.matchAll(PEM)].map(([, body = ""]) => body.replaceAll(/\s/g, ""))),
  );
  return [...bodies].map((body) => readCertificate(Buffer.from(body, "base64"))).filter((read) => read !== null);
}

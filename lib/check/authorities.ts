import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { type PeerCertificate, readCertificate } from "./certificate.ts";

/** Whom this machine trusts to sign certificates. */
export interface Authorities {
  /** Those that have a name, as `Certificate.issuer` writes it. */
  named(subject: string): readonly PeerCertificate[];
}

/**
 * The authorities that the runtime's own judge trusts, too; they are read at once, so that no check
 * is charged with it. Deno does not tell those of DENO_CERT, so they are read from that `denoFile`;
 * null: there is none, or the runtime is another.
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
    // Then nobody but the runtime knows them; it says whether it trusts.
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

import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { type Certificate, readCertificate } from "./certificate.ts";

/** Whom this machine trusts to sign certificates. */
export interface Authorities {
  /** Those that have a name, as `Certificate.issuer` writes it. */
  named(subject: string): readonly Certificate[];
}

/**
 * The authorities that the runtime's own judge trusts, too. They are read when they are first asked for. Deno does not tell those of
 * DENO_CERT, so they are read from that `denoFile`; null: there is none, or the runtime is another.
 */
export function runtimeAuthorities(denoFile: string | null): Authorities {
  let bySubject: ReadonlyMap<string, readonly Certificate[]> | undefined;
  return {
    named(subject) {
      bySubject ??= Map.groupBy(
        readAll([...getCACertificates("default"), read(denoFile)]),
        ({ subject }) => subject,
      );
      return bySubject.get(subject) ?? [];
    },
  };
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
function readAll(texts: readonly string[]): Certificate[] {
  const bodies = new Set(
    texts.flatMap((text) => [...text.matchAll(PEM)].map(([, body = ""]) => body.replaceAll(/\s/g, ""))),
  );
  return [...bodies].map((body) => readCertificate(Buffer.from(body, "base64"))).filter((read) => read !== null);
}

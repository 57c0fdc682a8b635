import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";

/** What TLS needs beside the system's own authorities, as PEM texts. Empty: the system's authorities, no client certificate. */
export interface KeyMaterial {
  /** One or more authorities to trust, instead of the system's. */
  readonly ca?: string;
  /** The client's private key and its certificate (with the chain above it, if any): both or none. */
  readonly key?: string;
  readonly cert?: string;
}

/** Key material that may be replaced at any time: whoever connects reads it then, and no earlier. */
export interface LiveKeyMaterial extends KeyMaterial {
  /** Aborts when what was read until now is no longer the newest. None: it stays as it is. */
  readonly replaced?: AbortSignal;
}

/** Where the PEM files are; null: not given. */
export interface KeyFiles {
  readonly caFile?: string | null | undefined;
  readonly keyFile?: string | null | undefined;
  readonly certFile?: string | null | undefined;
}

/** The text of a file, or null where it is not given or cannot be read. */
type Contents = string | null;

/**
 * Reads PEM files and checks them: readable, of the right kind, in date at `now`, and the key fits the certificate.
 * Gives every problem at once, each with its file and what to do about it.
 */
export async function loadKeyMaterial(
  files: KeyFiles,
  now: Date = new Date(),
): Promise<{ material: KeyMaterial } | { problems: readonly string[] }> {
  const problems: string[] = [];
  const [ca, key, cert] = await Promise.all(
    [files.caFile, files.keyFile, files.certFile].map((file) => read(file, problems)),
  ) as [Contents, Contents, Contents];
  if (ca !== null) readCertificates(files.caFile as string, ca, now, problems);
  const leaf = cert === null ? undefined : readCertificates(files.certFile as string, cert, now, problems)[0];
  const secret = key === null ? undefined : readKey(files.keyFile as string, key, problems);
  if (leaf !== undefined && secret !== undefined && !leaf.checkPrivateKey(secret)) problems.push(misfit(files));
  if (problems.length > 0) return { problems };
  return { material: { ...ca !== null && { ca }, ...key !== null && { key }, ...cert !== null && { cert } } };
}

async function read(file: string | null | undefined, problems: string[]): Promise<Contents> {
  if (file === undefined || file === null) return null;
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    // Deno's refusal to read is not the file's fault.
    if ((error as Error).name === "NotCapable") throw error;
    const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    problems.push(`${file}: cannot be read (${code}): check the path and the rights of the file`);
    return null;
  }
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]*-----END (?:TRUSTED )?CERTIFICATE-----/g;

/** Every certificate in a PEM text, in order. */
function readCertificates(file: string, text: string, now: Date, problems: string[]): X509Certificate[] {
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    problems.push(`${file}: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----"${insteadOf(text)}`);
    return [];
  }
  try {
    const certificates = blocks.map((block) => new X509Certificate(block));
    problems.push(...certificates.flatMap((certificate) => outOfDate(file, certificate, now)));
    return certificates;
  } catch {
    problems.push(`${file}: its certificate cannot be decoded: the file is damaged, copy it again`);
    return [];
  }
}

function insteadOf(text: string): string {
  const other = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(text)?.[1];
  if (other !== undefined) return `, but this is a "${other}"`;
  // DER and PKCS#12 both begin with an ASN.1 sequence.
  return text.startsWith("0") ? ", but this is in binary form: convert it with openssl" : "";
}

function outOfDate(file: string, certificate: X509Certificate, now: Date): string[] {
  // Not `validToDate`, which Deno lacks.
  const [from, to] = [new Date(certificate.validFrom), new Date(certificate.validTo)];
  const who = `${file}: the certificate of ${certificate.subject.replaceAll("\n", ", ")}`;
  if (to < now) return [`${who} expired on ${day(to)}: get a new one`];
  if (from > now) return [`${who} is not valid before ${day(from)}: check this machine's clock, or wait`];
  return [];
}

/** When the first of the certificates in a PEM text expires. */
export function expiryOf(text: string): Date {
  const times = (text.match(CERTIFICATE) ?? []).map((block) => Date.parse(new X509Certificate(block).validTo));
  return new Date(Math.min(...times));
}

/** A time for a person, to the minute. */
export function day(date: Date): string {
  return date.toISOString().replace(/:\d\d\.\d+Z$/, " UTC").replace("T", " ");
}

function readKey(file: string, text: string, problems: string[]): KeyObject | undefined {
  if (!/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/.test(text)) {
    problems.push(`${file}: holds no private key: want PEM text with "-----BEGIN PRIVATE KEY-----"${insteadOf(text)}`);
    return undefined;
  }
  if (/ENCRYPTED/.test(text)) {
    problems.push(
      `${file}: the key is encrypted, and nobody is asked for its passphrase: openssl pkey -in ${file} -out ` +
        "plain.key writes one that is not",
    );
    return undefined;
  }
  try {
    return createPrivateKey(text);
  } catch {
    problems.push(`${file}: its key cannot be decoded: the file is damaged, copy it again`);
    return undefined;
  }
}

function misfit({ keyFile, certFile }: KeyFiles): string {
  return `${keyFile}: the key does not fit the certificate in ${certFile}: take the two that were made together`;
}

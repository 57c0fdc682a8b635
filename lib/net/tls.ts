import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type Certificate, inOrder, readCertificates } from "./certificates.ts";
import { type Contents, readContents } from "./pem.ts";
import { isKey, readKey } from "./private_key.ts";

/**
 * What TLS needs beside the system's own authorities, as PEM texts in one form, whatever the files'
 * was: certificates, each once, and unencrypted PKCS#8. Empty: the system's authorities, no client
 * certificate.
 */
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

/** Where the files are; null: not given. */
export interface KeyFiles {
  readonly caFile?: string | null | undefined;
  readonly keyFile?: string | null | undefined;
  readonly certFile?: string | null | undefined;
  /** What the key is encrypted with. */
  readonly keyPassword?: string | null | undefined;
}

/** Files that can be used, and what a person should know of them all the same. */
export interface LoadedKeys {
  readonly material: KeyMaterial;
  readonly warnings: readonly string[];
  /** When the client's certificate expires, or one between it and its authority; null: there is none. */
  readonly clientExpiry: Date | null;
  /** When the first of the authorities expires; null: there are none. */
  readonly authorityExpiry: Date | null;
}

/** What is found out about files. */
interface Notes {
  readonly now: Date;
  readonly problems: string[];
  readonly warnings: string[];
}

/** A file that was read. */
interface Source extends Contents {
  readonly file: string;
}

/**
 * Reads files with keys and certificates and checks them: readable, of the right kind, in date at
 * `now`, and the key fits the certificate. Gives every problem at once, each with its file and what
 * to do about it. A certificate that is no good beside others that are is left out with a warning;
 * not so the client's own.
 */
export async function loadKeyMaterial(
  files: KeyFiles,
  now: Date = new Date(),
): Promise<LoadedKeys | { problems: readonly string[] }> {
  const notes: Notes = { now, problems: [], warnings: [] };
  const sources = await Promise.all([files.caFile, files.keyFile, files.certFile].map((file) => read(file, notes)));
  const [ca, key, cert] = sources as [Source | null, Source | null, Source | null];
  const authorities = ca === null ? null : readAuthorities(ca, notes);
  const client = readClient({ key, cert, password: files.keyPassword ?? null }, notes);
  if (notes.problems.length > 0) return { problems: notes.problems };
  return {
    material: {
      ...authorities !== null && { ca: textOf(authorities) },
      ...client.key !== null && { key: client.key },
      ...cert !== null && { cert: textOf(client.chain) },
    },
    warnings: notes.warnings,
    clientExpiry: firstExpiry(client.path),
    authorityExpiry: firstExpiry(authorities ?? []),
  };
}

/** Null: it is not given, or cannot be used. */
async function read(file: string | null | undefined, { problems }: Notes): Promise<Source | null> {
  if (file === undefined || file === null) return null;
  try {
    const contents = readContents(await readFile(file));
    const problem = unusable(contents);
    if (problem === null) return { file, ...contents };
    problems.push(`${file}: ${problem}`);
  } catch (error) {
    // Deno's refusal to read is not the file's fault.
    if ((error as Error).name === "NotCapable") throw error;
    const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    problems.push(`${file}: cannot be read (${code}): check the path and the rights of the file`);
  }
  return null;
}

/** What is wrong with a file as a whole, or null. Half a file is refused: it may lack what is in use. */
function unusable({ store, cutOff }: Contents): string | null {
  if (store === "PKCS#12") {
    return "is a PKCS#12 store: openssl pkcs12 -in STORE -out FILE writes what is in it as PEM, key and certificates in one file";
  }
  if (store === "JKS") {
    return "is a store of Java's: keytool -importkeystore -srckeystore STORE -destkeystore NEW.p12 -deststoretype PKCS12 " +
      "writes it as PKCS#12, and openssl pkcs12 -in NEW.p12 -out FILE that as PEM";
  }
  return cutOff === null ? null : `its "${cutOff}" begins and does not end: the file is cut off, copy it again`;
}

function textOf(certificates: readonly Certificate[]): string {
  return certificates.map(({ pem }) => pem).join("");
}

function firstExpiry(certificates: readonly Certificate[]): Date | null {
  const times = certificates.map(({ to }) => to.getTime()).filter((time) => !Number.isNaN(time));
  return times.length === 0 ? null : new Date(Math.min(...times));
}

/**
 * The authorities to trust. Those that are not valid yet are kept, since they may be in time; an
 * expired one never is again, and Deno, which does not look at the dates of what it trusts, would
 * go on with it.
 */
function readAuthorities(source: Source, notes: Notes): readonly Certificate[] {
  const { certificates, damaged } = certificatesOf(source, notes);
  const troubles = certificates.map((certificate) => troubleOf(certificate, notes.now));
  const said = certificates.flatMap((certificate, at) => {
    const trouble = troubles[at];
    return trouble ? [{ ...trouble, who: nameOf(source, certificate) }] : [];
  });
  const isAnyGood = troubles.includes(null);
  const lines = said.map(({ who, what, remedy, otherwise }) => `${who} ${what}: ${isAnyGood ? otherwise : remedy}`);
  if (damaged > 0) lines.unshift(`${source.file}: ${isAnyGood ? someDamaged(damaged) : DAMAGED}`);
  (isAnyGood ? notes.warnings : notes.problems).push(...few(lines, source.file));
  return certificates.filter((_, at) => !troubles[at]?.isFinal);
}

/** What keeps a certificate from being used: for good, or until later. */
interface Trouble {
  readonly what: string;
  readonly remedy: string;
  /** The same where there are others to use. */
  readonly otherwise: string;
  readonly isFinal: boolean;
}

function troubleOf({ from, to, isTrusted }: Certificate, now: Date): Trouble | null {
  const leftOut = "it is left out, the others are used";
  if (!isTrusted) {
    const remedy = "take another, or write it anew with openssl x509 -in OLD -out NEW";
    return {
      what: "is marked in the file as not to be trusted for servers",
      remedy,
      otherwise: leftOut,
      isFinal: true,
    };
  }
  if (to < now) return { what: `expired on ${day(to)}`, remedy: "get a new one", otherwise: leftOut, isFinal: true };
  if (!(from > now)) return null;
  const remedy = "check this machine's clock, or wait";
  return { what: `is not valid before ${day(from)}`, remedy, otherwise: remedy, isFinal: false };
}

const nameOf = ({ file }: Source, { subject }: Certificate) => `${file}: the certificate of ${subject}`;

const DAMAGED = "its certificate cannot be decoded: the file is damaged, copy it again";

function someDamaged(count: number): string {
  const [them, are] = count === 1 ? ["one of its certificates", "is"] : [`${count} of its certificates`, "are"];
  return `${them} cannot be decoded and ${are} left out: copy the file again`;
}

/** Of a bundle with many bad ones nobody wants to read of each. */
function few(lines: readonly string[], file: string): readonly string[] {
  const more = lines.length - MOST_LINES;
  return more <= 1
    ? lines
    : [...lines.slice(0, MOST_LINES), `${file}: the same goes for ${more} more of its certificates`];
}

const MOST_LINES = 3;

/** Notes a file without any certificate. */
function certificatesOf(source: Source, { problems }: Notes): ReturnType<typeof readCertificates> {
  const found = readCertificates(source.blocks);
  if (found.certificates.length + found.damaged === 0) {
    problems.push(
      `${source.file}: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----"${insteadOf(source)}`,
    );
  }
  return found;
}

function insteadOf({ blocks: [block] }: Source): string {
  if (block === undefined) return "";
  const remedy = block.label === "PKCS7" ? ": openssl pkcs7 -in OLD -print_certs -out NEW writes it as PEM" : "";
  return `, but this is a "${block.label}"${remedy}`;
}

interface ClientSources {
  readonly key: Source | null;
  readonly cert: Source | null;
  readonly password: string | null;
}

/** The client's certificate, and what it needs beside. */
interface Client {
  readonly key: string | null;
  /** From the client's certificate towards its authority. */
  readonly path: readonly Certificate[];
  /** `path`, and what else is to be shown with it. */
  readonly chain: readonly Certificate[];
}

/** A file may hold several keys and certificates in any order: those two count that fit each other. */
function readClient({ key, cert, password }: ClientSources, notes: Notes): Client {
  const secrets = key === null ? null : readKeys(key, password, notes);
  const found = cert === null ? null : certificatesOf(cert, notes);
  if (cert === null || found === null) return { key: secrets?.keys[0]?.pem ?? null, path: [], chain: [] };
  // Half a chain would be refused by some brokers and not by others.
  if (found.damaged > 0) notes.problems.push(`${cert.file}: ${DAMAGED}`);
  const { certificates } = found;
  const pairs = (secrets?.keys ?? []).flatMap((secret) =>
    certificates.filter(({ fits }) => fits(secret.key)).map((leaf) => ({ secret, leaf }))
  );
  const pair = pairs.find(({ leaf }) => troubleWithDates(leaf, notes.now) === null) ?? pairs[0];
  if (pair === undefined && key !== null && secrets !== null && certificates.length > 0) {
    // One of the keys that could not be read may be the one.
    if (secrets.keys.length > 0) {
      notes.problems.push(...secrets.unread.length > 0 ? secrets.unread : [misfit(key, cert)]);
    }
  }
  if (pair !== undefined && password !== null && !pair.secret.wasEncrypted) notes.warnings.push(notEncrypted(key));
  const leaf = pair?.leaf ?? certificates[0];
  if (leaf === undefined) return { key: null, path: [], chain: [] };
  return { key: pair?.secret.pem ?? null, ...showable(cert, leaf, certificates, pair?.secret.key, notes) };
}

function troubleWithDates(certificate: Certificate, now: Date): Trouble | null {
  return troubleOf({ ...certificate, isTrusted: true }, now);
}

/** What to show to a broker: an expired certificate is on no way to an authority that anybody could believe. */
function showable(
  source: Source,
  leaf: Certificate,
  all: readonly Certificate[],
  key: KeyObject | undefined,
  { now, problems, warnings }: Notes,
): Pick<Client, "path" | "chain"> {
  const own = troubleWithDates(leaf, now);
  if (own !== null) problems.push(`${nameOf(source, leaf)} ${own.what}: ${own.remedy}`);
  const rest = all.filter((one) => one !== leaf && (key === undefined || !one.fits(key)));
  const troubles = rest.map((one) => troubleWithDates(one, now));
  warnings.push(...few(
    rest.flatMap((one, at) => {
      const trouble = troubles[at];
      return trouble ? [`${nameOf(source, one)} ${trouble.what}: ${trouble.isFinal ? MISSED : trouble.otherwise}`] : [];
    }),
    source.file,
  ));
  const { path, others } = inOrder(leaf, [leaf, ...rest.filter((_, at) => !troubles[at]?.isFinal)]);
  return { path, chain: [...path, ...others] };
}

const MISSED =
  "it is left out; where brokers refuse the client's certificate then, put the one that replaced it into the file";

/** Keys that can be used, and what is wrong with the others. */
interface Secrets {
  readonly keys: readonly { readonly key: KeyObject; readonly pem: string; readonly wasEncrypted: boolean }[];
  readonly unread: readonly string[];
}

/** Notes a file without any key that can be used. */
function readKeys(source: Source, password: string | null, { problems }: Notes): Secrets {
  const read = source.blocks.filter(isKey).map((block) => readKey(block, password));
  const keys = read.flatMap((one) => "problem" in one ? [] : [one]);
  const unread = read.flatMap((one) => "problem" in one ? [`${source.file}: ${one.problem}`] : []);
  if (read.length === 0) {
    problems.push(
      `${source.file}: holds no private key: want PEM text with "-----BEGIN PRIVATE KEY-----"${insteadOf(source)}`,
    );
  } else if (keys.length === 0) problems.push(...new Set(unread));
  return { keys, unread };
}

function misfit(key: Source, cert: Source): string {
  return key.file === cert.file
    ? `${key.file}: the key does not fit the certificate in the same file: take the two that were made together`
    : `${key.file}: the key does not fit the certificate in ${cert.file}: take the two that were made together`;
}

function notEncrypted(key: Source | null): string {
  return `${key?.file}: the key is not encrypted, so that KAFKA_SSL_KEY_PASSWORD (or --kafka-ssl-key-password-file) is of ` +
    "no use: leave it out, or look whether this is the right file";
}

/** A time for a person, to the minute. */
export function day(date: Date): string {
  return date.toISOString().replace(/:\d\d\.\d+Z$/, " UTC").replace("T", " ");
}

import { readFile } from "node:fs/promises";
import {
  certificateName,
  certificatesOf,
  DAMAGED_CERTIFICATE,
  firstFew,
  type KeyNotes,
  type KeySource,
  someDamaged,
  troubleOf,
} from "./certificate_troubles.ts";
import type { Certificate } from "./certificates.ts";
import { readClient } from "./client_certificate.ts";
import { type Contents, readContents } from "./pem.ts";

/**
 * The keys and certificates for TLS, as PEM texts in one form, whatever form the files had. Each
 * certificate stands there once, and a key is unencrypted PKCS#8. Without any, the system's
 * authorities are trusted, and no client certificate is sent.
 */
export interface KeyMaterial {
  /** One or more authorities to trust, instead of the system's. */
  readonly ca?: string;
  /**
   * The client's private key and its certificate (with the chain above it, if any): both or none.
   */
  readonly key?: string;
  readonly cert?: string;
}

/** Key material that may be replaced at any time: read it anew for each connection. */
export interface LiveKeyMaterial extends KeyMaterial {
  /** Aborts when the material read so far is no longer the newest. None: it never changes. */
  readonly replaced?: AbortSignal;
}

/** The paths of the files; null: not given. */
export interface KeyFiles {
  readonly caFile?: string | null | undefined;
  readonly keyFile?: string | null | undefined;
  readonly certFile?: string | null | undefined;
  /** The password of the key. */
  readonly keyPassword?: string | null | undefined;
  /** The settings that name the files, for a person. */
  readonly settings?: Readonly<Partial<Record<"caFile" | "keyFile" | "certFile", string>>>;
}

/** A file with keys or certificates that was read; `file` is its name for a person. */
export interface KeyFileContent {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** The content of the files; null: not given. */
export interface KeyFileContents {
  readonly ca: KeyFileContent | null;
  readonly key: KeyFileContent | null;
  readonly cert: KeyFileContent | null;
}

/** Files that can be used, and the warnings about them. */
export interface LoadedKeys {
  readonly material: KeyMaterial;
  readonly warnings: readonly string[];
  /**
   * When the client's certificate expires, or one between it and its authority; null: there is
   * none.
   */
  readonly clientExpiry: Date | null;
  /** When the first of the authorities expires; null: there are none. */
  readonly authorityExpiry: Date | null;
}

/**
 * Reads files with keys and certificates and checks them. Each must be readable, of the right kind
 * and in date at `now`, and the key must fit its certificate. Gives every problem at once, each
 * with its file and its remedy. A bad certificate beside good ones is left out with a warning,
 * unless it is the client's own.
 */
export async function loadKeyMaterial(
  files: KeyFiles,
  now: Date = new Date(),
): Promise<LoadedKeys | { problems: readonly string[] }> {
  const problems: string[] = [];
  const [ca, key, cert] = await Promise.all(
    [files.caFile, files.keyFile, files.certFile].map((file, index) => {
      return read(file, files.settings?.[SETTINGS[index] as typeof SETTINGS[number]], problems);
    }),
  ) as [KeyFileContent | null, KeyFileContent | null, KeyFileContent | null];
  return judgeKeyMaterial({ ca, key, cert }, now, files.keyPassword ?? null, problems);
}

const SETTINGS = ["caFile", "keyFile", "certFile"] as const;

/**
 * As `loadKeyMaterial`, of files that were read already. Where `now` is no date, dates do not
 * count. `unread` has the problems of files that could not be read.
 */
export function judgeKeyMaterial(
  contents: KeyFileContents,
  now: Date,
  password: string | null = null,
  unread: readonly string[] = [],
): LoadedKeys | { problems: readonly string[] } {
  const notes: KeyNotes = { now, problems: [...unread], warnings: [] };
  const [ca, key, cert] = [contents.ca, contents.key, contents.cert].map((content) => sourceOf(content, notes)) as [
    KeySource | null,
    KeySource | null,
    KeySource | null,
  ];
  const authorities = ca === null ? null : readAuthorities(ca, notes);
  const client = readClient({ key, cert, password }, notes);
  if (notes.problems.length > 0) return { problems: notes.problems };
  return {
    material: {
      ...authorities !== null && { ca: pemOf(authorities) },
      ...client.key !== null && { key: client.key },
      ...cert !== null && { cert: pemOf(client.chain) },
    },
    warnings: notes.warnings,
    clientExpiry: firstExpiry(client.path),
    authorityExpiry: firstExpiry(authorities ?? []),
  };
}

/** Null: the file is not given, or cannot be read. */
async function read(
  file: string | null | undefined,
  setting: string | undefined,
  problems: string[],
): Promise<KeyFileContent | null> {
  if (file === undefined || file === null) return null;
  try {
    return { file, bytes: await readFile(file) };
  } catch (error) {
    // A refusal by Deno is not the fault of the file.
    if ((error as Error).name === "NotCapable") throw error;
    const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    const place = setting === undefined ? "" : ` in ${setting}`;
    problems.push(`${file}: cannot be read (${code}): check the path${place} and the rights of the file`);
  }
  return null;
}

/** Null: the file is not given, or cannot be used. */
function sourceOf(content: KeyFileContent | null, { problems }: KeyNotes): KeySource | null {
  if (content === null) return null;
  const { file, bytes } = content;
  const contents = readContents(bytes);
  const problem = fileFault(contents);
  if (problem === null) return { file, ...contents };
  problems.push(`${file}: ${problem}`);
  return null;
}

/**
 * The problem of a file as a whole, or null. Half a file is refused: the other half may hold what
 * is in use.
 */
function fileFault({ store, cutOff }: Contents): string | null {
  if (store === "PKCS#12") {
    return "is a PKCS#12 store: openssl pkcs12 -in STORE -out FILE writes what is in it as PEM, key and certificates in one file";
  }
  if (store === "JKS") {
    return "is a store of Java's: keytool -importkeystore -srckeystore STORE -destkeystore NEW.p12 -deststoretype PKCS12 " +
      "writes it as PKCS#12, and openssl pkcs12 -in NEW.p12 -out FILE that as PEM";
  }
  return cutOff === null ? null : `its "${cutOff}" begins and does not end: the file is cut off, copy it again`;
}

function pemOf(certificates: readonly Certificate[]): string {
  return certificates.map(({ pem }) => pem).join("");
}

function firstExpiry(certificates: readonly Certificate[]): Date | null {
  const times = certificates.map(({ to }) => to.getTime()).filter((time) => !Number.isNaN(time));
  return times.length === 0 ? null : new Date(Math.min(...times));
}

/**
 * The authorities to trust. Those that are not valid yet are kept, since they may become valid. An
 * expired one never does. Deno does not look at the dates of what it trusts, and would go on with
 * it.
 */
function readAuthorities(source: KeySource, notes: KeyNotes): readonly Certificate[] {
  const { certificates, damaged } = certificatesOf(source, notes);
  const troubles = certificates.map((certificate) => troubleOf(certificate, notes.now));
  const said = certificates.flatMap((certificate, at) => {
    const trouble = troubles[at];
    return trouble ? [{ ...trouble, who: certificateName(source, certificate) }] : [];
  });
  const isAnyGood = troubles.includes(null);
  const lines = said.map(({ who, what, remedy, otherwise }) => `${who} ${what}: ${isAnyGood ? otherwise : remedy}`);
  if (damaged > 0) lines.unshift(`${source.file}: ${isAnyGood ? someDamaged(damaged) : DAMAGED_CERTIFICATE}`);
  (isAnyGood ? notes.warnings : notes.problems).push(...firstFew(lines, source.file));
  return certificates.filter((_, at) => !troubles[at]?.isFinal);
}

import type { KeyObject } from "node:crypto";
import {
  certificateName,
  certificatesOf,
  DAMAGED_CERTIFICATE,
  firstFew,
  insteadOf,
  type KeyNotes,
  type KeySource,
  type Trouble,
  troubleOf,
} from "./certificate_troubles.ts";
import { type Certificate, inOrder } from "./certificates.ts";
import { isKey, readKey } from "./private_key.ts";
import { type KeyFlaw, sendingFlaw } from "./public_key.ts";

/** The files of a client, and the password of its key. */
interface ClientSources {
  readonly key: KeySource | null;
  readonly cert: KeySource | null;
  readonly password: string | null;
}

/** The client's certificate, with its key and its chain. */
export interface Client {
  readonly key: string | null;
  /** From the client's certificate towards its authority. */
  readonly path: readonly Certificate[];
  /** `path`, and the other certificates to show. */
  readonly chain: readonly Certificate[];
}

/**
 * Reads the key and the certificate of a client. A file may hold several in any order: the two that
 * fit each other count.
 */
export function readClient({ key, cert, password }: ClientSources, notes: KeyNotes): Client {
  const secrets = key === null ? null : readKeys(key, password, notes);
  const found = cert === null ? null : certificatesOf(cert, notes);
  if (cert === null || found === null) return { key: secrets?.keys[0]?.pem ?? null, path: [], chain: [] };
  // Some brokers would refuse half a chain, and others would not.
  if (found.damaged > 0) notes.problems.push(`${cert.file}: ${DAMAGED_CERTIFICATE}`);
  const { certificates } = found;
  const pairs = (secrets?.keys ?? []).flatMap((secret) =>
    certificates.filter(({ fits }) => fits(secret.key)).map((leaf) => ({ secret, leaf }))
  );
  const pair = pairs.find(({ leaf }) => troubleWithDates(leaf, notes.now) === null) ?? pairs[0];
  if (pair === undefined && key !== null && secrets !== null && certificates.length > 0) {
    // One of the keys that could not be read may be the right one. `showable` notes those of
    // certificates.
    if (secrets.keys.length > 0 && certificates.every(({ keyFlaw }) => keyFlaw === null)) {
      notes.problems.push(...secrets.unread.length > 0 ? secrets.unread : [misfit(key, cert)]);
    }
  }
  if (pair !== undefined && password !== null && !pair.secret.wasEncrypted) notes.warnings.push(notEncrypted(key));
  const leaf = pair?.leaf ?? certificates[0];
  if (leaf === undefined) return { key: null, path: [], chain: [] };
  return { key: pair?.secret.pem ?? null, ...showable(cert, leaf, certificates, pair?.secret.key, notes) };
}

function troubleWithDates(certificate: Certificate, now: Date): Trouble | null {
  return troubleOf({ ...certificate, isTrusted: true, keyFlaw: null }, now);
}

/** Certificates that TLS libraries would fail with at each connection, some of them silently. */
function troublesWithKeys(
  source: KeySource,
  certificates: readonly Certificate[],
  flawOf: (certificate: Certificate) => KeyFlaw | null,
): readonly string[] {
  const lines = certificates.flatMap((certificate) => {
    const flaw = flawOf(certificate);
    return flaw === null ? [] : [`${certificateName(source, certificate)} ${flaw.what}: ${flaw.remedy}`];
  });
  return firstFew(lines, source.file);
}

/**
 * The certificates to show to a broker. An expired certificate is on no path to an authority that
 * anybody could believe.
 */
function showable(
  source: KeySource,
  leaf: Certificate,
  all: readonly Certificate[],
  key: KeyObject | undefined,
  { now, problems, warnings }: KeyNotes,
): Pick<Client, "path" | "chain"> {
  const own = troubleWithDates(leaf, now);
  if (own !== null) problems.push(`${certificateName(source, leaf)} ${own.what}: ${own.remedy}`);
  const rest = all.filter((one) => one !== leaf && (key === undefined || !one.fits(key)));
  const troubles = rest.map((one) => troubleWithDates(one, now));
  warnings.push(...firstFew(
    rest.flatMap((one, at) => {
      const trouble = troubles[at];
      return trouble
        ? [`${certificateName(source, one)} ${trouble.what}: ${trouble.isFinal ? MISSED : trouble.otherwise}`]
        : [];
    }),
    source.file,
  ));
  const shown = [leaf, ...rest.filter((_, at) => !troubles[at]?.isFinal)];
  // Where no certificate fits the key, one with a flaw may be the right one, in date or not.
  problems.push(
    ...key === undefined
      ? troublesWithKeys(source, all, ({ keyFlaw }) => keyFlaw)
      : troublesWithKeys(source, shown, ({ keyFlaw, pem }) => keyFlaw ?? sendingFlaw(leaf.pem, pem)),
  );
  const { path, others } = inOrder(leaf, shown);
  return { path, chain: [...path, ...others] };
}

const MISSED =
  "it is left out; where brokers refuse the client's certificate then, put the one that replaced it into the file";

/** Keys that can be used, and the problems of the others. */
interface Secrets {
  readonly keys: readonly { readonly key: KeyObject; readonly pem: string; readonly wasEncrypted: boolean }[];
  readonly unread: readonly string[];
}

/** The keys of a file. Notes a problem where none can be used. */
function readKeys(source: KeySource, password: string | null, { problems }: KeyNotes): Secrets {
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

function misfit(key: KeySource, cert: KeySource): string {
  return key.file === cert.file
    ? `${key.file}: the key does not fit the certificate in the same file: take the two that were made together`
    : `${key.file}: the key does not fit the certificate in ${cert.file}: take the two that were made together`;
}

function notEncrypted(key: KeySource | null): string {
  return `${key?.file}: the key is not encrypted, so that KAFKA_SSL_KEY_PASSWORD (or --kafka-ssl-key-password-file) is of ` +
    "no use: leave it out, or look whether this is the right file";
}

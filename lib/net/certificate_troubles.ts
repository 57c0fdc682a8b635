import { type Certificate, day, readCertificates } from "./certificates.ts";
import type { Contents } from "./pem.ts";

/** The findings about files. */
export interface KeyNotes {
  readonly now: Date;
  readonly problems: string[];
  readonly warnings: string[];
}

/** A file that was read. */
export interface KeySource extends Contents {
  readonly file: string;
}

/** A reason not to use a certificate: for good, or until later. */
export interface Trouble {
  readonly what: string;
  readonly remedy: string;
  /** The remedy where there are other certificates to use. */
  readonly otherwise: string;
  readonly isFinal: boolean;
}

/** The reason not to use a certificate at `now`; null where there is none. */
export function troubleOf({ from, to, isTrusted, keyFlaw }: Certificate, now: Date): Trouble | null {
  const leftOut = "it is left out, the others are used";
  if (keyFlaw !== null) return { ...keyFlaw, otherwise: leftOut, isFinal: true };
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

/** How messages name a certificate of a file. */
export const certificateName = ({ file }: KeySource, { subject }: Certificate) =>
  `${file}: the certificate of ${subject}`;

/** Follows the name of a file. */
export const DAMAGED_CERTIFICATE = "its certificate cannot be decoded: the file is damaged, copy it again";

/** `DAMAGED_CERTIFICATE` for some certificates of several. */
export function someDamaged(count: number): string {
  const [them, are] = count === 1 ? ["one of its certificates", "is"] : [`${count} of its certificates`, "are"];
  return `${them} cannot be decoded and ${are} left out: copy the file again`;
}

/** The first of many lines about one file, and how many more there are. */
export function firstFew(lines: readonly string[], file: string): readonly string[] {
  const more = lines.length - MOST_LINES;
  return more <= 1
    ? lines
    : [...lines.slice(0, MOST_LINES), `${file}: the same goes for ${more} more of its certificates`];
}

const MOST_LINES = 3;

/** The certificates of a file. Notes a problem where there is none. */
export function certificatesOf(source: KeySource, { problems }: KeyNotes): ReturnType<typeof readCertificates> {
  const found = readCertificates(source.blocks);
  if (found.certificates.length + found.damaged === 0) {
    problems.push(
      `${source.file}: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----"${insteadOf(source)}`,
    );
  }
  return found;
}

/** Says what a file holds instead. */
export function insteadOf({ blocks: [block] }: KeySource): string {
  if (block === undefined) return "";
  const remedy = block.label === "PKCS7" ? ": openssl pkcs7 -in OLD -print_certs -out NEW writes it as PEM" : "";
  return `, but this is a "${block.label}"${remedy}`;
}

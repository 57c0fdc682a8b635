import { createHash } from "node:crypto";
import { createSecureContext } from "node:tls";
import { day } from "../net/certificates.ts";
import { judgeKeyMaterial, type KeyFileContent, type KeyMaterial } from "../net/tls.ts";
import type { References } from "./references.ts";

/** The paths of files with certificates and keys, as an option names them; null: not given. */
export interface TlsFiles {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/** The content of such files, or the problems with it, each with the file's path in front. */
export interface ReadTlsFiles {
  readonly material: KeyMaterial;
  readonly id: string;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

const UNUSABLE = { material: {}, id: "", warnings: [] } as const;

/** Reads the certificates and keys of hosts, each set of files once. */
export class TlsFilesReader {
  readonly #references: References;
  readonly #known = new Map<string, ReadTlsFiles>();

  constructor(references: References) {
    this.#references = references;
  }

  read(files: TlsFiles): ReadTlsFiles {
    const key = JSON.stringify(files);
    let read = this.#known.get(key);
    if (read === undefined) this.#known.set(key, read = readFiles(files, this.#references));
    return read;
  }
}

/**
 * Dates do not count: the certificate of one host that has expired must not keep all others from
 * being checked.
 */
const NO_DATE = new Date(NaN);

function readFiles({ ca, cert, key }: TlsFiles, references: References): ReadTlsFiles {
  const unread: string[] = [];
  const contentOf = (file: string | null): KeyFileContent | null => {
    if (file === null) return null;
    const content = references.file(file);
    if (!("problem" in content)) return { file, bytes: content };
    const problem = `${file}: ${content.problem}`;
    // Certificate and key may be in one file.
    if (!unread.includes(problem)) unread.push(problem);
    return null;
  };
  const contents = { ca: contentOf(ca), cert: contentOf(cert), key: contentOf(key) };
  if (unread.length > 0) return { ...UNUSABLE, problems: unread };
  const loaded = judgeKeyMaterial(contents, NO_DATE);
  if ("problems" in loaded) return { ...UNUSABLE, problems: loaded.problems };
  const { material, clientExpiry } = loaded;
  try {
    createSecureContext(material);
  } catch (error) {
    return {
      ...UNUSABLE,
      problems: [`${cert ?? ca}: cannot be used for TLS (${(error as Error).message}): make it anew`],
    };
  }
  const hasExpired = clientExpiry !== null && clientExpiry.getTime() < Date.now();
  return {
    material,
    id: createHash("sha256").update(JSON.stringify(material)).digest("base64"),
    problems: [],
    warnings: hasExpired ? [`${cert}: the certificate expired on ${day(clientExpiry)}: get a new one`] : [],
  };
}

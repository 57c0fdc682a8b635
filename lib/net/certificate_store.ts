import { Bell } from "../async/bell.ts";
import { fileChanges } from "../async/file_changes.ts";
import { readSecret } from "../config/secret_file.ts";
import { day } from "./certificates.ts";
import { type KeyFiles, type LiveKeyMaterial, type LoadedKeys, loadKeyMaterial } from "./tls.ts";

/** Where a store reports about its files. */
export interface CertificateStoreEvents {
  info(text: string): void;
  warn(text: string): void;
}

/**
 * Milliseconds until files with a problem are read again though they did not change: time makes
 * certificates valid.
 */
const AGAIN_AFTER = 30_000;

/** The report and the end of following. */
export interface CertificateStoreFollower {
  readonly log: CertificateStoreEvents;
  readonly stop: AbortSignal;
}

/**
 * Follows the files of each store until the program stops, see `CertificateStore.follow`. A failure
 * is reported, and ends the following of that store only.
 */
export function followKeys(
  stores: readonly (CertificateStore | null)[],
  { log, stop }: CertificateStoreFollower,
): void {
  for (const store of stores) {
    store?.follow(log, stop).catch((error: Error) => log.warn(`Certificates are not read again: ${error.message}`));
  }
}

/** Reports the warnings about files that can be used all the same. `followKeys` does so too. */
export function warnOfKeys(stores: readonly (CertificateStore | null)[], { warn }: CertificateStoreEvents): void {
  for (const warning of stores.flatMap((store) => store?.warnings ?? [])) warn(warning);
}

/** The files of a store. */
export interface CertificateFiles extends KeyFiles {
  /** The file of `keyPassword`. It is read again together with the others. */
  readonly keyPasswordFile?: string | null | undefined;
}

/** The files for connections to one service, with their last content that was right. */
export class CertificateStore implements LiveKeyMaterial {
  readonly #service: string;
  readonly #files: CertificateFiles;
  readonly #authorities: string | null;
  #loaded: LoadedKeys;
  #replacement = new AbortController();

  private constructor(service: string, files: CertificateFiles, authorities: string | null, loaded: LoadedKeys) {
    this.#service = service;
    this.#files = files;
    this.#authorities = authorities;
    this.#loaded = loaded;
  }

  /**
   * Reads the files. Gives all their problems, see `loadKeyMaterial`. `service` is a name for a
   * person. `authorities` are trusted where no file names any.
   */
  static async load(
    service: string,
    files: CertificateFiles,
    authorities: string | null = null,
  ): Promise<CertificateStore | { problems: readonly string[] }> {
    const loaded = await loadKeyMaterial(files);
    return "problems" in loaded ? loaded : new CertificateStore(service, files, authorities, loaded);
  }

  get ca(): string | undefined {
    return this.#loaded.material.ca ?? this.#authorities ?? undefined;
  }

  get key(): string | undefined {
    return this.#loaded.material.key;
  }

  get cert(): string | undefined {
    return this.#loaded.material.cert;
  }

  get replaced(): AbortSignal {
    return this.#replacement.signal;
  }

  /** When the client's certificate expires; null: there is none. */
  get expiresAt(): Date | null {
    return this.#loaded.clientExpiry;
  }

  /** Flaws of files that are used all the same. */
  get warnings(): readonly string[] {
    return this.#loaded.warnings;
  }

  /**
   * Takes over the content of the files whenever they change, where it is right as a whole.
   * Otherwise the old content stays in use, and the problem is reported once. Flaws of the files in
   * use are reported once too. Ends when `signal` aborts. `again`: milliseconds until files with a
   * problem are read again.
   */
  async follow(events: CertificateStoreEvents, signal: AbortSignal, again = AGAIN_AFTER): Promise<void> {
    const warned = new Set<string>();
    const warn = (warnings: readonly string[]) => {
      for (const warning of warnings.filter((warning) => !warned.has(warning))) events.warn(warning);
      warned.clear();
      for (const warning of warnings) warned.add(warning);
    };
    warn(this.warnings);
    const { caFile, keyFile, certFile, keyPasswordFile } = this.#files;
    const paths = [caFile, keyFile, certFile, keyPasswordFile].filter((path) => path !== null && path !== undefined);
    if (paths.length === 0) return;
    const asked = new Bell();
    const files = { paths: () => paths, read: () => this.#read() };
    let timer: ReturnType<typeof setTimeout> | undefined;
    let said = "";
    for await (const { value } of fileChanges(files, asked, signal)) {
      clearTimeout(timer);
      if ("problems" in value) {
        const wrong = `The new certificates for ${this.#service} are not taken over, and the old ones stay in use: ${
          value.problems.join("; ")
        }`;
        if (wrong !== said) events.warn(wrong);
        said = wrong;
        timer = setTimeout(() => asked.ring(), again);
        continue;
      }
      const isNew = this.#take(value);
      // The end of a trouble is logged at the level of its beginning.
      if (said !== "") events.warn(this.#news(isNew));
      else if (isNew) events.info(this.#news(isNew));
      warn(value.warnings);
      said = "";
    }
    clearTimeout(timer);
  }

  /** Reads the files, with the password that its file holds now. */
  async #read(): ReturnType<typeof loadKeyMaterial> {
    const { keyPasswordFile: path } = this.#files;
    if (!path) return await loadKeyMaterial(this.#files);
    const password = await readSecret(path);
    if (typeof password !== "string") return { problems: [`${path}: ${password.problem}`] };
    return await loadKeyMaterial({ ...this.#files, keyPassword: password });
  }

  /** True where the content is new. */
  #take(loaded: LoadedKeys): boolean {
    const [now, then] = [loaded.material, this.#loaded.material];
    this.#loaded = loaded;
    if (now.ca === then.ca && now.key === then.key && now.cert === then.cert) return false;
    const old = this.#replacement;
    this.#replacement = new AbortController();
    old.abort();
    return true;
  }

  #news(isNew: boolean): string {
    const { caFile, certFile } = this.#files;
    const { clientExpiry, authorityExpiry } = this.#loaded;
    const expiry = clientExpiry ?? authorityExpiry;
    const validity = `${clientExpiry === null ? caFile : certFile} is valid until ${
      expiry === null ? "?" : day(expiry)
    }`;
    return isNew
      ? `The new certificates for ${this.#service} are in use from the next connection on; ${validity}`
      : `The files for ${this.#service} hold the certificates in use again; ${validity}`;
  }
}

import { Bell } from "./bell.ts";
import { fileChanges } from "./file_changes.ts";
import { day, expiryOf, type KeyFiles, type KeyMaterial, type LiveKeyMaterial, loadKeyMaterial } from "./tls.ts";

/** Where a ring says what became of its files. */
export interface KeyRingEvents {
  info(text: string): void;
  warn(text: string): void;
}

/** Milliseconds after which files with something wrong are read again though they did not change: time makes certificates valid. */
const AGAIN_AFTER = 30_000;

/** What follows the files of rings. */
export interface KeyRingFollower {
  readonly log: KeyRingEvents;
  readonly stop: AbortSignal;
}

/** Follows the files of each ring, see `KeyRing.follow`, until the program stops. A failure is said, and ends no more than that. */
export function followKeys(rings: readonly (KeyRing | null)[], { log, stop }: KeyRingFollower): void {
  for (const ring of rings) {
    ring?.follow(log, stop).catch((error: Error) => log.warn(`Certificates are not read again: ${error.message}`));
  }
}

/** The PEM files for connections to one service, with what they held when they were last right. */
export class KeyRing implements LiveKeyMaterial {
  readonly #service: string;
  readonly #files: KeyFiles;
  readonly #authorities: string | null;
  #material: KeyMaterial;
  #replacement = new AbortController();

  private constructor(service: string, files: KeyFiles, authorities: string | null, material: KeyMaterial) {
    this.#service = service;
    this.#files = files;
    this.#authorities = authorities;
    this.#material = material;
  }

  /**
   * Reads the files; gives everything that is wrong with them, see `loadKeyMaterial`. `service` is a name for a person;
   * `authorities` are trusted where no file names any.
   */
  static async load(
    service: string,
    files: KeyFiles,
    authorities: string | null = null,
  ): Promise<KeyRing | { problems: readonly string[] }> {
    const loaded = await loadKeyMaterial(files);
    return "problems" in loaded ? loaded : new KeyRing(service, files, authorities, loaded.material);
  }

  get ca(): string | undefined {
    return this.#material.ca ?? this.#authorities ?? undefined;
  }

  get key(): string | undefined {
    return this.#material.key;
  }

  get cert(): string | undefined {
    return this.#material.cert;
  }

  get replaced(): AbortSignal {
    return this.#replacement.signal;
  }

  /** When the client's certificate expires; null: there is none. */
  get expiresAt(): Date | null {
    return this.cert === undefined ? null : expiryOf(this.cert);
  }

  /**
   * Takes over what the files hold whenever they change, if it is right as a whole: else the old stays in use, and what is
   * wrong is said once. Ends when `signal` aborts. `again`: milliseconds until files with something wrong are read again.
   */
  async follow(events: KeyRingEvents, signal: AbortSignal, again = AGAIN_AFTER): Promise<void> {
    const { caFile, keyFile, certFile } = this.#files;
    const paths = [caFile, keyFile, certFile].filter((path) => path !== null && path !== undefined);
    if (paths.length === 0) return;
    const asked = new Bell();
    const files = { paths, read: () => loadKeyMaterial(this.#files) };
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
      const isNew = this.#take(value.material);
      if (isNew || said !== "") events.info(this.#news(isNew));
      said = "";
    }
    clearTimeout(timer);
  }

  /** True where that is something new. */
  #take(material: KeyMaterial): boolean {
    const { ca, key, cert } = this.#material;
    if (material.ca === ca && material.key === key && material.cert === cert) return false;
    this.#material = material;
    const old = this.#replacement;
    this.#replacement = new AbortController();
    old.abort();
    return true;
  }

  #news(isNew: boolean): string {
    const { caFile, certFile } = this.#files;
    const { ca = "", cert } = this.#material;
    const validity = `${cert === undefined ? caFile : certFile} is valid until ${day(expiryOf(cert ?? ca))}`;
    return isNew
      ? `The new certificates for ${this.#service} are in use from the next connection on; ${validity}`
      : `The files for ${this.#service} hold the certificates in use again; ${validity}`;
  }
}

import type { KeyMaterial, LiveKeyMaterial } from "../../lib/net/tls.ts";

/** Key material that a test replaces. */
export class Replaceable implements LiveKeyMaterial {
  #material: KeyMaterial;
  #replacement = new AbortController();

  constructor(material: KeyMaterial) {
    this.#material = material;
  }

  get ca() {
    return this.#material.ca as string;
  }
  get key() {
    return this.#material.key as string;
  }
  get cert() {
    return this.#material.cert as string;
  }
  get replaced() {
    return this.#replacement.signal;
  }

  replace(material: KeyMaterial): void {
    this.#material = material;
    const old = this.#replacement;
    this.#replacement = new AbortController();
    old.abort();
  }
}

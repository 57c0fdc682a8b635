/** What stands between a program and its work, by the part that it needs: nothing where it is ready. */
export class Health {
  readonly #troubles = new Map<string, string>();

  /** Notes the trouble with a part; null: it works. */
  note(part: string, trouble: string | null): void {
    if (trouble === null) this.#troubles.delete(part);
    else this.#troubles.set(part, trouble);
  }

  get troubles(): readonly string[] {
    return [...this.#troubles.values()];
  }
}

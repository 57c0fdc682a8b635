/**
 * The troubles that keep a program from its work, each by the part that has it. Without any, the
 * program is ready.
 */
export class Health {
  readonly #troubles = new Map<string, string>();

  /** Notes the trouble with a part; null: the part works. */
  note(part: string, trouble: string | null): void {
    if (trouble === null) this.#troubles.delete(part);
    else this.#troubles.set(part, trouble);
  }

  get troubles(): readonly string[] {
    return [...this.#troubles.values()];
  }
}

// Values of a JSON or YAML document that somebody else wrote: each may be of any type. What is not
// of the type that is asked for reads as if it were missing.

/** A mapping of such a document. */
export type PlainObject = Readonly<Record<string, unknown>>;

export function objectOf(value: unknown): PlainObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as PlainObject : {};
}

/** The elements of a list; those of a mapping, whose keys then do not count. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : Object.values(objectOf(value));
}

/** A text, number or truth value as a text. */
export function scalarText(value: unknown): string {
  return ["string", "number", "boolean", "bigint"].includes(typeof value) ? String(value) : "";
}

/** The texts of a list, without empty ones; a single text is a list of one. */
export function textsOf(value: unknown): readonly string[] {
  const texts = typeof value === "object" ? listOf(value).map(scalarText) : [scalarText(value)];
  return texts.filter((text) => text !== "");
}

/** Null where it is no number. */
export function numberOf(value: unknown): number | null {
  const text = scalarText(value).trim();
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : null;
}

export function isTrue(value: unknown): boolean {
  return value === true || value === 1 || ["true", "1", "yes", "on"].includes(scalarText(value).toLowerCase());
}

/** True for what says that something is off: nobody misses it. */
export function isUnset(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return listOf(value).length === 0;
  return value === null || value === undefined || value === false || value === 0 || value === "";
}

/** The keys of a mapping that are set, but for those of `known`. */
export function otherKeys(mapping: PlainObject, known: readonly string[]): readonly string[] {
  return Object.keys(mapping).filter((key) => !known.includes(key) && !isUnset(mapping[key]));
}

import { UsageError } from "../../config/usage_error.ts";

/** A value may be used so often by its name: some files name one alert a thousand times. */
const MOST_ALIASES = 100_000;

/**
 * What a JSON or YAML file says. Throws a `UsageError` with the places of its mistakes, and none of
 * its content, which may be a secret.
 */
export async function readDocument(text: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    return await readYaml(text, name);
  }
}

async function readYaml(text: string, name: string): Promise<unknown> {
  // Loaded here only: nothing else in the program needs it.
  const { LineCounter, parseDocument } = await import("yaml");
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, merge: true, logLevel: "silent" });
  const problems = document.errors.map(({ code, pos: [at] }) => {
    const { line, col } = lineCounter.linePos(at);
    return `${name}:${line}:${col}: is no YAML (${code.toLowerCase().replaceAll("_", " ")}), and the file no JSON`;
  });
  if (problems.length > 0) throw new UsageError(problems);
  try {
    return document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    throw new UsageError([`${name}: uses a value that it does not name, or uses values too often by their names`]);
  }
}

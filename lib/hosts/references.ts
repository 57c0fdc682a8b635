/** Only such a variable is read: see `hostsVariable`. */
export type VariableName = `HOSTS_${string}`;

/** What options may refer to: the environment, and files beside the hosts file. */
export interface References {
  /** The value of a variable; empty or undefined: it is not set. Throws where Deno forbids it. */
  variable(name: VariableName): string | undefined;
  /** The content of a file by its path as written, or why there is none. */
  file(path: string): Buffer | FileProblem;
}

/** Why a file cannot be used, for a person. */
export interface FileProblem {
  readonly problem: string;
}

/** For a text that comes from no file: nothing can be referred to. */
export const NO_REFERENCES: References = {
  variable: () => undefined,
  file: () => ({ problem: "cannot be read here" }),
};

/** A text whose references are replaced. */
export interface Resolved {
  readonly text: string;
  /** True where there was none: the text itself stands in the hosts file. */
  readonly isLiteral: boolean;
}

/** The longest file that a reference brings, in bytes. */
const LONGEST_FILE = 64 * 1024;
/** `$${` stands for the signs `${` themselves. */
const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;
const VARIABLE = /^HOSTS_\w+$/;

/** The paths of the files that a text refers to. */
export function pathsIn(text: string): readonly string[] {
  return [...text.matchAll(REFERENCE)].flatMap(([, inside = ""]) =>
    inside.startsWith("file:") ? [inside.slice(5)] : []
  );
}

/** True where a text holds a reference. */
export function hasReference(text: string): boolean {
  return /\$\{(?:HOSTS_|file:)/.test(text);
}

/**
 * Replaces `${HOSTS_NAME}` and `${file:PATH}`. Throws a SyntaxError whose message says what to write
 * instead; it holds no value.
 */
export function resolveReferences(written: string, references: References): Resolved {
  let isLiteral = true;
  const text = written.replaceAll(REFERENCE, (signs, inside: string | undefined, end: string) => {
    if (inside === undefined) return signs.slice(1);
    if (end === "") {
      throw new SyntaxError(`\${ is not closed: write } behind the name, or $\${ for the signs themselves`);
    }
    isLiteral = false;
    return inside.startsWith("file:") ? fileText(inside.slice(5), references) : variableText(inside, references);
  });
  return { text, isLiteral };
}

function variableText(name: string, references: References): string {
  if (!isVariable(name)) {
    throw new SyntaxError(
      `\${${
        name.slice(0, 100)
      }} is no reference: write \${HOSTS_NAME} for a variable, whose name begins with HOSTS_, ` +
        `\${file:PATH} for a file, or $\${ for the signs themselves`,
    );
  }
  const value = valueOf(name, references);
  if (value === "") throw new SyntaxError(`${name} is not set: set this variable of the environment`);
  return value;
}

function isVariable(name: string): name is VariableName {
  return VARIABLE.test(name);
}

function valueOf(name: VariableName, { variable }: References): string {
  try {
    return variable(name) ?? "";
  } catch (error) {
    if ((error as Error).name !== "NotCapable") throw error;
    throw new SyntaxError(
      `Deno does not allow ${name} to be read: start it as deno run -P=producer producer.ts, or with --allow-env=${name}`,
    );
  }
}

function fileText(path: string, references: References): string {
  const content = references.file(path);
  if ("problem" in content) throw new SyntaxError(`${path}: ${content.problem}`);
  if (content.length > LONGEST_FILE) {
    throw new SyntaxError(
      `${path}: has ${content.length} bytes, and ${LONGEST_FILE} are the most: write a shorter one`,
    );
  }
  const text = content.toString("utf8").replace(/\r?\n$/, "");
  if (text === "") throw new SyntaxError(`${path}: is empty: write what is to be sent into it`);
  if (/[\0\uFFFD]/.test(text)) throw new SyntaxError(`${path}: is not UTF-8 text: save the file as UTF-8`);
  return text;
}

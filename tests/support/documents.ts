import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Everything that a user is given to read, from the project's folder. */
export const DOCUMENTS = [
  "README.md",
  ...globSync(["docs/*.md", "certs/README.md", "deploy/**/*.md"], { cwd: ROOT }).toSorted(),
];

/** What may stand between fences: each of them is tried by a test. */
export const LANGUAGES = ["sh", "sql", "hosts", "dotenv", "yaml"] as const;

/** What stands between two fences. */
export interface Block {
  readonly document: string;
  /** Number of the line that opens it, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

/** Every block of the documents, in order. */
export function blocks(): Block[] {
  return DOCUMENTS.flatMap((document) => blocksOf(document, readDocument(document)));
}

/** Those in one language. */
export function blocksIn(language: typeof LANGUAGES[number]): Block[] {
  return blocks().filter((block) => block.language === language);
}

export function readDocument(document: string): string {
  return readFileSync(`${ROOT}/${document}`, "utf8");
}

/** The blocks of a text in Markdown; also those that are indented, or fenced by tildes, so that none escapes. */
export function blocksOf(document: string, text: string): Block[] {
  return [...text.matchAll(/^[ \t>]*(```+|~~~+)([^\n]*)\n(.*?)^[ \t>]*\1[ \t]*$/gms)].map((match) => {
    const [, , language = "", body = ""] = match;
    return { document, line: text.slice(0, match.index).split("\n").length, language: language.trim(), text: body };
  });
}

/** The commands of a shell block, one a line, without comments; a line that ends in a backslash goes on in the next. */
export function commandsOf({ text }: Block): string[] {
  return text.replaceAll(/\\\n\s*/g, "").split("\n").map((line) => line.replace(/(^|\s+)# .*$/, "").trim())
    .filter((line) => line !== "");
}

/** The statements of a block of SQL. */
export function statementsOf({ text }: Block): string[] {
  return text.split(/;[ \t]*$/m).map((statement) => statement.trim()).filter((statement) => statement !== "");
}

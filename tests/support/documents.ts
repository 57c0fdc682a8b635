import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** All documents for users, as paths in the project's folder. */
export const DOCUMENTS = [
  "README.md",
  ...globSync(["docs/*.md", "certs/README.md", "deploy/**/*.md"], { cwd: ROOT }).toSorted(),
];

/** The languages of blocks. A test tries each of them. */
export const LANGUAGES = ["sh", "sql", "hosts", "dotenv", "yaml"] as const;

/** The text between two fences. */
export interface Block {
  readonly document: string;
  /** The number of the opening line, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

/** Every block of the documents, in order. */
export function blocks(): Block[] {
  return DOCUMENTS.flatMap((document) => blocksOf(document, readDocument(document)));
}

/** The blocks in one language. */
export function blocksIn(language: typeof LANGUAGES[number]): Block[] {
  return blocks().filter((block) => block.language === language);
}

export function readDocument(document: string): string {
  return readFileSync(`${ROOT}/${document}`, "utf8");
}

/**
 * The blocks of a Markdown text. Those that are indented, or fenced by tildes, count too, so that
 * none escapes.
 */
export function blocksOf(document: string, text: string): Block[] {
  return [...text.matchAll(/^[ \t>]*(```+|~~~+)([^\n]*)\n(.*?)^[ \t>]*\1[ \t]*$/gms)].map((match) => {
    const [, , language = "", body = ""] = match;
    return { document, line: text.slice(0, match.index).split("\n").length, language: language.trim(), text: body };
  });
}

/**
 * The commands of a shell block, one a line, without comments. A line that ends in a backslash goes
 * on in the next.
 */
export function commandsOf({ text }: Block): string[] {
  return text.replaceAll(/\\\n\s*/g, "").split("\n").map((line) => line.replace(/(^|\s+)# .*$/, "").trim())
    .filter((line) => line !== "");
}

/** The statements of a block of SQL. */
export function statementsOf({ text }: Block): string[] {
  return text.split(/;[ \t]*$/m).map((statement) => statement.trim()).filter((statement) => statement !== "");
}

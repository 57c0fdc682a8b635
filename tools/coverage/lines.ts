import { stripTypeScriptTypes } from "node:module";

/** What V8 counted in one function, or in the body of a module. */
export interface FunctionCoverage {
  /** The first range is the whole function; later ones lie within earlier ones. */
  readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
}

/** A word, a number or a text: lines of brackets alone are no code. */
const HAS_CODE = /[\w"'`]/;
/** `deno fmt` begins every line of a comment so. */
const IS_COMMENT = /^\s*(?:\/\/|\/?\*)/;
/** `export` runs also where the function behind it does not. */
const BEFORE_CODE = /^\s*(?:export (?:default )?)?/;

/** The numbers of the lines that run: neither comments, nor types, nor brackets alone. */
export function codeLines(source: string): readonly number[] {
  return textLines(stripTypeScriptTypes(source)).flatMap((line, index) =>
    HAS_CODE.test(line) && !IS_COMMENT.test(line) ? [index + 1] : []
  );
}

/**
 * The numbers of the lines of which some part ran. Node erases types without moving anything, so
 * V8's offsets are those of `source`.
 */
export function linesThatRan(source: string, functions: readonly FunctionCoverage[]): readonly number[] {
  const ran = new Uint8Array(source.length);
  const ranges = functions.flatMap(({ ranges }) => ranges);
  // What is within comes after what is around it, and counts instead.
  ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
  for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  let offset = 0;
  return textLines(source).flatMap((line, index) => {
    const start = offset + (BEFORE_CODE.exec(line)?.[0].length ?? 0);
    const end = offset + line.trimEnd().length;
    offset += line.length + 1;
    return ran.subarray(start, end).includes(1) ? [index + 1] : [];
  });
}

function textLines(text: string): string[] {
  return text.split("\n");
}

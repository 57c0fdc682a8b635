import { MAX_TABLE_NAME_BYTES, type TableName } from "./setting_types.ts";

const LONGEST = 63;

/** One part of a name: quoted, where "" stands for a quote, or plain. */
const PART = String.raw`"(?:[^"]|"")+"|[\p{L}_][\p{L}\p{M}\p{N}_$]*`;
const NAME = new RegExp(`^(?:(${PART})\\.)?(${PART})$`, "u");

/**
 * Reads `table` or `schema.table` as SQL does: folded to lower case unless quoted. Throws a
 * SyntaxError or RangeError.
 */
export function parseTableName(text: string): TableName {
  const [, schemaPart, namePart] = NAME.exec(text) ?? [];
  if (namePart === undefined || text.includes("\0")) {
    throw new SyntaxError('write a name as in SQL: metrics, monitoring.metrics or "My Table"');
  }
  const [schema, name] = [schemaPart === undefined ? null : readPart(schemaPart), readPart(namePart)];
  const [schemaSize, size] = [Buffer.byteLength(schema ?? ""), Buffer.byteLength(name)];
  if (schemaSize > LONGEST) throw new RangeError(`its schema has ${schemaSize} bytes: write one of at most ${LONGEST}`);
  if (size > MAX_TABLE_NAME_BYTES) {
    throw new RangeError(
      `its ${size} bytes leave no room for ${name.slice(0, 10)}…_rejected beside it: write a name of at most ` +
        `${MAX_TABLE_NAME_BYTES} bytes`,
    );
  }
  return { schema, name };
}

/** PostgreSQL folds the letters A to Z only, where the encoding is UTF-8. */
function readPart(part: string): string {
  if (part.startsWith('"')) return part.slice(1, -1).replaceAll('""', '"');
  return part.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

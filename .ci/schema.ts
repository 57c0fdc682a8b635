/**
 * Prints a JSON schema of Kubernetes in one piece, with the definitions that it takes from a file
 * beside it: FOLDER NAME.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const [, , folder = ".", name = ""] = process.argv;
const read = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, `${file}.json`), "utf8").replaceAll("/api/_definitions.json#", "#"));
const { $id: _, ...schema } = { ...read("_definitions"), ...read(name) };
console.log(JSON.stringify(schema));

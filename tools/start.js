// Runs a file of the project: node tools/start.js FILE ARGUMENTS. With it, npm's scripts say what
// they lack before npm ci.
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { start } from "../lib/program/start.js";

const [node = "node", , name = "", ...args] = process.argv;
const file = resolve(name);
// As if it had been started by itself.
process.argv = [node, file, ...args];
await start(() => import(pathToFileURL(file).href));

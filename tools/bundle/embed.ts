import { readFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Plugin } from "rolldown";

/**
 * A place where a module asks for a file beside itself, which a bundle does not have, and what
 * stands there instead.
 */
interface Patch {
  /** End of the module's path. */
  readonly module: string;
  readonly from: string;
  readonly to: (path: string) => string;
}

const LIBRDKAFKA = "@confluentinc/kafka-javascript";

/** A module that exists in bundles only. */
const ADDON = "\0addon";

/**
 * The add-on is machine code, which cannot be part of a script: a bundle looks for it beside
 * itself, as in the consumer's image, then where npm has put it. What both miss is told as a
 * missing module, so that `--kafka-client auto` takes the other client.
 */
const LOAD_ADDON = `
  import { createRequire } from "node:module";
  const load = createRequire(import.meta.url);
  function find() {
    try {
      return load("./librdkafka.node");
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
      return load("${LIBRDKAFKA}/build/Release/confluent-kafka-javascript.node");
    }
  }
  export const addon = find();`;

const PATCHES: readonly Patch[] = [
  {
    module: "@platformatic/wasm-utils/dist/index.js",
    from: "readFileSync(new URL('../dist/native.wasm', import.meta.url))",
    to: (path) =>
      `Buffer.from("${readFileSync(path.replace(/index\.js$/, "native.wasm")).toString("base64")}", "base64")`,
  },
  {
    module: "lib/kafka/librdkafka/library.ts",
    from: `createRequire(import.meta.url)("${LIBRDKAFKA}")`,
    to: (path) => isInstalled(path) ? `require("${LIBRDKAFKA}")` : `createRequire(import.meta.url)("${LIBRDKAFKA}")`,
  },
  {
    module: `${LIBRDKAFKA}/librdkafka.js`,
    from: "require('bindings')('confluent-kafka-javascript')",
    to: () => `require(${JSON.stringify(ADDON)}).addon`,
  },
];

/** Begins the name of a module that stands in a bundle for a builtin one. */
const BUILTIN = "\0builtin:";

/** What start.js asks for first; rolldown's own code needs node:module. Any Node has all of them. */
const ANCIENT: readonly string[] = ["node:process", "node:module", "node:v8"];

/**
 * Imports of builtin modules are linked before anything runs, and one that an older Node lacks ends
 * it with pages of code. So they are looked up when their turn comes: the bundle begins with
 * start.js, which says that the Node is too old.
 */
function lookUp(id: string): string {
  const names = Object.keys(process.getBuiltinModule(id) ?? {}).filter((name) => /^[A-Za-z_$][\w$]*$/.test(name));
  return `
    import process from "node:process";
    const builtin = process.getBuiltinModule("${id}");
    const take = (name) => builtin[name];
    export default builtin;
    ${names.map((name) => `export const ${name} = /* @__PURE__ */ take("${name}");`).join("\n")}`;
}

/** Begins the name of the first module of a bundle, which comes before any other of the program. */
const FIRST = "\0first:";
const START = fileURLToPath(new URL("../../lib/program/start.js", import.meta.url));
/** What producer.ts and consumer.ts themselves do before they load the program in this file. */
const begin = (program: string) => `
  import { keepNurserySmall, requireRuntime } from ${JSON.stringify(START)};
  requireRuntime();
  ${program.endsWith("/producer.ts") ? "keepNurserySmall();" : ""}`;

/** The module to bundle for a program whose file this is. */
export const ENTRY = "\0entry:";

/** Puts into the bundle, or finds beside it, what modules read from files of their own packages. */
export function embed(): Plugin {
  return {
    name: "embed",
    resolveId(id, _, { kind }) {
      if (id === ADDON || id.startsWith(FIRST) || id.startsWith(ENTRY)) return id;
      if (!isBuiltin(id)) return null;
      // Older packages write "crypto", which Deno takes for a package where it cannot see whose code that is.
      const full = `node:${id.replace(/^node:/, "")}`;
      const isLate = kind === "require-call" || ANCIENT.includes(full);
      return isLate ? { id: full, external: true } : `${BUILTIN}${full}`;
    },
    load(id) {
      if (id === ADDON) return LOAD_ADDON;
      if (id.startsWith(FIRST)) return begin(id.slice(FIRST.length));
      if (id.startsWith(ENTRY)) {
        const program = id.slice(ENTRY.length);
        return [`${FIRST}${program}`, program].map((name) => `import ${JSON.stringify(name)};`).join("");
      }
      return id.startsWith(BUILTIN) ? lookUp(id.slice(BUILTIN.length)) : null;
    },
    transform(code, id) {
      const patch = PATCHES.find(({ module }) => id.endsWith(`/${module}`));
      if (patch === undefined) return null;
      if (code.split(patch.from).length !== 2) throw new Error(`${id} holds this no longer, or twice: ${patch.from}`);
      return { code: code.replace(patch.from, () => patch.to(id)) };
    },
  };
}

function isInstalled(from: string): boolean {
  try {
    createRequire(from).resolve(LIBRDKAFKA);
    return true;
  } catch {
    return false;
  }
}

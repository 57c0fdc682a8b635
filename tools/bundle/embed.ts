import { readFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import type { Plugin } from "rolldown";

/** A place where a module asks for a file beside itself, which a bundle does not have, and what stands there instead. */
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
 * The add-on is machine code, which cannot be part of a script: a bundle looks for it beside itself, as in the consumer's image, then
 * where npm has put it. What both miss is told as a missing module, so that `--kafka-client auto` takes the other client.
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
    module: "lib/kafka_librdkafka/library.ts",
    from: `createRequire(import.meta.url)("${LIBRDKAFKA}")`,
    to: (path) => isInstalled(path) ? `require("${LIBRDKAFKA}")` : `createRequire(import.meta.url)("${LIBRDKAFKA}")`,
  },
  {
    module: `${LIBRDKAFKA}/librdkafka.js`,
    from: "require('bindings')('confluent-kafka-javascript')",
    to: () => `require(${JSON.stringify(ADDON)}).addon`,
  },
];

/** Puts into the bundle, or finds beside it, what modules read from files of their own packages. */
export function embed(): Plugin {
  return {
    name: "embed",
    resolveId(id) {
      if (id === ADDON) return id;
      // Older packages write "crypto", which Deno takes for a package where it cannot see whose code that is.
      return isBuiltin(id) ? { id: `node:${id.replace(/^node:/, "")}`, external: true } : null;
    },
    load: (id) => id === ADDON ? LOAD_ADDON : null,
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

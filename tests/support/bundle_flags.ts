import { readFileSync } from "node:fs";

interface Permissions {
  readonly env: { readonly allow: readonly string[] };
  readonly read?: true;
  readonly write?: true;
  readonly net?: true;
  readonly sys: readonly string[];
}

/**
 * How Deno starts a bundled program. No deno.json lies beside it, so its permission set becomes
 * flags. Deno looks for no settings, no packages and no writable cache: a program in one file needs
 * none.
 */
export function bundleFlags(program: "producer" | "consumer"): string[] {
  const text = readFileSync(new URL("../../deno.json", import.meta.url), "utf8");
  const { permissions } = JSON.parse(text) as { permissions: Record<string, Permissions> };
  const { env, read, write, net, sys } = permissions[program] as Permissions;
  const rights = { read, write, net };
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-config",
    "--no-lock",
    "--no-npm",
    "--no-remote",
    "--no-code-cache",
    ...Object.entries(rights).filter(([, allowed]) => allowed === true).map(([name]) => `--allow-${name}`),
    `--allow-sys=${sys.join()}`,
    "--deny-ffi",
    "--ignore-env",
    `--allow-env=${env.allow.join()}`,
  ];
}

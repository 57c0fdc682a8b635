import { readFileSync } from "node:fs";
import { parse } from "yaml";

/** The parts of a service in compose.yaml that tests look at. */
export interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly profiles?: readonly string[];
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly env_file?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly (string | Mount)[];
  readonly secrets?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly required?: boolean }>>;
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } };
}

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly read_only: boolean;
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

export function readCompose(): Compose {
  return parse(readFileSync(new URL("../../compose.yaml", import.meta.url), "utf8"), { merge: true }) as Compose;
}

/** The value that compose makes of a text with `${NAME-default}` and `${NAME:-default}`. */
export function interpolate(value: string, env: Readonly<Record<string, string | undefined>>): string {
  return value.replaceAll(/\$\{(\w+)(:?)-([^}]*)\}/g, (_, name: string, colon: string, otherwise: string) => {
    const given = env[name];
    return given === undefined || (colon === ":" && given === "") ? otherwise : given;
  });
}

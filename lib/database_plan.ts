import type { Database } from "./database.ts";
import { openEmbedded, openExisting } from "./database/embedded.ts";
import { openPostgres } from "./database/postgres.ts";
import { KeyRing } from "./key_ring.ts";
import type { ConsumerSettings } from "./settings.ts";
import type { SslMode } from "./ssl_mode.ts";
import { systemAuthorities } from "./system_authorities.ts";
import { UsageError } from "./usage_error.ts";

/** A database that can be opened: everything that settings and files can have wrong has been looked at. */
export interface DatabasePlan {
  /** What it is, for a person; no secret. */
  readonly description: string;
  /** The certificates to trust; null: they do not change. */
  readonly keys: KeyRing | null;
  /** A server is connected to with the first statement. */
  open(): Promise<Database>;
}

/** The database that the settings name; `isQuery`: it has to be there. Throws a `UsageError` where its CA file is no good. */
export async function planDatabase(
  settings: NonNullable<ConsumerSettings["database"]>,
  { isQuery = false } = {},
): Promise<DatabasePlan> {
  if (settings.kind === "embedded") {
    const { directory } = settings;
    const open = isQuery ? openExisting : openEmbedded;
    return { description: `an embedded PostgreSQL in ${directory}`, keys: null, open: () => open(directory) };
  }
  const { host, port, name, user, sslMode, sslCaFile } = settings;
  const keys = await KeyRing.load(
    "PostgreSQL",
    { caFile: sslCaFile },
    sslCaFile === null ? authoritiesFor(sslMode) : null,
  );
  if ("problems" in keys) throw new UsageError(keys.problems);
  const address = {
    ...settings,
    // Asked for at each connection.
    get ca() {
      return keys.ca ?? null;
    },
  };
  return {
    description: `${name} at ${host}:${port} as ${user} (TLS: ${sslMode})`,
    keys,
    open: () => Promise.resolve(openPostgres(address)),
  };
}

/** `require` checks a certificate only where one to trust was given, as in libpq. */
function authoritiesFor(sslMode: SslMode): string | null {
  return sslMode.startsWith("verify-") ? systemAuthorities() : null;
}

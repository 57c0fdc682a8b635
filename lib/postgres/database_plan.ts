import type { SslMode } from "../config/setting_types.ts";
import type { ConsumerSettings } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { CertificateStore } from "../net/certificate_store.ts";
import { systemAuthorities } from "../net/system_authorities.ts";
import type { Database } from "./database.ts";
import { openEmbedded } from "./database/embedded.ts";
import { openPostgres } from "./database/postgres.ts";
import { type QueryService, serveQueries } from "./query.ts";

/** A database that can be opened: everything that settings and files can have wrong has been looked at. */
export interface DatabasePlan {
  /** What it is, for a person; no secret. */
  readonly description: string;
  /** The certificates to trust; null: they do not change. */
  readonly certificateStore: CertificateStore | null;
  /**
   * A server is connected to with the first statement; an embedded database answers the queries of
   * other programs, too.
   */
  open(service: QueryService): Promise<Database>;
}

/** The database that the settings name. Throws a `UsageError` where its CA file is no good. */
export async function planDatabase(settings: NonNullable<ConsumerSettings["database"]>): Promise<DatabasePlan> {
  if (settings.kind === "embedded") {
    const { directory } = settings;
    const open = (service: QueryService) => openServed(directory, service);
    return { description: `an embedded PostgreSQL in ${directory}`, certificateStore: null, open };
  }
  const { host, port, name, user, sslMode, sslCaFile } = settings;
  const certificateStore = await CertificateStore.load(
    "PostgreSQL",
    { caFile: sslCaFile },
    sslCaFile === null ? authoritiesFor(sslMode) : null,
  );
  if ("problems" in certificateStore) throw new UsageError(certificateStore.problems);
  const address = {
    ...settings,
    // Asked for at each connection.
    get ca() {
      return certificateStore.ca ?? null;
    },
  };
  return {
    description: `${name} at ${host}:${port} as ${user} (TLS: ${sslMode})`,
    certificateStore,
    open: () => Promise.resolve(openPostgres(address)),
  };
}

async function openServed(directory: string, service: QueryService): Promise<Database> {
  const resources = new AsyncDisposableStack();
  const database = resources.use(await openEmbedded(directory));
  resources.use(await serveQueries(database, directory, service));
  return {
    query: (text, parameters) => database.query(text, parameters),
    script: (text) => database.script(text),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** `require` checks a certificate only where one to trust was given, as in libpq. */
function authoritiesFor(sslMode: SslMode): string | null {
  return sslMode.startsWith("verify-") ? systemAuthorities() : null;
}

import type { SslMode } from "../config/setting_types.ts";
import type { ConsumerSettings } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { CertificateStore } from "../net/certificate_store.ts";
import { systemAuthorities } from "../net/system_authorities.ts";
import type { Database } from "./database.ts";
import { openPostgres } from "./database/postgres.ts";
import { openAfterQueries, type QueryService, serveQueries } from "./query.ts";

/** A database that is ready to open: settings and files have been checked. */
export interface DatabasePlan {
  /** A description for a person, without a secret. */
  readonly description: string;
  /** The trusted certificates; null: they do not change. */
  readonly certificateStore: CertificateStore | null;
  /**
   * Opens the database. A server is connected to with the first statement. An embedded database
   * also answers the queries of other programs.
   */
  open(service: QueryService): Promise<Database>;
  /**
   * A way for long statements, behind which nobody else waits. The embedded database, `opened`, has
   * one way only.
   */
  openBeside(opened: Database): Database;
  /**
   * Opens a way for statements that take hours. Null: the database has one way only, which cannot be
   * held up for so long.
   */
  readonly openForHours: (() => Database) | null;
  /**
   * A way for questions that somebody waits for. The server lets them only read, and ends those that
   * take long.
   */
  openReader(opened: Database): Database;
}

/** The database that the settings name. Throws a `UsageError` if its CA file is unusable. */
export async function planDatabase(settings: NonNullable<ConsumerSettings["database"]>): Promise<DatabasePlan> {
  if (settings.kind === "embedded") {
    const { directory } = settings;
    const open = (service: QueryService) => openServed(directory, service);
    const openBeside = (opened: Database) => asAnother(opened);
    const description = `an embedded PostgreSQL in ${directory}`;
    return { description, certificateStore: null, open, openBeside, openForHours: null, openReader: openBeside };
  }
  const { host, port, name, user, sslMode, sslCaFile } = settings;
  const certificateStore = await CertificateStore.load(
    "PostgreSQL",
    { caFile: sslCaFile, settings: { caFile: "DB_SSL_CA_FILE (--db-ssl-ca-file)" } },
    sslCaFile === null ? authoritiesFor(sslMode) : null,
  );
  if ("problems" in certificateStore) throw new UsageError(certificateStore.problems);
  const address = {
    ...settings,
    // Read at each connection.
    get ca() {
      return certificateStore.ca ?? null;
    },
  };
  return {
    description: `${name} at ${host}:${port} as ${user} (TLS: ${sslMode})`,
    certificateStore,
    open: () => Promise.resolve(openPostgres(address)),
    openBeside: () => openPostgres(address, LONG_PATIENCE),
    openForHours: () => openPostgres(address, HOURS),
    openReader: () => openPostgres(address, READER_PATIENCE),
  };
}

/** Milliseconds. Counting the rows of a large part takes minutes. */
const LONG_PATIENCE = { answer: 610_000, connect: 10_000, statement: 600_000, lock: 10_000 } as const;

/**
 * Milliseconds. Making the index of a large part anew takes an hour, and waits for others' transactions
 * in between: nobody waits behind it.
 */
const HOURS = { answer: 14_410_000, connect: 10_000, statement: 14_400_000, lock: 60_000 } as const;

/** Milliseconds. A person waits for the page. */
const READER_PATIENCE = { answer: 12_000, connect: 5_000, statement: 10_000, lock: 2_000, isReadOnly: true } as const;

/** The same database, which stays open when this is disposed of. */
function asAnother(database: Database): Database {
  return {
    query: (text, parameters) => database.query(text, parameters),
    script: (text) => database.script(text),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function openServed(directory: string, service: QueryService): Promise<Database> {
  const resources = new AsyncDisposableStack();
  const onWait = () => service.log.warn(`${directory} is in use by a program that does not answer yet: waiting`);
  const database = resources.use(await openAfterQueries(directory, { signal: service.stop, onWait }));
  resources.use(await serveQueries(database, directory, service));
  return {
    query: (text, parameters) => database.query(text, parameters),
    script: (text) => database.script(text),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** `require` checks a certificate only if a trusted one was given, as in libpq. */
function authoritiesFor(sslMode: SslMode): string | null {
  return sslMode.startsWith("verify-") ? systemAuthorities() : null;
}

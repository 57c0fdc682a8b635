/** The remedy for a failure that a connection pooler tells of, and the advice to a person. */
export interface PoolerSaying {
  readonly remedy: "wait" | "setup";
  readonly advice: string | null;
}

/**
 * PgBouncer says nearly everything under 08P01; Supavisor, Pgpool-II and Neon's proxy say it under
 * XX000. PostgreSQL means a breach of the protocol, and a fault of its own, by them. So only the
 * text tells what a pooler means.
 */
const CODES: ReadonlySet<string> = new Set(["08P01", "XX000"]);

const waits: PoolerSaying = { remedy: "wait", advice: null };
const setup = (advice: string | null): PoolerSaying => ({ remedy: "setup", advice });

/** The first match decides: a pooler that cannot log in to its server quotes the reason. */
const SAYINGS: readonly (readonly [text: RegExp, saying: PoolerSaying])[] = [
  [
    /startup (parameter|option)|command-line option/i,
    setup(
      "let the pooler take it (PgBouncer: ignore_startup_parameters), or name the server itself in DB_HOST (--db-host)",
    ),
  ],
  [/statement pooling/i, setup("set the pooler's pool_mode to transaction or session")],
  [
    /tenant.* not found|no tenant identifier|invalid format for user/i,
    setup("write DB_USER (--db-user) as the service shows it, such as postgres.PROJECT"),
  ],
  [
    /authentication failed|no such user|user not found|role ".*" does not exist|login rejected|empty password|no credentials for|no pg_hba\.conf entry/i,
    setup("check DB_USER (--db-user) and DB_PASSWORD (or --db-password-file), also in the pooler's list of users"),
  ],
  [
    /no such database|database ".*" does not exist/i,
    setup("check DB_NAME (--db-name), also in the pooler's list of databases"),
  ],
  [
    /(SSL|TLS)( connection)?( is)? required/i,
    setup("set DB_SSL_MODE (--db-ssl-mode) to require, or stricter"),
  ],
  // Neon
  [
    /endpoint .*(could not be found|not specified)|endpoint ID/i,
    setup("check DB_HOST (--db-host), which must be the whole name of the endpoint"),
  ],
  [/bouncer config error|^not allowed|allow_list|is banned/i, setup(null)],
  [/timeout|timed[- ]out|login has been failing|query failed|try again|retries/i, waits],
  [
    /cannot connect|connect failed|could(n't| not) connect|(failed|unable) to (connect|read|write|create|establish)|conn(ection)? (crashed|closed|lost|failed)/i,
    waits,
  ],
  [
    /connection .*(closed|terminated|failed|not available)|unavailable|unexpected(ly| eof)|(is|are) down|control plane/i,
    waits,
  ],
  [/max(imum)? (clients?|client connections|pools)|connections? (allowed|exceeded|reached)|too many/i, waits],
  [/shut(ting)? ?down|starting up|terminat|disconnect|suspend|pause|reconnect|is disabled|exited/i, waits],
  [/check ?out|circuit ?breaker|exhaust|(out of|no) memory/i, waits],
  // The statement was prepared on a connection of the pooler that now serves another client.
  [/prepared statement/i, waits],
  // Yugabyte, if two transactions met.
  [/restart read required|conflicts with/i, waits],
];

/** The meaning of a pooler's failure; null if it is not known to be a pooler's. */
export function poolerSaying(
  { code, message }: { readonly code: string; readonly message: string },
): PoolerSaying | null {
  if (!CODES.has(code)) return null;
  return SAYINGS.find(([text]) => text.test(message))?.[1] ?? null;
}

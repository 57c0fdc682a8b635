import type { Health } from "../async/health.ts";
import type { ListenAddress } from "../config/setting_types.ts";
import { listenSetting, type ProgramName } from "../config/settings.ts";
import { healthText } from "../net/ask_health.ts";
import { type HttpPort, json, openHttpPort, plainText, type Site } from "../net/http_port.ts";

/** The answers of a program at its port. */
export interface Statements {
  readonly health: Health;
  /** Figures in Prometheus' text format. */
  metrics(): Promise<string>;
  /** Details for `/readyz`, beside whether the program is ready. */
  details?(): Promise<object>;
}

const PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Opens the HTTP port of a program. `/healthz`: the process works. `/readyz`: the program can reach
 * everything that it needs. `/metrics`: figures for Prometheus. The site answers for all else.
 * Throws a `UsageError` if it cannot listen there.
 */
export function openProgramPort(
  program: ProgramName,
  address: ListenAddress,
  statements: Statements,
  site: Site | null = null,
): Promise<HttpPort> {
  return openHttpPort(address, listenSetting(program), {
    "/healthz": () => plainText(200, healthText(program)),
    "/readyz": async () => {
      const { troubles } = statements.health;
      const ready = troubles.length === 0;
      return json(ready ? 200 : 503, { ready, troubles, ...await statements.details?.() });
    },
    "/metrics": async () => ({ status: 200, type: PROMETHEUS, body: await statements.metrics() }),
  }, site);
}

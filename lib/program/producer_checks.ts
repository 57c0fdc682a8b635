import { CheckRunner } from "../check/check_runner.ts";
import { CertificateJudge } from "../check/judgement.ts";
import { openMatcher } from "../check/matching.ts";
import { fitConcurrency, openableFor } from "../check/open_files.ts";
import { runtimeAuthorities } from "../check/paths.ts";
import { StandingsFile } from "../check/standings_file.ts";
import { denoCertificatesFile } from "../config/environment.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { USER_AGENT } from "../config/version.ts";
import type { HostsReading } from "../hosts/hosts_file.ts";
import type { Log } from "../monitoring/log.ts";
import { isPrivateAddress } from "../net/ip_address.ts";
import { systemResolver } from "../net/resolver.ts";
import type { ProducerShutdown } from "./producer_shutdown.ts";

/** The checks of a producer. Dispose of them when the last metric was read. */
export interface ProducerChecks extends AsyncDisposable {
  readonly runner: CheckRunner;
  /**
   * Writes now and then which hosts answer, for the next start, and once more when `signal` aborts.
   */
  keepStandings(signal: AbortSignal): Promise<void>;
}

/**
 * The checks that this machine lets run at the same time. Warns if these are fewer than the
 * settings ask for.
 */
export function usableConcurrency(wanted: number, log: Log): number {
  const { concurrency, warning } = fitConcurrency(wanted, openableFor(wanted));
  if (warning !== null) log.warn(warning);
  return concurrency;
}

/**
 * The standings of an earlier run; null without a spool. The outbox must hold the spool's folder.
 */
export async function openStandings({ mode, spool, kafka }: ProducerSettings): Promise<StandingsFile | null> {
  const keepsStandings = spool !== null && kafka !== null && mode !== "once";
  return keepsStandings ? await StandingsFile.open(spool) : null;
}

/** Prepares the checks of the hosts, which begin when the runner is read. */
export function openChecks(
  settings: ProducerSettings,
  { hosts }: HostsReading,
  { concurrency, standings, mayAct }: {
    readonly concurrency: number;
    readonly standings: StandingsFile | null;
    /** True while this member of a group may check; null: there is no group. */
    readonly mayAct: (() => boolean) | null;
  },
  { stopChecks, giveUpChecks }: ProducerShutdown,
): ProducerChecks {
  const matcher = openMatcher({ isExpected: hosts.some(({ pattern }) => pattern !== null) });
  const options = {
    ...settings,
    concurrency,
    isOnce: settings.mode === "once",
    userAgent: USER_AGENT,
    matcher,
    resolver: systemResolver(),
    isBlocked: settings.blockPrivateAddresses ? isPrivateAddress : null,
    certificates: new CertificateJudge(runtimeAuthorities(denoCertificatesFile())),
    mayAct: mayAct ?? undefined,
    isGrouped: mayAct !== null,
    recall: standings === null ? undefined : (address: string) => standings.recall(address),
  };
  // A group says later which hosts are checked here.
  const runner = new CheckRunner(mayAct === null ? hosts : [], options, stopChecks, giveUpChecks);
  return {
    runner,
    keepStandings: async (signal) => await standings?.follow(() => runner.standings(), signal),
    [Symbol.asyncDispose]: () => matcher[Symbol.asyncDispose](),
  };
}

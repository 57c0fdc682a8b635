import { CheckRunner } from "../check/check_runner.ts";
import { openLargeMatcher } from "../check/matching.ts";
import { fitConcurrency, openableFor } from "../check/open_files.ts";
import { StandingsFile } from "../check/standings_file.ts";
import { CheckThreads, type WorkerSettings } from "../check/threads.ts";
import { count } from "../config/count.ts";
import { denoCertificatesFile } from "../config/environment.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { USER_AGENT } from "../config/version.ts";
import type { HostsReading } from "../hosts/hosts_file.ts";
import type { Log } from "../monitoring/log.ts";
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
export function usableConcurrency(
  { concurrency: wanted, threads }: Pick<ProducerSettings, "concurrency" | "threads">,
  log: Log,
): number {
  const { concurrency, warning } = fitConcurrency(wanted, openableFor(wanted, threads), threads);
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
export async function openChecks(
  settings: ProducerSettings,
  { hosts }: HostsReading,
  { concurrency, standings, mayAct }: {
    readonly concurrency: number;
    readonly standings: StandingsFile | null;
    /** True while this member of a group may check; null: there is no group. */
    readonly mayAct: (() => boolean) | null;
  },
  { stopChecks, giveUpChecks, fail }: ProducerShutdown,
  log: Log,
): Promise<ProducerChecks> {
  const { mode, location, producer } = settings;
  const isGrouped = mayAct !== null;
  await using stack = new AsyncDisposableStack();
  const matcher = stack.use(
    openLargeMatcher({ isExpected: hosts.some(({ pattern, absent }) => pattern !== null || absent !== null) }),
  );
  const checker = stack.use(
    await CheckThreads.open({
      threads: settings.threads,
      settings: workerSettings(settings, isGrouped),
      matcher,
      replaced: ({ reason, missed }) =>
        log.warn(
          `A thread for checks ended (${reason}), and another one takes its place: ${count(missed, "check")} missed`,
        ),
      failed: fail,
    }),
  );
  const options = {
    ...{ location, producer, concurrency, checker, isGrouped },
    isOnce: mode === "once",
    wantsEvidence: settings.evidence,
    mayAct: mayAct ?? undefined,
    recall: standings === null ? undefined : (address: string) => standings.recall(address),
  };
  // A group says later which hosts are checked here.
  const runner = new CheckRunner(isGrouped ? [] : hosts, options, stopChecks, giveUpChecks);
  const resources = stack.move();
  return {
    runner,
    keepStandings: async (signal) => await standings?.follow(() => runner.standings(), signal),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

function workerSettings(
  { timeout, location, producer, blockPrivateAddresses }: ProducerSettings,
  isGrouped: boolean,
): WorkerSettings {
  return {
    ...{ timeout, location, producer, isGrouped, blockPrivateAddresses },
    userAgent: USER_AGENT,
    denoCertificatesFile: denoCertificatesFile(),
  };
}

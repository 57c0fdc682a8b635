import type { CheckRunnerOptions } from "../check/check_runner.ts";
import { type LargeMatcher, openLargeMatcher } from "../check/matching.ts";
import { fitConcurrency, openableFor } from "../check/open_files.ts";
import { StandingsFile } from "../check/standings_file.ts";
import { CheckThreads } from "../check/threads.ts";
import { count } from "../config/count.ts";
import { denoCertificatesFile } from "../config/environment.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { USER_AGENT } from "../config/version.ts";
import type { HostsReading } from "../hosts/hosts_file.ts";
import type { ProducerGroup } from "../kafka/kafka.ts";
import type { Log } from "../monitoring/log.ts";

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

/**
 * Opens what matches large pages. Under Deno its workers start at once where a host has a pattern.
 */
export function openPageMatcher({ hosts }: HostsReading): LargeMatcher {
  return openLargeMatcher({ isExpected: hosts.some(({ pattern, absent }) => pattern !== null || absent !== null) });
}

/** Starts the threads that make the checks. */
export async function openThreads(
  { threads, timeout, location, producer, blockPrivateAddresses }: ProducerSettings,
  { matcher, isGrouped, failed, log }: {
    readonly matcher: LargeMatcher;
    readonly isGrouped: boolean;
    /** Called where no other thread can take the place of one that has ended. */
    readonly failed: (error: Error) => void;
    readonly log: Log;
  },
): Promise<CheckThreads> {
  return await CheckThreads.open({
    threads,
    settings: {
      ...{ timeout, location, producer, isGrouped, blockPrivateAddresses },
      userAgent: USER_AGENT,
      denoCertificatesFile: denoCertificatesFile(),
    },
    matcher,
    replaced: ({ reason, missed }) =>
      log.warn(
        `A thread for checks ended (${reason}), and another one takes its place: ${count(missed, "check")} missed`,
      ),
    failed,
  });
}

/** How the hosts are checked. */
export function checkOptions(
  { mode, location, producer, evidence }: ProducerSettings,
  { concurrency, checker, standings, group }: {
    readonly concurrency: number;
    readonly checker: CheckThreads;
    readonly standings: StandingsFile | null;
    readonly group: ProducerGroup | null;
  },
): CheckRunnerOptions {
  return {
    ...{ location, producer, concurrency, checker, isGrouped: group !== null },
    isOnce: mode === "once",
    wantsEvidence: evidence,
    mayAct: group === null ? undefined : () => group.mayAct(),
    recall: standings === null ? undefined : (address) => standings.recall(address),
  };
}

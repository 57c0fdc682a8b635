import { Bell } from "../async/bell.ts";
import type { Changes } from "../check/check_runner.ts";
import { count } from "../config/count.ts";
import type { ProducerSettings } from "../config/settings.ts";
import { UsageError } from "../config/usage_error.ts";
import { type HostsReading, rereadHosts } from "../hosts/hosts_file.ts";
import type { ProducerMonitor } from "../monitoring/producer_monitor.ts";
import type { Program } from "./program.ts";

/** Takes other hosts instead of those that are checked. Says how many came, went and changed. */
export type ReplaceHosts = (reading: HostsReading) => Promise<Changes>;

/**
 * Checks the hosts of every new reading of the hosts file, until the program stops. A reading with
 * anything wrong in it changes nothing. With `--once`, or from standard input, nothing is read
 * again.
 */
export async function followHosts(
  settings: ProducerSettings,
  reading: HostsReading,
  replace: ReplaceHosts,
  monitor: ProducerMonitor,
  { log, stop, onHangUp }: Program,
): Promise<void> {
  const name = settings.hostsFile;
  if (settings.mode === "once" || name === "-") return;
  const asked = new Bell();
  onHangUp(() => asked.ring());
  let isWrong = false;
  for await (const content of rereadHosts(settings, reading.sources, asked, stop)) {
    if (content instanceof UsageError) {
      for (const problem of content.problems) log.error(problem);
      log.warn(`${name}: not taken over, the hosts stay as they were`);
      isWrong = true;
      continue;
    }
    const { hosts, warnings } = content;
    for (const warning of warnings) log.warn(warning);
    const { added, removed, changed, gone } = await replace(content);
    monitor.forget(gone.map(({ address }) => address));
    const total = count(hosts.length, "host");
    const news = `${name}: read again, ${total}: ${added} added, ${removed} removed, ${changed} changed`;
    // A trouble ends at the level at which it began.
    if (isWrong) log.warn(news);
    else log.info(news);
    isWrong = false;
  }
}

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../tools/free_ports.ts";
import { skipped } from "./kafka.ts";
import { startReceiver } from "./receiver_program.ts";

const PROGRAM = "prometheus-alertmanager";

/**
 * Whether this machine has Alertmanager. Where it has not, one line says how to get it. Under CI
 * that is a failure.
 */
export function canRunAlertmanager(): boolean {
  return spawnSync(PROGRAM, ["--version"]).status === 0 ||
    skipped(`Alertmanager tests are skipped: put ${PROGRAM} (Debian's package) on the PATH; .ci/run shows how`);
}

/** A running Alertmanager. */
export interface Alertmanager extends AsyncDisposable {
  readonly port: number;
}

/** Starts Alertmanager in a folder. It tells a webhook of all alerts at once. */
export async function startAlertmanager(folder: string, webhookPort: number): Promise<Alertmanager> {
  const config = join(folder, "alertmanager.yml");
  const receiver = { name: "all", webhook_configs: [{ url: `http://127.0.0.1:${webhookPort}/` }] };
  const route = { receiver: "all", group_by: ["address"], group_wait: "0s", group_interval: "1s" };
  // JSON is YAML too.
  writeFileSync(config, JSON.stringify({ route, receivers: [receiver] }));
  const port = await freePort();
  const args = [`--config.file=${config}`, `--storage.path=${folder}`, `--web.listen-address=127.0.0.1:${port}`];
  const server = await startReceiver(
    PROGRAM,
    [...args, "--cluster.listen-address="],
    `http://127.0.0.1:${port}/-/ready`,
  );
  return { port, ...server };
}

import { type ChildProcess, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { freePort } from "../../tools/free_ports.ts";
import { answers } from "./answers.ts";
import type { Checker, CheckerRun, Load } from "./checker.ts";
import { limited, startOn, stopped } from "./cores.ts";
import { LoadGenerator } from "./load_generator.ts";
import type { Place } from "./our_checker.ts";
import { type LoadedSite, PATTERN } from "./site.ts";

const MODULE = "github.com/prometheus/blackbox_exporter@v0.27.0";
const CACHE = fileURLToPath(new URL("../../.cache/go/", import.meta.url));

/**
 * The command of blackbox_exporter: the one on the PATH, else built once from the Go module proxy;
 * null where there is neither.
 */
export async function findBlackbox(): Promise<string | null> {
  if (spawnSync("blackbox_exporter", ["--version"]).status === 0) return "blackbox_exporter";
  const built = join(CACHE, "blackbox_exporter");
  if (existsSync(built)) return built;
  // Not `go install`: it asks for the list of versions too, which not every proxy gives out.
  const download = spawnSync("go", ["mod", "download", "-json", MODULE], { encoding: "utf8" });
  if (download.status !== 0) return null;
  const { Dir } = JSON.parse(download.stdout) as { Dir: string };
  await mkdir(CACHE, { recursive: true });
  process.stderr.write(`building ${MODULE} (once)\n`);
  return spawnSync("go", ["build", "-o", built, "."], { cwd: Dir }).status === 0 ? built : null;
}

/** blackbox_exporter, asked for one probe a check, as Prometheus would; it makes a fresh connection for each. */
export class Blackbox implements Checker {
  readonly name = "blackbox";
  readonly #command: string;
  readonly #place: Place;

  constructor(command: string, place: Place) {
    this.#command = command;
    this.#place = place;
  }

  async start(site: LoadedSite, load: Load): Promise<CheckerRun> {
    const file = join(this.#place.folder, "blackbox.json");
    await writeFile(file, JSON.stringify(moduleFor(this.#place.caFile)));
    const port = await freePort();
    const flags = [`--config.file=${file}`, `--web.listen-address=127.0.0.1:${port}`, "--log.level=error"];
    const child = startOn(this.#place.core, limited([this.#command, ...flags]), { stdio: "ignore" });
    await answers(`http://127.0.0.1:${port}/-/healthy`, AbortSignal.timeout(10_000));
    return new BlackboxRun(child, new LoadGenerator(port, site, load));
  }
}

class BlackboxRun implements CheckerRun {
  readonly #process: ChildProcess;
  readonly #generator: LoadGenerator;

  constructor(child: ChildProcess, generator: LoadGenerator) {
    this.#process = child;
    this.#generator = generator;
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  checks() {
    return this.#generator.checks();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#generator[Symbol.asyncDispose]();
    await stopped(this.#process);
  }
}

/** What our producer does: the page has to match, over HTTP/1.1, within 10 seconds. JSON is YAML. */
function moduleFor(caFile: string) {
  const http = {
    fail_if_body_not_matches_regexp: [PATTERN],
    tls_config: { ca_file: caFile },
    enable_http2: false,
    preferred_ip_protocol: "ip4",
  };
  return { modules: { page: { prober: "http", timeout: "10s", http } } };
}

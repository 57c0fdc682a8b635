import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../../tools/free_ports.ts";
import { answers } from "./answers.ts";
import { type Core, startOn } from "./cores.ts";
import { BODY, type LoadedSite, type Scheme, type Seen } from "./site.ts";

/** Seconds that it runs at most. */
const LONGEST = 1200;

/**
 * A site that takes next to nothing of the cores: nginx with one page. So all cores can be the
 * checker's. It does not wait with its answers, and notes nothing.
 */
export class LightSite implements LoadedSite, AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #port: number;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.#port = port;
  }

  /** Null where nginx is not on the PATH. */
  static async open(core: Core, folder: string): Promise<LightSite | null> {
    if (spawnSync("nginx", ["-v"]).status !== 0) return null;
    const [port, place] = [await freePort(), join(folder, "nginx")];
    await mkdir(place);
    const file = join(place, "nginx.conf");
    await writeFile(
      file,
      `daemon off; pid ${place}/pid; error_log stderr emerg; worker_processes 1; events { worker_connections 8192; }
http {
  access_log off; default_type text/html;
  client_body_temp_path ${place}/1; proxy_temp_path ${place}/2; fastcgi_temp_path ${place}/3;
  uwsgi_temp_path ${place}/4; scgi_temp_path ${place}/5;
  server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 '${BODY}'; } }
}
`,
    );
    // It ends by itself where nobody is left to end it.
    const command = ["timeout", String(LONGEST), "nginx", "-p", place, "-c", file];
    const child = startOn(core, command, { stdio: ["ignore", "ignore", "inherit"] });
    const site = new LightSite(child, port);
    try {
      await answers(site.address("http", 0), AbortSignal.timeout(10_000));
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
    return site;
  }

  /** Of HTTP alone. */
  address(_scheme: Scheme, index: number): string {
    return `http://127.0.0.1:${this.#port}/${index}`;
  }

  async seen(): Promise<Seen> {
    return await Promise.resolve({ waits: {}, firstAt: null });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    // Passed on to nginx and its worker.
    this.#process.kill("SIGTERM");
    await once(this.#process, "exit");
  }
}

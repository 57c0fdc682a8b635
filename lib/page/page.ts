import { unlessAborted } from "../async/waits.ts";
import type { PageSettings } from "../config/settings.ts";
import type { Site } from "../net/http_port.ts";
import { explain } from "../postgres/database.ts";
import type { HostReader } from "../postgres/host_reader.ts";
import { PageFolder } from "./page_folder.ts";

/** Milliseconds between two lines of the log that say why the page is not whole. */
const TELL_INTERVAL = 60_000;
/** Milliseconds that the end waits for a file under way. */
const LAST_FILE = 1_000;

/** The part of a program that the page needs. */
export interface PageService {
  readonly log: { warn(message: string): void };
}

/**
 * The page that shows how the hosts are. What makes it is loaded when it is first asked for: most
 * consumers never show one.
 */
export class Page implements Site {
  readonly names: readonly string[];
  readonly #settings: PageSettings;
  readonly #log: PageService["log"];
  readonly #folder: PageFolder | null;
  #reader: HostReader | null = null;
  #answer: Promise<(request: Request) => Response | Promise<Response>> | null = null;
  #toldAt = -Infinity;

  private constructor(settings: PageSettings, folder: PageFolder | null, { log }: PageService) {
    this.#folder = folder;
    this.#settings = settings;
    this.#log = log;
    this.names = settings.url === null ? [] : [new URL(settings.url).hostname.toLowerCase()];
  }

  /** Throws a `UsageError` if the folder of the page cannot be used. */
  static async plan(settings: PageSettings, service: PageService): Promise<Page> {
    const { directory } = settings;
    return new Page(settings, directory === null ? null : await PageFolder.open(directory), service);
  }

  /** From now on the page can be shown. */
  read(reader: HostReader): void {
    this.#reader = reader;
  }

  async answer(request: Request): Promise<Response> {
    const reader = this.#reader;
    if (reader === null) {
      const headers = { "Content-Type": "text/plain; charset=utf-8", "Retry-After": "10" };
      return new Response("The database was not reached yet: try again in a moment.\n", { status: 503, headers });
    }
    const answer = await (this.#answer ??= this.#load(reader));
    return await answer(request);
  }

  /** Writes the page into its folder, if it has one, until the result is disposed of. */
  write(reader: HostReader): AsyncDisposable {
    const ending = new AbortController();
    const writing = this.#folder === null ? null : this.#write(this.#folder, reader, ending.signal);
    return {
      async [Symbol.asyncDispose]() {
        ending.abort();
        await unlessAborted(Promise.resolve(writing), AbortSignal.timeout(LAST_FILE)).catch(() => {});
      },
    };
  }

  async #write(folder: PageFolder, reader: HostReader, signal: AbortSignal): Promise<void> {
    const { PageFiles } = await import("./files.ts");
    await new PageFiles(folder, reader, this.#settings, (error) => this.#tell(error)).run(signal);
  }

  async #load(reader: HostReader): Promise<(request: Request) => Response | Promise<Response>> {
    const { createSite } = await import("./site.ts");
    const site = createSite(reader, this.#settings, (error) => this.#tell(error));
    return (request) => site.fetch(request);
  }

  #tell(error: unknown): void {
    if (performance.now() - this.#toldAt < TELL_INTERVAL) return;
    this.#toldAt = performance.now();
    this.#log.warn(`A part of the page could not be made: ${explain(error)}`);
  }
}

import { createHash } from "node:crypto";
import { delay } from "../async/waits.ts";
import type { PageSettings } from "../config/settings.ts";
import type { HostReader } from "../postgres/host_reader.ts";
import { Documents, type OnTrouble } from "./documents.ts";
import { Hosts, type HostState, type ShownHost } from "./shown_hosts.ts";
import { EVERYTHING, type Links } from "./markup.ts";
import { PAGE_SIZE } from "./overview.ts";
import type { PageFolder } from "./page_folder.ts";

/** Milliseconds from one renewal to the next. */
const RENEW_INTERVAL = 60_000;

/** The name of a host's files, without their ending: readable, and different for each address. */
export function fileName(address: string): string {
  const slug = address.replace(/^https?:\/\//i, "").toLowerCase().replaceAll(/[^a-z0-9.]+/g, "-").slice(0, 60);
  const hash = createHash("sha256").update(address).digest("hex").slice(0, 12);
  return `${slug.replaceAll(/^[-.]+|[-.]+$/g, "")}-${hash}`.replace(/^-/, "");
}

const pageName = (page: number) => page === 1 ? "index.html" : `page-${page}.html`;
const hostName = (address: string) => `host/${fileName(address)}.html`;
const badgeName = (address: string) => `badge/${fileName(address)}.svg`;

/** The links of files that are `up` away from the folder. */
function linksFrom(up: "" | "../"): Links {
  return {
    canSearch: false,
    overview: ({ page } = EVERYTHING) => up + pageName(page),
    host: (address) => up + hostName(address),
    feed: `${up}feed.atom`,
  };
}

/** Writes the page as files, again and again. */
export class PageFiles {
  readonly #folder: PageFolder;
  readonly #hosts: Hosts;
  readonly #top: Documents;
  readonly #below: Documents;
  readonly #onTrouble: OnTrouble;
  /** The hosts whose page is written: when, and what it said. */
  readonly #written = new Map<string, { readonly at: number; readonly state: HostState }>();

  constructor(folder: PageFolder, reader: HostReader, settings: PageSettings, onTrouble: OnTrouble) {
    this.#folder = folder;
    // What one renewal has read is too old for the next one.
    this.#hosts = new Hosts(reader, settings.hosts, RENEW_INTERVAL / 2);
    this.#onTrouble = onTrouble;
    this.#top = new Documents(this.#hosts, settings, linksFrom(""), true, onTrouble);
    this.#below = new Documents(this.#hosts, settings, linksFrom("../"), true, onTrouble);
  }

  /** Renews the files every minute, until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const began = performance.now();
      try {
        await this.renew(signal);
      } catch (error) {
        if (!signal.aborted) this.#onTrouble(error);
      }
      await delay(Math.max(0, began + RENEW_INTERVAL - performance.now()), signal);
    }
  }

  /**
   * Writes all pages of the overview, badges, API and feed, and then hosts, as far as the time goes:
   * those that changed first, then those that were written longest ago. Removes the files of hosts
   * that are gone.
   */
  async renew(signal: AbortSignal): Promise<void> {
    const end = performance.now() + RENEW_INTERVAL;
    const { hosts } = await this.#hosts.now();
    const pages = Array.from({ length: Math.max(1, Math.ceil(hosts.length / PAGE_SIZE)) }, (_, i) => i + 1);
    const general = ["feed.atom", "api/hosts.json", "api/incidents.json"];
    const ofHosts = hosts.flatMap(({ address }) => [hostName(address), badgeName(address)]);
    const names = new Set([...pages.map(pageName), ...general, ...ofHosts]);
    await this.#folder.announce(names);
    for (const page of pages) {
      if (signal.aborted) return;
      await this.#gently(signal, () => this.#writePage(page, hosts.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE)));
    }
    const files = ({ address }: ShownHost) => ({ page: hostName(address), badge: badgeName(address) });
    await this.#folder.write("api/hosts.json", await this.#top.hostsJson(files));
    await this.#folder.write("api/incidents.json", await this.#top.incidentsJson());
    await this.#folder.write("feed.atom", await this.#top.feed());
    for (const host of this.#inOrder(hosts)) {
      if (signal.aborted || performance.now() > end) break;
      await this.#gently(signal, () => this.#writeHost(host));
    }
    await this.#folder.keepOnly(names);
  }

  /** The database has as much time for others. */
  async #gently(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const began = performance.now();
    await work();
    await delay(performance.now() - began, signal);
  }

  async #writePage(page: number, hosts: readonly ShownHost[]): Promise<void> {
    await this.#folder.write(pageName(page), await this.#top.overview({ ...EVERYTHING, page }));
    const badges = await this.#top.badges(hosts);
    for (const { address } of hosts) await this.#folder.write(badgeName(address), badges.get(address) ?? "");
  }

  async #writeHost({ address, state }: ShownHost): Promise<void> {
    const text = await this.#below.host(address);
    if (text === null) return;
    await this.#folder.write(hostName(address), text);
    this.#written.set(address, { at: performance.now(), state });
  }

  #inOrder(hosts: readonly ShownHost[]): ShownHost[] {
    const present = new Set(hosts.map(({ address }) => address));
    for (const address of this.#written.keys()) if (!present.has(address)) this.#written.delete(address);
    const age = ({ address, state }: ShownHost) => {
      const before = this.#written.get(address);
      return before === undefined || before.state !== state ? -Infinity : before.at;
    };
    const ages = new Map(hosts.map((host) => [host, age(host)]));
    return hosts.toSorted((a, b) => {
      const [first, second] = [ages.get(a) ?? 0, ages.get(b) ?? 0];
      return first === second ? 0 : first < second ? -1 : 1;
    });
  }
}

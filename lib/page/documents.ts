import { html } from "hono/html";
import type { PageSettings } from "../config/settings.ts";
import { badge } from "./badge.ts";
import { feed } from "./feed.ts";
import { Hosts, type ShownHost, type Snapshot } from "./shown_hosts.ts";
import { hostView } from "./host_view.ts";
import { layout, stateWord } from "./layout.ts";
import type { Links, Markup, OverviewQuery } from "./markup.ts";
import { headline, moodOf, overview, select } from "./overview.ts";

/** The title of a page that got none. */
const TITLE = "Host Checker";

/** Hears why a part of a page is missing. */
export type OnTrouble = (error: unknown) => void;

/** Everything that the page consists of, as texts: over HTTP and as files they are the same. */
export class Documents {
  readonly #hosts: Hosts;
  readonly #settings: PageSettings;
  readonly #links: Links;
  readonly #isFile: boolean;
  readonly #onTrouble: OnTrouble;

  constructor(hosts: Hosts, settings: PageSettings, links: Links, isFile: boolean, onTrouble: OnTrouble) {
    this.#hosts = hosts;
    this.#settings = settings;
    this.#links = links;
    this.#isFile = isFile;
    this.#onTrouble = onTrouble;
  }

  /** A page of the overview. */
  async overview(query: OverviewQuery): Promise<string> {
    const snapshot = await this.#hosts.now();
    const selection = select(snapshot, query);
    const pasts = await this.#orNull(this.#hosts.pasts(selection.hosts.map(({ address }) => address)));
    const incidents = snapshot.counts.down === 0 ? [] : await this.#orNull(this.#hosts.incidents()) ?? [];
    const lasting = incidents.filter(({ kind, closed_at }) => kind === "down" && closed_at === null);
    const open = new Map(lasting.map((incident) => [incident.address, incident]));
    const content = overview({ snapshot, selection, query, pasts, open }, this.#links);
    return await this.#page(headline(snapshot), snapshot, content);
  }

  /** The page of a host; null: there is none that may be shown. */
  async host(address: string): Promise<string | null> {
    const snapshot = await this.#hosts.now();
    const host = snapshot.byAddress.get(address);
    if (host === undefined) return null;
    const details = await this.#orNull(this.#hosts.details(address));
    const content = hostView(host, details, snapshot.at);
    return await this.#page(`${stateWord(host.state)}: ${address}`, snapshot, content, host);
  }

  /** The badge of a host; null: there is none that may be shown. */
  async badge(address: string): Promise<string | null> {
    const host = (await this.#hosts.now()).byAddress.get(address);
    return host === undefined ? null : (await this.badges([host])).get(address) ?? null;
  }

  /** The badges of some hosts, by their addresses. */
  async badges(hosts: readonly ShownHost[]): Promise<ReadonlyMap<string, string>> {
    const pasts = await this.#orNull(this.#hosts.pasts(hosts.map(({ address }) => address)));
    const made = hosts.map(async (host) => {
      return [host.address, await textOf(badge(host, pasts?.get(host.address) ?? null))] as const;
    });
    return new Map(await Promise.all(made));
  }

  /** What `/api/hosts` answers. `more` adds to each host. */
  async hostsJson(more: (host: ShownHost) => object = () => ({})): Promise<string> {
    const { at, hosts, counts } = await this.#hosts.now();
    const list = hosts.map((host) => ({ ...host, ...more(host) }));
    return `${JSON.stringify({ as_of: at, counts, hosts: list })}\n`;
  }

  /** What `/api/incidents` answers. */
  async incidentsJson(): Promise<string> {
    const { at } = await this.#hosts.now();
    return `${JSON.stringify({ as_of: at, incidents: await this.#hosts.incidents() })}\n`;
  }

  async feed(): Promise<string> {
    const { at } = await this.#hosts.now();
    const { url } = this.#settings;
    const absolute = url === null ? null : (path: string) => new URL(path.replace(/^\//, ""), url).href;
    const { host, feed: self } = this.#links;
    const incidents = await this.#hosts.incidents();
    return await textOf(feed({ title: this.title, incidents, at, absolute, host, self }));
  }

  /** A page that says that there is nothing. */
  async missing(): Promise<string> {
    const snapshot = await this.#hosts.now();
    const content = html`
      <section class="banner">
        <h1>No such page</h1>
        <p>The host is not checked any more, or never was. <a href="${this.#links.overview()}">All hosts</a></p>
      </section>
    `;
    return await this.#page("No such page", snapshot, content);
  }

  get title(): string {
    return this.#settings.title ?? TITLE;
  }

  async #page(
    title: string,
    snapshot: Snapshot,
    content: Markup,
    host?: ShownHost,
  ): Promise<string> {
    const mood = host?.state ?? moodOf(snapshot);
    const frame = { siteTitle: this.title, title, links: this.#links, mood, at: snapshot.at, isFile: this.#isFile };
    return await textOf(layout(frame, content));
  }

  /** A part of a page that may be missing. */
  async #orNull<T>(part: Promise<T>): Promise<T | null> {
    try {
      return await part;
    } catch (error) {
      this.#onTrouble(error);
      return null;
    }
  }
}

/** A document begins with its first character: XML allows nothing before its declaration. */
async function textOf(markup: Markup): Promise<string> {
  return `${String(await markup).trim()}\n`;
}

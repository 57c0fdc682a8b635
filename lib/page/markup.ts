import { html } from "hono/html";

/** A piece of a page, in which everything from outside is escaped. */
export type Markup = ReturnType<typeof html>;

/** Where the parts of a page lead to. Over HTTP these are paths with queries; in files, file names. */
export interface Links {
  /** True if the page can be searched: something answers the form. */
  readonly canSearch: boolean;
  overview(query?: OverviewQuery): string;
  host(address: string): string;
  readonly feed: string;
}

/** What an overview shows: hosts in whose address `q` stands, of one state, in pages from 1 on. */
export interface OverviewQuery {
  readonly q: string;
  readonly state: string;
  readonly page: number;
}

/** The query of an overview that shows everything. */
export const EVERYTHING: OverviewQuery = { q: "", state: "", page: 1 };

/** The links of a page that is served. */
export const SERVED: Links = {
  canSearch: true,
  overview(query = EVERYTHING) {
    const { q, state, page } = query;
    const parameters = Object.entries({ q, state, page: page === 1 ? "" : String(page) });
    const given = new URLSearchParams(parameters.filter(([, value]) => value !== ""));
    return given.size === 0 ? "/" : `/?${given}`;
  },
  host: (address) => `/host?${new URLSearchParams({ address })}`,
  feed: "/feed.atom",
};

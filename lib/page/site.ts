import { type Context, Hono } from "hono";
import { etag } from "hono/etag";
import type { PageSettings } from "../config/settings.ts";
import type { HostReader } from "../postgres/host_reader.ts";
import { Documents, type OnTrouble } from "./documents.ts";
import { HOST_STATES, Hosts } from "./shown_hosts.ts";
import { POLICY } from "./layout.ts";
import { EVERYTHING, type OverviewQuery, SERVED } from "./markup.ts";

const [HTML, SVG, JSON_TYPE, ATOM] = [
  "text/html; charset=utf-8",
  "image/svg+xml; charset=utf-8",
  "application/json",
  "application/atom+xml; charset=utf-8",
] as const;

/** Characters of a query that are looked at. */
const LONGEST_QUERY = 200;

/** Answers the requests for the page. */
export function createSite(reader: HostReader, settings: PageSettings, onTrouble: OnTrouble): Hono {
  const documents = new Documents(new Hosts(reader, settings.hosts), settings, SERVED, false, onTrouble);
  const site = new Hono();
  site.use(async (context, next) => {
    await next();
    const { headers } = context.res;
    headers.set("Content-Security-Policy", `${POLICY}; frame-ancestors 'none'`);
    headers.set("X-Content-Type-Options", "nosniff");
    // Addresses of hosts stand in the page's own address.
    headers.set("Referrer-Policy", "no-referrer");
  });
  site.use(etag());
  site.get("/", async (context) => answer(context, HTML, await documents.overview(queryOf(context)), 5));
  site.get("/host", async (context) => {
    const page = await documents.host(addressOf(context));
    return page === null ? context.notFound() : answer(context, HTML, page, 5);
  });
  site.get("/badge.svg", async (context) => {
    const picture = await documents.badge(addressOf(context));
    return picture === null ? context.notFound() : answer(context, SVG, picture, 60);
  });
  site.get("/api/hosts", async (context) => answer(context, JSON_TYPE, await documents.hostsJson(), 5));
  site.get("/api/incidents", async (context) => answer(context, JSON_TYPE, await documents.incidentsJson(), 30));
  site.get("/feed.atom", async (context) => answer(context, ATOM, await documents.feed(), 60));
  site.notFound(async (context) => context.body(await documents.missing(), 404, { "Content-Type": HTML }));
  site.onError((error, context) => {
    onTrouble(error);
    const sorry = "The database does not answer in time: try again in a minute.\n";
    return context.text(sorry, 503, { "Retry-After": "30", "Cache-Control": "no-store" });
  });
  return site;
}

/** `seconds`: for so long a reader need not ask again. */
function answer(context: Context, type: string, body: string, seconds: number): Response {
  return context.body(body, 200, { "Content-Type": type, "Cache-Control": `max-age=${seconds}` });
}

const addressOf = (context: Context) => context.req.query("address") ?? "";

/** What a query asks for. What makes no sense counts as not given. */
function queryOf(context: Context): OverviewQuery {
  const { q = "", state = "", page = "1" } = context.req.query();
  return {
    q: q.slice(0, LONGEST_QUERY).trim(),
    state: HOST_STATES.find((one) => one === state) ?? EVERYTHING.state,
    page: /^\d{1,7}$/.test(page) ? Math.max(1, Number(page)) : 1,
  };
}

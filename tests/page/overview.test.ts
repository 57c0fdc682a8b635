import { expect, it } from "vitest";
import type { HostReader } from "../../lib/postgres/host_reader.ts";
import { createSite } from "../../lib/page/site.ts";

/** The overview of a table without hosts, seen by a reader that knows nothing of these places. */
async function overviewOf(unknownPlaces: readonly (string | null)[]): Promise<string> {
  const nothing = () => Promise.resolve([]);
  const reader = { unknownPlaces, now: nothing, troubled: nothing, incidents: nothing } as Partial<HostReader>;
  const settings = { directory: null, title: null, hosts: null, url: null };
  const site = createSite(reader as HostReader, settings, (error) => {
    throw error;
  });
  return await (await site.request("/")).text();
}

it("the overview says from which places nothing is known, and is silent where all is well", async () => {
  const said = "All canaries are down as seen from ";
  expect(await overviewOf(["<Oslo>", null])).toContain(`${said}&lt;Oslo&gt;, a place without a name: `);
  expect(await overviewOf([])).not.toContain(said);
});

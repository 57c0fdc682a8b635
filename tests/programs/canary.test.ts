import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { freePort } from "../../tools/free_ports.ts";
import { eventually } from "../support/eventually.ts";
import { checkOf } from "../support/incidents.ts";
import { RUNTIMES, start } from "../support/programs.ts";
import { openReceiver } from "../support/receiver.ts";
import { denoMissing } from "../support/runtimes.ts";

// The network of a place fails, as a user of the consumer sees it.

const folder = mkdtempSync(join(tmpdir(), "test-canary-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
const CANARY = "https://canary.example";

it.each(runtimes)(
  "a consumer with a canary tells of the canary alone while a place has no network, under %s",
  async (runtime) => {
    await using receiver = await openReceiver();
    const listen = `127.0.0.1:${await freePort()}`;
    const args = ["--stdin", "--embedded", join(folder, runtime), "--canary", CANARY, "--listen", listen];
    const env = { NOTIFY: `http://127.0.0.1:${receiver.port}/`, NOTIFY_WAIT: "0", DB_BATCH_INTERVAL: "0.1" };
    await using consumer = start(runtime, "consumer", args, { env });
    const check = (address: string, minutes: number, isUp: boolean) => {
      const time = (minute: number) => new Date(Date.now() + minute * 60_000).toISOString();
      const times = { scheduled_at: time(minutes), checked_at: time(minutes), next_at: time(minutes + 5) };
      consumer.write(`${JSON.stringify(checkOf(0, isUp, { address, ...times }))}\n`);
    };
    for (const address of [CANARY, "https://a.example"]) {
      check(address, -6, true);
      for (const minutes of [-5, -4, -3]) check(address, minutes, false);
    }
    const saw = async (text: string) =>
      await eventually(() => consumer.stderr.includes(text), () => consumer.stderr, { timeout: 90_000 });
    await saw("All canaries are down, and nothing else is taken for down, as seen from: Oslo");
    const get = async (path: string) => await (await fetch(`http://${listen}${path}`)).text();
    expect(await get("/metrics")).toContain('host_checker_unknown_place{location="Oslo"} 1');
    expect(await get("/")).toContain("All canaries are down as seen from Oslo");
    check(CANARY, -2, true);
    await saw("A canary is up again, as seen from: Oslo");
    expect(await get("/metrics")).not.toContain("host_checker_unknown_place{");
    await eventually(() => receiver.received.length === 2, () => consumer.stderr, { timeout: 30_000 });
    const titles = receiver.received.map(({ body }) => /"title":"([^"]*)"/.exec(body)?.[1]);
    expect(receiver.received[0]?.body).toContain("while all canaries are down there, nothing else is taken for down");
    expect(titles).toEqual([`DOWN: ${CANARY}`, `UP: ${CANARY}`]);
    expect(consumer.stderr).not.toContain("Down: https://a.example");
  },
  120_000,
);

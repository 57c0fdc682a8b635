import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { freePort } from "../../tools/free_ports.ts";
import { eventually } from "../support/eventually.ts";
import { checkOf } from "../support/incidents.ts";
import { openMailServer } from "../support/mail_server.ts";
import { run, RUNTIMES, start } from "../support/programs.ts";
import { openReceiver } from "../support/receiver.ts";
import { denoMissing } from "../support/runtimes.ts";

// The consumer tells of outages, as a user starts it.

const folder = mkdtempSync(join(tmpdir(), "test-notify-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);

describe.each(runtimes)("the consumer under %s", (runtime) => {
  it("tells a target of an outage and of its end, and outlives a target that is away", async () => {
    await using receiver = await openReceiver();
    receiver.behaviours.push(500);
    const file = join(folder, `${runtime}.txt`);
    writeFileSync(
      file,
      `# mine\nhttp://127.0.0.1:${receiver.port}/secret\nhttp://127.0.0.1:${await freePort()}/secret\n`,
    );
    const args = ["--stdin", "--embedded", join(folder, runtime), "--notify-wait", "0", "--batch-interval", "0.1"];
    await using consumer = start(runtime, "consumer", args, { env: { NOTIFY_FILE: file, LOG_LEVEL: "DEBUG" } });
    const check = (minute: number, isUp: boolean) => consumer.write(`${JSON.stringify(checkOf(minute, isUp))}\n`);
    const told = async (tries: number, title: string) => {
      await eventually(() => receiver.received.length === tries, () => consumer.stderr, { timeout: 90_000 });
      expect(receiver.received.at(-1)?.body).toContain(`"title":"${title}: https://a.example"`);
    };
    check(0, true);
    check(1, false);
    check(2, false);
    await told(1, "DOWN");
    await told(2, "DOWN");
    expect(receiver.received[1]?.headers["idempotency-key"]).toBe(receiver.received[0]?.headers["idempotency-key"]);
    check(3, true);
    await told(3, "UP");
    consumer.endInput();
    const { code, stderr } = await consumer.ended;
    expect(code).toBe(0);
    expect(stderr).toContain("WARN  Down: https://a.example since ");
    expect(stderr).toMatch(/webhook 127\.0\.0\.1:\d+ #[0-9a-f]{6}: 1 notification not sent/);
    expect(stderr).not.toContain("secret");
  }, 120_000);

  it("--notify-test sends a message to each target, and ends with 1 where one does not take it", async () => {
    await using receiver = await openReceiver();
    const target = `ntfy+http://127.0.0.1:${receiver.port}/secret`;
    const good = await run(runtime, "consumer", ["--notify-test"], { env: { NOTIFY: target } });
    expect(good).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ntfy 127\.0\.0\.1:\d+ #\w+: accepted\n$/) });
    await using mailServer = await openMailServer();
    const mail = `smtp://127.0.0.1:${mailServer.port}?to=oncall@b.example`;
    const mailed = await run(runtime, "consumer", ["--notify-test"], { env: { NOTIFY: mail } });
    expect(mailed).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^smtp 127\.0\.0\.1:\d+ #\w+: accepted\n$/),
    });
    expect(mailServer.mails.map(({ text }) => /^Subject: (\w+)/m.exec(text)?.[1])).toEqual(["DOWN", "UP"]);
    const refused = `${target} http://127.0.0.1:${await freePort()}/secret`;
    const bad = await run(runtime, "consumer", ["--notify-test"], { env: { NOTIFY: refused } });
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/: accepted\nwebhook 127\.0\.0\.1:\d+ #\w+: it cannot be reached \(/);
    const wrong = await run(runtime, "consumer", ["--notify-test"], { env: { NOTIFY: "secret" } });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/^NOTIFY, target 1: write a URL that begins with /);
    expect([good, bad, wrong].map(({ stdout, stderr }) => stdout + stderr).join()).not.toContain("secret");
  }, 90_000);
});

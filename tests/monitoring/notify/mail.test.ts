import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { parseTargets } from "../../../lib/config/notify_targets.ts";
import { sendMessage } from "../../../lib/monitoring/notify/sender.ts";
import type { NotificationMessage } from "../../../lib/postgres/store.ts";
import { openMailServer } from "../../support/mail_server.ts";

const MESSAGE: NotificationMessage = {
  id: "7d2b3c56-0000-4000-8000-000000000000",
  tries: 1,
  notifications: [{
    event: "opened",
    incident: "i1",
    kind: "down",
    address: "https://ü.example",
    openedAt: new Date("2026-01-31T12:03:00Z"),
    closedAt: null,
    locations: [],
    error: null,
    errorDetail: null,
    statusCode: 503,
    checks: 2,
    lastUp: null,
  }],
};

/** Sends the message to each recipient. Gives what became of it. */
async function send(target: string, stop = new AbortController().signal): Promise<string[]> {
  const { targets, problems } = parseTargets(target, false);
  expect(problems).toEqual([]);
  const outcomes: string[] = [];
  for (const each of targets) {
    outcomes.push(
      await sendMessage(each, MESSAGE, { page: null, stop }).then(() => "accepted", (error: Error) => error.message),
    );
  }
  return outcomes;
}

it("a mail says what is down in its subject, and has the message's id", async () => {
  await using server = await openMailServer();
  expect(await send(`smtp://me:p%40ss@127.0.0.1:${server.port}?to=oncall@b.example&from=checker@b.example`)).toEqual([
    "accepted",
  ]);
  expect(server.logins).toEqual(["me:p@ss"]);
  expect(server.mails).toMatchObject([{ login: "me", to: ["oncall@b.example"] }]);
  const text = server.mails[0]?.text ?? "";
  expect(text).toMatch(/^Subject: =\?UTF-8\?Q\?DOWN=3A_https=3A\/\/=C3=BC=2Eexample\?=\r$/m);
  expect(text).toMatch(/^From: checker@b\.example\r$/m);
  expect(text).toMatch(/^Message-ID: <7d2b3c56-0000-4000-8000-000000000000@host-checker>\r$/m);
  expect(text).toMatch(/^Idempotency-Key: 7d2b3c56-0000-4000-8000-000000000000\r$/m);
});

it("a recipient that the server refuses holds up no other", async () => {
  await using server = await openMailServer();
  const outcomes = await send(`smtp://127.0.0.1:${server.port}?to=nobody@b.example,oncall@b.example`);
  expect(outcomes).toEqual([expect.stringMatching(/^the mail server is away, or refuses it \(\w+ 550\)$/), "accepted"]);
  expect(server.mails.map(({ to }) => to)).toEqual([["oncall@b.example"]]);
});

it("a server that is away, or speaks no TLS where it should, takes nothing", async () => {
  await using server = await openMailServer();
  const [away] = await send("smtp://127.0.0.1:1?to=oncall@b.example");
  expect(away).toMatch(/^the mail server is away, or refuses it \(\w+\)$/);
  const [plain] = await send(`smtps://127.0.0.1:${server.port}?to=oncall@b.example`);
  expect(plain).toMatch(/^the mail server is away, or refuses it \(\w+\)$/);
  expect(server.mails).toEqual([]);
});

it("a password goes to no other machine without TLS", async () => {
  await using server = await openMailServer();
  // It leads here, too, but nothing in it says so.
  const host = `0.0.0.0:${server.port}`;
  const [outcome] = await send(`smtp://me:secret@${host}?to=oncall@b.example`);
  expect(outcome).toMatch(/^the mail server is away, or refuses it \(ETLS/);
  expect(server.logins).toEqual([]);
  expect(await send(`smtp://${host}?to=oncall@b.example`)).toEqual(["accepted"]);
});

it("a server that says nothing is left when the program stops", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const { port } = silent.address() as AddressInfo;
  const stop = AbortSignal.timeout(100);
  expect(await send(`smtp://127.0.0.1:${port}?to=oncall@b.example`, stop)).toEqual(["no answer in time"]);
  silent.close();
});

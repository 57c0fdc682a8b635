import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { Certificates, type Identity } from "../support/certificates.ts";
import type { Refused } from "../support/handshake_runner.ts";
import { skipped } from "../support/kafka.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";
import { openSite } from "../support/site.ts";

const [certificates, stranger] = [new Certificates(), new Certificates()];
afterAll(() => {
  certificates[Symbol.dispose]();
  stranger[Symbol.dispose]();
});

const REFUSED = "its certificate is refused, though a CA that is trusted here signed it";
const OTHER_CA = "its certificate is of another CA than those that are trusted here";

/** The certificate of each broker, and the words about it; null: none. */
const CASES: Readonly<Record<string, readonly [identity: Identity, said: string | null]>> = {
  "a good certificate": [certificates.good, null],
  "a CA of the same name": [stranger.good, OTHER_CA],
  "a missing intermediate": [certificates.withoutIntermediate, OTHER_CA],
  "a self-signed certificate": [certificates.selfSigned, OTHER_CA],
  "a name that it is not for": [certificates.otherName, "its certificate is not for localhost, but for other.example"],
  "an expired certificate": [certificates.expired, "its certificate expired on "],
  "a certificate for clients": [certificates.forClients, REFUSED],
  "a certificate signed with SHA-1": [certificates.sha1, REFUSED],
  "an intermediate signed with SHA-1": [certificates.sha1Intermediate, REFUSED],
  "an intermediate that is no authority": [certificates.noAuthority, REFUSED],
  "an intermediate for other names": [certificates.outsideConstraints, REFUSED],
};

describe.each(COMMANDS)("findRefusal under $runtime", ({ missing, command }) => {
  it.runIf(missing === null || skipped(missing))("findRefusal blames another CA only where it is one", async () => {
    await using stack = new AsyncDisposableStack();
    const ports: Record<string, number> = {};
    for (const [name, [identity]] of Object.entries(CASES)) {
      // It answers any question.
      const onAccept = (socket: NodeJS.WritableStream & NodeJS.ReadableStream) =>
        !!socket.on("data", () => socket.write("x"));
      ports[name] = stack.use(await openSite(() => {}, { identity, onAccept })).port;
    }
    const ca = readFileSync(certificates.authorityFile, "utf8");
    const said = await runScript<Refused>(command, "handshake_runner.ts", { ports, ca });
    expect(said.map(({ name }) => name)).toEqual(Object.keys(CASES));
    for (const { name, message } of said) {
      const expected = CASES[name]?.[1] ?? null;
      if (expected === null) expect(message).toBeNull();
      else expect(message).toContain(expected);
    }
  });
});

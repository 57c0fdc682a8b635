import { X509Certificate } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { readCertificate } from "../../lib/check/certificate.ts";
import { CertificateJudge } from "../../lib/check/judgement.ts";
import type { Authorities } from "../../lib/check/paths.ts";
import { Certificates } from "../support/certificates.ts";
import type { Identity } from "../support/certificates.ts";

const certificates = new Certificates();
afterAll(() => certificates[Symbol.dispose]());

const PEM = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const rawsOf = ({ cert }: Pick<Identity, "cert">) =>
  (cert.match(PEM) ?? []).map((pem) => Buffer.from(new X509Certificate(pem).raw));
const root = readCertificate(rawsOf(certificates.withRoot).at(-1) as Buffer);
const authorities: Authorities = { named: (subject) => root !== null && root.subject === subject ? [root] : [] };
const stranger: Authorities = { named: () => [] };
const TRUSTED = { isTrusted: true, code: "null", words: "" };
const REFUSED = { isTrusted: false, code: "SOME_CODE", words: "SOME_CODE" };

describe("the judge of certificates", () => {
  const good = rawsOf(certificates.good);
  const judge = new CertificateJudge(authorities);

  it.each(["localhost", "LOCALHOST", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1"])("finds the name %s", (host) => {
    expect(judge.judge(good, host, TRUSTED).reason).toBeNull();
  });

  it.each(["a.localhost", "localhos", "127.0.0.2", "::2", "::ffff:127.0.0.1"])("misses the name %s", (host) => {
    expect(judge.judge(good, host, TRUSTED).reason).toBe(
      `certificate is not for ${host} (it is for localhost, 127.0.0.1, ::1)`,
    );
  });

  it.each<[string, number, string | null]>([
    ["nameConstraints = permitted;DNS:localhost, permitted;IP:127.0.0.0/255.0.0.0, permitted;IP:::1/FFFF::", 0, null],
    ["nameConstraints = permitted;IP:10.0.0.0/255.0.0.0", 0, "may not sign for 127.0.0.1 (by its name constraints)"],
    ["nameConstraints = permitted;IP:127.0.0.0/255.0.0.0", 0, "may not sign for ::1 (by its name constraints)"],
    [
      "nameConstraints = excluded;IP:127.0.0.0/255.255.255.0",
      0,
      "may not sign for 127.0.0.1 (by its name constraints)",
    ],
    ["nameConstraints = excluded;DNS:localhost", 0, "may not sign for localhost (by its name constraints)"],
    ["keyUsage = cRLSign", 0, "is not for signing certificates (by its key usage)"],
    ["basicConstraints = critical, CA:TRUE, pathlen:0", 0, null],
    ["basicConstraints = critical, CA:TRUE, pathlen:0", 1, "allows fewer intermediates below it"],
  ])("judges an authority with %s above %i more", (extension, levels, fault) => {
    const basic = extension.startsWith("basic") ? [] : ["basicConstraints = critical, CA:TRUE"];
    const chain = rawsOf(certificates.belowOne([...basic, extension], levels));
    const { reason } = judge.judge(chain, "localhost", TRUSTED);
    expect(reason).toEqual(fault && expect.stringContaining(fault));
  });

  it("takes no path for good that the runtime refuses, nor one of its own that nobody verified", () => {
    expect(judge.judge(good, "localhost", REFUSED).reason).toBe("certificate is refused (SOME_CODE)");
    expect(new CertificateJudge(stranger).judge(good, "localhost", REFUSED).reason).toBe(
      "certificate's issuer is not known, or an intermediate certificate is missing",
    );
  });

  it("takes the runtime's word for an authority that it does not know", () => {
    const { reason, expiresAt } = new CertificateJudge(stranger).judge(good, "localhost", TRUSTED);
    expect({ reason, expiresAt: expiresAt?.toISOString() }).toEqual({
      reason: null,
      expiresAt: certificates.expiry.intermediate,
    });
  });

  it("takes no authority that serves for good because of the code that Deno has for it, unless it was signed by one", () => {
    const code = { isTrusted: false, code: "DEPTH_ZERO_SELF_SIGNED_CERT", words: "" };
    const serving = rawsOf(certificates.authorityAsServer);
    expect(judge.judge(serving, "localhost", code).reason).toBeNull();
    expect(judge.judge(serving, "elsewhere.test", code).reason).toMatch(/^certificate is not for elsewhere.test/);
    expect(new CertificateJudge(stranger).judge(serving, "localhost", code).reason).not.toBeNull();
    const forged = Buffer.from(serving[0] as Buffer);
    // The last byte is a part of the signature.
    forged.writeUInt8((forged.at(-1) as number) ^ 1, forged.length - 1);
    expect(judge.judge([forged], "localhost", code).reason).not.toBeNull();
  });

  it("reads whatever comes, and takes none for good that was changed and that nobody has verified", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    let state = seed;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return Math.floor(state / 0x80000000 * below);
    };
    const code = { isTrusted: false, code: "DEPTH_ZERO_SELF_SIGNED_CERT", words: "" };
    const kinds = [good, rawsOf(certificates.authorityAsServer), rawsOf(certificates.outsideConstraints)];
    for (let turn = 0; turn < 1500; turn++) {
      const chain = (kinds[random(kinds.length)] ?? good).map((raw) => Buffer.from(raw));
      const leaf = chain[0] as Buffer;
      const at = random(leaf.length);
      leaf.writeUInt8((leaf[at] as number) ^ (1 + random(255)), at);
      const cut = random(4) === 0 ? leaf.subarray(0, random(leaf.length)) : leaf;
      expect(judge.judge([cut, ...chain.slice(1)], "localhost", code).reason).not.toBeNull();
      judge.judge([cut, ...chain.slice(1)], "localhost", TRUSTED);
    }
  });
});

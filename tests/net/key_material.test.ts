import { execFileSync, spawnSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Server } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openssl } from "../../tools/kafka/certificates.ts";
import { Authority, welcomingServer } from "../support/authority.ts";
import {
  der,
  extension,
  type Fields,
  nameOf,
  pemOf,
  rsaKey,
  sequence,
  serialOf,
  signed,
  toBeSigned,
  utcTime,
} from "../support/certificate_maker.ts";
import { skipped } from "../support/kafka.ts";
import { KeyLoader } from "../support/key_loader.ts";
import type { Loaded } from "../support/key_material_runner.ts";
import { oddKeys, rareKeys } from "../support/odd_keys.ts";
import { COMMANDS } from "../support/runtimes.ts";

// Files as programs and people write them. Each works in a handshake under both runtimes, or is
// refused with a remedy.

const canRun = spawnSync("openssl", ["version"]).status === 0 ||
  skipped("Forms of keys are not tested: they need OpenSSL");
const hasKeytool = spawnSync("keytool").error === undefined;
const PASSWORD = "pässword €";
const ENCRYPTED = ["-passout", `pass:${PASSWORD}`];
/** A kind of key that both runtimes and a broker take. */
const KINDS = {
  p256: ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  p384: ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
  p521: ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
  rsa: ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  ed25519: ["ED25519"],
} as const;
const OTHER_KINDS = {
  secp256k1: ["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
  brainpool: ["EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"],
  explicit: ["EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
  short: ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
} as const;

const DAY = 86_400_000;
const ODD_KEYS = oddKeys();
const RARE_KEYS = rareKeys();

describe.runIf(canRun).each(COMMANDS.filter(({ missing }) => missing === null || skipped(missing)))(
  "loadKeyMaterial under $runtime",
  ({ runtime, command }) => {
    const folder = mkdtempSync(join(tmpdir(), "test-forms-"));
    const pki = new Authority(folder);
    let loader: KeyLoader;
    let server: Server;

    beforeAll(async () => {
      for (const [name, kind] of Object.entries({ root: KINDS.p256, old: KINDS.p256, ...KINDS, ...OTHER_KINDS })) {
        await pki.key(name, ...kind);
      }
      await pki.certificate("root");
      await pki.certificate("old", { days: -1 });
      for (const name of [...Object.keys(KINDS), ...Object.keys(OTHER_KINDS)]) {
        await pki.certificate(name, { issuer: "root" });
      }
      await pki.key("middle");
      await pki.certificate("middle", { issuer: "root", isAuthority: true });
      await pki.key("far");
      await pki.certificate("far", { issuer: "middle" });
      // The certificate of `middle` before its renewal, with the same key and name.
      await openssl("pkey", "-in", pki.path("middle.key"), "-out", pki.path("before.key"));
      await pki.certificate("before", { issuer: "root", isAuthority: true, days: -1, subject: "middle" });
      loader = new KeyLoader(command);
      server = await welcomingServer({ key: pki.read("rsa.key"), cert: pki.read("rsa.pem"), ca: pki.read("root.pem") });
    }, 120_000);
    afterAll(async () => {
      await loader?.[Symbol.asyncDispose]();
      server?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    interface Given {
      readonly ca?: string;
      readonly key?: string;
      readonly cert?: string;
      readonly password?: string;
    }

    /** The paths of files in the folder. */
    const load = ({ ca = "root.pem", key = "p256.key", cert = "p256.pem", password }: Given): Promise<Loaded> => {
      const [caFile, keyFile, certFile] = [ca, key, cert].map((name) => pki.path(name));
      const { port } = server.address() as AddressInfo;
      return loader.load({
        files: { caFile, keyFile, certFile, keyPassword: password ?? null },
        port,
        native: runtime === "Node",
      });
    };
    const welcomed = (loaded: Loaded) => {
      expect(loaded).toMatchObject({ problems: [], thrown: null, said: "welcome", refusal: null });
      expect(loaded.key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    };
    const refused = (loaded: Loaded, ...problems: readonly string[]) => {
      const want = problems.map((problem) => `${folder}/${problem}`);
      expect(loaded).toMatchObject({ problems: want.map((text) => expect.stringContaining(text)), thrown: null });
    };
    const countOf = (text: string | null) => text?.match(/BEGIN CERTIFICATE/g)?.length;

    it.each(Object.keys(KINDS))("takes a key of the kind %s in PKCS#8, PEM and DER", async (kind) => {
      welcomed(await load({ key: `${kind}.key`, cert: `${kind}.pem` }));
      await openssl(
        "pkcs8",
        "-topk8",
        "-nocrypt",
        "-in",
        pki.path(`${kind}.key`),
        "-outform",
        "DER",
        "-out",
        pki.path("k"),
      );
      await openssl("x509", "-in", pki.path(`${kind}.pem`), "-outform", "DER", "-out", pki.path("c"));
      welcomed(await load({ key: "k", cert: "c" }));
    });

    it.each(["rsa", "p256", "p384", "p521"])(
      "takes %s in the form of the time before PKCS#8, also encrypted",
      async (kind) => {
        const program = kind === "rsa" ? ["rsa", "-traditional"] : ["ec"];
        await openssl(...program, "-in", pki.path(`${kind}.key`), "-out", pki.path("old.form"));
        expect(pki.read("old.form")).toMatch(/BEGIN (RSA|EC) PRIVATE KEY/);
        welcomed(await load({ key: "old.form", cert: `${kind}.pem` }));
        for (const cipher of ["aes128", "aes192", "aes256", "des3"]) {
          await openssl(
            ...program,
            "-in",
            pki.path(`${kind}.key`),
            `-${cipher}`,
            ...ENCRYPTED,
            "-out",
            pki.path("locked"),
          );
          expect(pki.read("locked")).toContain("Proc-Type: 4,ENCRYPTED");
          welcomed(await load({ key: "locked", cert: `${kind}.pem`, password: PASSWORD }));
          refused(
            await load({ key: "locked", cert: `${kind}.pem`, password: "other" }),
            "locked: KAFKA_SSL_KEY_PASSWORD (or",
          );
          refused(
            await load({ key: "locked", cert: `${kind}.pem` }),
            "locked: the key is encrypted: put its password into",
          );
        }
      },
    );

    it("takes an EC key with its parameters in front", async () => {
      execFileSync("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-out", pki.path("params.key")]);
      expect(pki.read("params.key")).toMatch(/^-----BEGIN EC PARAMETERS/);
      await pki.certificate("params", { issuer: "root" });
      welcomed(await load({ key: "params.key", cert: "params.pem" }));
    });

    const SCHEMES = [
      ...["aes-128-cbc", "aes-256-cbc", "des-ede3-cbc"].flatMap((cipher) =>
        ["hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"].map((
          prf,
        ) => ["-v2", cipher, "-v2prf", prf])
      ),
      ["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA256"],
      ["-scrypt"],
      ["-v2", "aes-256-cbc", "-iter", "600000"],
    ];
    it.each(SCHEMES)("takes PKCS#8 that is encrypted with %s %s %s %s", async (...scheme) => {
      const flags = scheme.filter((flag) => flag !== undefined);
      await openssl("pkcs8", "-topk8", "-in", pki.path("p256.key"), ...flags, ...ENCRYPTED, "-out", pki.path("locked"));
      expect(pki.read("locked")).toContain("BEGIN ENCRYPTED PRIVATE KEY");
      welcomed(await load({ key: "locked", password: PASSWORD }));
      refused(await load({ key: "locked", password: "other" }), "locked: KAFKA_SSL_KEY_PASSWORD (or");
      refused(await load({ key: "locked" }), "locked: the key is encrypted: put its password into");
    });

    it("takes an encryption that only Node knows, or says that it is not known", async () => {
      const flags = ["-v2", "camellia-256-cbc", ...ENCRYPTED];
      await openssl("pkcs8", "-topk8", "-in", pki.path("p256.key"), ...flags, "-out", pki.path("locked"));
      const loaded = await load({ key: "locked", password: PASSWORD });
      if (runtime === "Node") welcomed(loaded);
      else refused(loaded, "locked: its encryption (PBES2 with 1.2.392.200011.61.1.1.1.4");
      await openssl(
        "pkcs8",
        "-topk8",
        "-in",
        pki.path("p256.key"),
        "-v1",
        "PBE-SHA1-3DES",
        ...ENCRYPTED,
        "-out",
        pki.path("v1"),
      );
      const older = await load({ key: "v1", password: PASSWORD });
      if (runtime === "Node") welcomed(older);
      else {refused(
          older,
          "v1: its encryption (PKCS#8's scheme 1.2.840.113549.1.12.1.3) is not known here: write the key anew",
        );}
    });

    it.each([["ed448", ["ED448"]], ["rsa-pss", ["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]]] as const)(
      "takes a key of the kind %s under Node alone",
      async (kind, arguments_) => {
        await pki.key(kind, ...arguments_);
        await pki.certificate(kind, { issuer: "root" });
        const loaded = await load({ key: `${kind}.key`, cert: `${kind}.pem` });
        if (runtime === "Node") welcomed(loaded);
        else refused(loaded, `${kind}.key: its key is of the kind ${kind}, which Deno does not take: run with Node`);
      },
    );

    it.each([
      ["secp256k1", "its key is on another curve than P-256, P-384 and P-521"],
      ["brainpool", "its key is on another curve than P-256, P-384 and P-521"],
      ["explicit", "its key is on another curve than P-256, P-384 and P-521, or describes the curve in full"],
      ["short", "its key is RSA with 1024 bits, which is too short for TLS: make one of RSA with 2048 bits or more"],
    ])("refuses a key of the kind %s", async (kind, words) => {
      refused(await load({ key: `${kind}.key`, cert: `${kind}.pem` }), `${kind}.key: ${words}`);
    });

    it("refuses DSA, X25519, and a key for SSH", async () => {
      await openssl(
        "genpkey",
        "-genparam",
        "-algorithm",
        "DSA",
        "-pkeyopt",
        "pbits:1024",
        "-out",
        pki.path("dsa.params"),
      );
      await openssl("genpkey", "-paramfile", pki.path("dsa.params"), "-out", pki.path("dsa.key"));
      refused(await load({ key: "dsa.key" }), "dsa.key: its key is of the kind dsa, which TLS does not take");
      await pki.key("x25519", "X25519");
      refused(await load({ key: "x25519.key" }), "x25519.key: its key is of the kind x25519, which TLS does not take");
      pki.write("ssh", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n");
      refused(await load({ key: "ssh" }), "ssh: this is a key for SSH: write a copy of it");
    });

    it("refuses PKCS#12, PKCS#7 and a store of Java's, with the command that writes them as PEM", async () => {
      const both = ["-inkey", pki.path("p256.key"), "-in", pki.path("p256.pem"), ...ENCRYPTED];
      await openssl("pkcs12", "-export", ...both, "-out", pki.path("store"));
      refused(
        await load({ key: "store", cert: "store" }),
        "store: is a PKCS#12 store: openssl pkcs12 -in",
        "store: is a PKCS#12",
      );
      await openssl("crl2pkcs7", "-nocrl", "-certfile", pki.path("root.pem"), "-out", pki.path("p7"));
      refused(
        await load({ ca: "p7" }),
        'p7: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----", but this is a "PKCS7": openssl pkcs7',
      );
      await openssl(
        "crl2pkcs7",
        "-nocrl",
        "-certfile",
        pki.path("root.pem"),
        "-outform",
        "DER",
        "-out",
        pki.path("p7"),
      );
      refused(
        await load({ ca: "p7" }),
        'p7: holds no certificate: want PEM text with "-----BEGIN CERTIFICATE-----", but this is a "PKCS7"',
      );
      if (!hasKeytool) return;
      const store = ["-keystore", pki.path("java"), "-storetype", "JKS", "-storepass", "changeit"];
      execFileSync("keytool", ["-importcert", "-noprompt", "-file", pki.path("root.pem"), ...store], {
        stdio: "ignore",
      });
      refused(await load({ ca: "java" }), "java: is a store of Java's: keytool -importkeystore");
    });

    const text = (name: string) => readFileSync(pki.path(name), "utf8");
    it.each<[string, (pem: string) => string | Uint8Array]>([
      ["a byte-order mark", (pem) => `\ufeff${pem}`],
      ["CRLF", (pem) => pem.replaceAll("\n", "\r\n")],
      ["CR", (pem) => pem.replaceAll("\n", "\r")],
      ["UTF-16, as PowerShell writes it", (pem) => Buffer.from(`\ufeff${pem}`, "utf16le")],
      ["UTF-16, the other way round", (pem) => Buffer.from(`\ufeff${pem}`, "utf16le").swap16()],
      [
        "text around it",
        (pem) => `Bag Attributes\n    localKeyID: 01 02\nsubject=/CN=x\n${pem}---\nServer certificate\n`,
      ],
      ["no newline at its end", (pem) => pem.trimEnd()],
      ["blocks in one line with the next", (pem) => pem.replaceAll("-----\n-----", "----------")],
      ["blanks around each line", (pem) => pem.replaceAll("\n", "  \n    ")],
      ["line breaks as in JSON", (pem) => pem.trimEnd().replaceAll("\n", "\\n")],
      ["lines of another length", (pem) => pem.replace(/([A-Za-z0-9+/=])\n(?=[A-Za-z0-9+/])/g, "$1")],
    ])("takes a file with %s", async (_, change) => {
      pki.write("ca", change(text("root.pem") + text("rsa.pem")));
      pki.write("key", change(text("p256.key")));
      pki.write("cert", change(text("p256.pem") + text("root.pem")));
      welcomed(await load({ ca: "ca", key: "key", cert: "cert" }));
    });

    it("takes X509 CERTIFICATE, and PKCS#8 that is called an RSA PRIVATE KEY", async () => {
      pki.write("cert", text("rsa.pem").replaceAll(" CERTIFICATE", " X509 CERTIFICATE"));
      pki.write("key", text("rsa.key").replaceAll(" PRIVATE KEY", " RSA PRIVATE KEY"));
      welcomed(await load({ cert: "cert", key: "key" }));
    });

    it.each(["-addtrust serverAuth", "-addtrust anyExtendedKeyUsage", "-setalias mine"])(
      "takes a TRUSTED CERTIFICATE with %s",
      async (flags) => {
        await openssl("x509", "-in", pki.path("root.pem"), "-trustout", ...flags.split(" "), "-out", pki.path("ca"));
        expect(text("ca")).toContain("BEGIN TRUSTED CERTIFICATE");
        welcomed(await load({ ca: "ca" }));
      },
    );

    it.each(["-addreject serverAuth", "-addtrust emailProtection"])(
      "leaves out a TRUSTED CERTIFICATE with %s, which is not trusted for servers",
      async (flags) => {
        await openssl("x509", "-in", pki.path("root.pem"), "-trustout", ...flags.split(" "), "-out", pki.path("ca"));
        refused(
          await load({ ca: "ca" }),
          "ca: the certificate of CN=root is marked in the file as not to be trusted for servers",
        );
        pki.write("both", text("ca") + text("p256.pem"));
        const loaded = await load({ ca: "both" });
        expect(loaded.warnings).toEqual([
          `${folder}/both: the certificate of CN=root is marked in the file as not to be trusted for servers: it is left out, the others are used`,
        ]);
        expect(loaded.said).not.toBe("welcome");
      },
    );

    it("takes key and certificates in one file, which all settings name", async () => {
      pki.write("all", text("p256.key") + text("root.pem") + text("p256.pem"));
      const loaded = await load({ ca: "all", key: "all", cert: "all" });
      welcomed(loaded);
      expect(loaded.ca).not.toContain("PRIVATE");
      expect(loaded.cert).not.toContain("PRIVATE");
    });

    it("takes of several keys the one that fits, whether or not the others can be read", async () => {
      await openssl("pkcs8", "-topk8", "-in", pki.path("rsa.key"), ...ENCRYPTED, "-out", pki.path("locked"));
      pki.write("keys", text("locked") + text("p384.key") + text("p256.key"));
      welcomed(await load({ key: "keys" }));
      refused(await load({ key: "keys", cert: "rsa.pem" }), "keys: the key is encrypted: put its password into");
      refused(
        await load({ key: "keys", cert: "ed25519.pem", password: PASSWORD }),
        "keys: the key does not fit the certificate in",
      );
    });

    it("warns of a password for a key that is not encrypted", async () => {
      const loaded = await load({ password: PASSWORD });
      welcomed(loaded);
      expect(loaded.warnings).toEqual([
        expect.stringContaining("p256.key: the key is not encrypted, so that KAFKA_SSL_KEY_PASSWORD"),
      ]);
    });

    it.each([
      ["far.pem", "middle.pem"],
      ["middle.pem", "far.pem"],
      ["root.pem", "middle.pem", "far.pem"],
      ["p384.pem", "middle.pem", "middle.pem", "far.pem", "far.pem", "root.pem"],
      ["before.pem", "middle.pem", "far.pem"],
    ])("sends the chain in order, whatever that of the file: %s %s %s %s", async (...names) => {
      pki.write("chain", names.filter((name) => name !== undefined).map(text).join(""));
      const loaded = await load({ key: "far.key", cert: "chain" });
      welcomed(loaded);
      expect(loaded.cert?.startsWith(text("far.pem") + text("middle.pem"))).toBe(true);
      expect(countOf(loaded.cert)).toBe(
        new Set(names.filter((name) => name !== undefined && name !== "before.pem")).size,
      );
    });

    it("leaves an expired certificate above the client's out, and says so", async () => {
      pki.write("chain", text("far.pem") + text("before.pem"));
      const loaded = await load({ key: "far.key", cert: "chain" });
      expect(loaded.warnings).toEqual([
        expect.stringMatching(
          /chain: the certificate of CN=middle expired on .* UTC: it is left out; where brokers refuse/,
        ),
      ]);
      expect(loaded.cert).toBe(text("far.pem"));
      expect(loaded.said).not.toBe("welcome");
    });

    /** An authority's certificate for `key`, whatever that is. The root signs it. */
    const certificateFor = (key: Fields["key"]) => {
      const signer = createPrivateKey(text("root.key"));
      const fields: Fields = {
        version: 3,
        serial: serialOf(8),
        issuer: nameOf("root"),
        validity: sequence(utcTime(Date.now() - DAY), utcTime(Date.now() + 30 * DAY)),
        subject: nameOf("odd"),
        key,
        extensions: [extension("2.5.29.19", sequence(der(0x01, Buffer.of(0xff))), true)],
        digest: "sha256",
      };
      return pemOf(signed(toBeSigned(fields, signer), signer, "sha256"));
    };

    it.each([...ODD_KEYS])("refuses a chain in which a certificate has a key %s", async (_, [key, words]) => {
      pki.write("chain", text("p256.pem") + certificateFor(key));
      refused(await load({ cert: "chain" }), `chain: the certificate of CN=odd ${words}`);
      // In front of it, too: the client's own is the one that fits the key.
      pki.write("chain", certificateFor(key) + text("p256.pem"));
      refused(await load({ cert: "chain" }), `chain: the certificate of CN=odd ${words}`);
    });

    it.each([...ODD_KEYS])("refuses a client's certificate with a key %s", async (_, [key, words]) => {
      pki.write("odd", certificateFor(key));
      refused(await load({ cert: "odd" }), `odd: the certificate of CN=odd ${words}`);
    });

    it.each([...ODD_KEYS])("leaves an authority out that has a key %s", async (_, [key, words]) => {
      pki.write("bundle", certificateFor(key) + text("root.pem"));
      const loaded = await load({ ca: "bundle" });
      welcomed(loaded);
      const what = words.slice(0, words.indexOf(":"));
      expect(loaded.warnings).toEqual([
        `${folder}/bundle: the certificate of CN=odd ${what}: it is left out, the others are used`,
      ]);
      expect(loaded.ca).toBe(text("root.pem"));
      pki.write("bundle", certificateFor(key));
      refused(await load({ ca: "bundle" }), `bundle: the certificate of CN=odd ${words}`);
    });

    it.each([...RARE_KEYS])("sends a certificate with a key of %s, and trusts it", async (_, key) => {
      const rare = certificateFor(key);
      pki.write("chain", text("p256.pem") + rare);
      pki.write("bundle", rare + text("root.pem"));
      const loaded = await load({ ca: "bundle", cert: "chain" });
      welcomed(loaded);
      expect(loaded.warnings).toEqual([]);
      expect([countOf(loaded.cert), countOf(loaded.ca)]).toEqual([2, 2]);
    });

    it("refuses a chain with a key that OpenSSL finds too short under Node alone", async () => {
      const short = certificateFor(rsaKey(1024).publicKey);
      pki.write("chain", text("p256.pem") + short);
      const loaded = await load({ cert: "chain" });
      const words = "chain: the certificate of CN=odd has a key that is too short for the TLS of Node: ";
      if (runtime === "Node") refused(loaded, words);
      else welcomed(loaded);
      // Nobody sends an authority.
      pki.write("bundle", short + text("root.pem"));
      welcomed(await load({ ca: "bundle" }));
    });

    it("finds a certificate damaged whose key has no whole bytes", async () => {
      const [algorithm] = [sequence(Buffer.from("06072a8648ce3d020106082a8648ce3d030107", "hex"))];
      for (const key of [der(0x03), der(0x03, Buffer.of(3), Buffer.alloc(65, 4))]) {
        pki.write("chain", text("p256.pem") + certificateFor(sequence(algorithm, key)));
        refused(await load({ cert: "chain" }), "chain: its certificate cannot be decoded: the file is damaged");
      }
    });

    it("refuses a client's certificate that has expired, and takes the new one where both are in the file", async () => {
      await openssl("pkey", "-in", pki.path("p256.key"), "-out", pki.path("past.key"));
      await pki.certificate("past", { issuer: "root", days: -1, subject: "p256" });
      refused(await load({ cert: "past.pem" }), "past.pem: the certificate of CN=p256 expired on ");
      pki.write("both", text("past.pem") + text("p256.pem"));
      const loaded = await load({ cert: "both" });
      welcomed(loaded);
      expect(loaded.cert).toBe(text("p256.pem"));
    });

    it("warns of an expired authority beside a valid one, and refuses where none is valid", async () => {
      pki.write("bundle", text("old.pem") + text("root.pem"));
      const loaded = await load({ ca: "bundle" });
      welcomed(loaded);
      expect(loaded.warnings).toEqual([
        expect.stringMatching(
          /bundle: the certificate of CN=old expired on .* UTC: it is left out, the others are used/,
        ),
      ]);
      expect(loaded.ca).toBe(text("root.pem"));
      refused(await load({ ca: "old.pem" }), "old.pem: the certificate of CN=old expired on ");
    });

    it("takes a bundle of 150 authorities with odd ones among them", async () => {
      await pki.key("odd", ...KINDS.rsa);
      const self = ["-x509", "-new", "-key", pki.path("odd.key"), "-days", "30"];
      await openssl("req", ...self, "-subj", "/CN=negative", "-set_serial", "-5", "-out", pki.path("negative"));
      await openssl("req", ...self, "-subj", "/", "-out", pki.path("nameless"));
      await openssl("req", ...self, "-subj", "/CN=md5", "-md5", "-out", pki.path("md5"));
      await openssl("req", "-new", "-key", pki.path("odd.key"), "-subj", "/CN=v1", "-out", pki.path("v1.csr"));
      await openssl("x509", "-req", "-in", pki.path("v1.csr"), "-signkey", pki.path("odd.key"), "-out", pki.path("v1"));
      const good = Array.from({ length: 140 }, () => text("rsa.pem"));
      const broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
      const noBase64 = "-----BEGIN CERTIFICATE-----\nMI*B\n-----END CERTIFICATE-----\n";
      const odd = ["negative", "nameless", "md5", "v1", "secp256k1.pem", "brainpool.pem", "explicit.pem"].map(text);
      pki.write("bundle", [...good, ...odd, broken, noBase64, text("root.pem")].join("\n"));
      const loaded = await load({ ca: "bundle" });
      welcomed(loaded);
      expect(countOf(loaded.ca)).toBe(odd.length + 2);
      expect(loaded.warnings).toEqual([
        `${folder}/bundle: 2 of its certificates cannot be decoded and are left out: copy the file again`,
      ]);
    });

    it("says of many that have expired only that there are more", async () => {
      const many = await Promise.all(["a", "b", "c", "d", "e"].map(async (name) => {
        await pki.key(name);
        await pki.certificate(name, { days: -1 });
        return text(`${name}.pem`);
      }));
      pki.write("bundle", [...many, text("root.pem")].join(""));
      const loaded = await load({ ca: "bundle" });
      welcomed(loaded);
      expect(loaded.warnings).toHaveLength(4);
      expect(loaded.warnings[3]).toBe(`${folder}/bundle: the same goes for 2 more of its certificates`);
    });

    it.each([
      [
        "the certificate in half",
        (pem: string) => pem.slice(0, pem.length / 2),
        'its "CERTIFICATE" begins and does not end',
      ],
      [
        "an end of another name",
        (pem: string) => pem.replace("END CERT", "END X509 CERT"),
        'its "CERTIFICATE" begins and does not end',
      ],
    ])("refuses a bundle with %s behind a good one", async (_, change, words) => {
      pki.write("bundle", text("root.pem") + change(text("rsa.pem")));
      refused(await load({ ca: "bundle" }), `bundle: ${words}: the file is cut off, copy it again`);
    });
  },
);

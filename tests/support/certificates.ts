import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oddRsaKey } from "./odd_rsa.ts";

/** A key and the chain that a server sends with it, both PEM. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
  /** What a server has to be told to use them, such as keys that it finds too weak. */
  readonly ciphers?: string;
}

/** How a certificate is made, where it is not for a server on loopback, of the usual key and digest. */
interface Making {
  readonly subject?: string;
  /** Lines of openssl's configuration; none for a certificate of version 1. */
  readonly extensions?: readonly string[];
  readonly key?: string;
  readonly digest?: string;
  readonly from?: number;
  readonly days?: number;
}

const DAY = 86_400_000;
/** Days until they expire, all different, so that a test sees which one counted. */
const LIFE = { authority: 100, intermediate: 200, leaf: 300 };

const CONFIG = `
[ca]
default_ca = d
[d]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = p
unique_subject = no
[p]
commonName = supplied
`;

/** Certificates of one private authority, made with the openssl command in a folder of their own. */
export class Certificates implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "certificates-"));
  readonly #now = Math.floor(Date.now() / 1000) * 1000;
  /** The authority's certificate: the path of a PEM file. */
  readonly authorityFile = join(this.#folder, "authority.pem");
  /** All that a check has to trust, an authority that has expired among it. */
  readonly trustedFile = join(this.#folder, "trusted.pem");
  /** When the certificates expire, as a metric says it. */
  readonly expiry = {
    authority: this.#iso(LIFE.authority),
    intermediate: this.#iso(LIFE.intermediate),
    leaf: this.#iso(LIFE.leaf),
    expired: this.#iso(-1),
    trustedSelf: this.#iso(50),
    trustedAuthority: this.#iso(60),
    crossed: this.#iso(-3),
    oldRoot: this.#iso(-2),
  };

  constructor() {
    writeFileSync(join(this.#folder, "ca.cnf"), CONFIG);
    writeFileSync(join(this.#folder, "index.txt"), "");
    writeFileSync(join(this.#folder, "serial"), "01\n");
    for (const name of ["authority", "intermediate", "leaf"]) this.#makeKey(name);
    this.#sign("authority", undefined, "authority", "basicConstraints = critical, CA:TRUE", LIFE.authority);
    this.#sign("intermediate", "authority", "intermediate", "basicConstraints = critical, CA:TRUE", LIFE.intermediate);
    this.#makeMore();
    const trusted = ["authority", "trusted-self", "trusted-authority", "old-root"];
    writeFileSync(this.trustedFile, trusted.map((name) => this.#read(`${name}.pem`)).join(""));
  }

  /** Authorities with a fault each, and servers that are trusted without one. */
  #makeMore(): void {
    this.#openssl("genrsa", "-out", "short.key", "1024");
    this.#openssl("genrsa", "-out", "rsa.key", "2048");
    for (const name of ["old", "cross"]) this.#makeKey(name);
    const authority = { extensions: [AUTHORITY], days: LIFE.intermediate, subject: "intermediate.example" };
    this.#make("late-intermediate", "authority", { ...authority, key: "intermediate", days: -1 });
    this.#make("sha1-intermediate", "authority", { ...authority, key: "intermediate", digest: "sha1" });
    this.#make("short-intermediate", "authority", { ...authority, key: "short" });
    this.#make("mail-intermediate", "authority", {
      ...authority,
      key: "intermediate",
      extensions: [AUTHORITY, "extendedKeyUsage = emailProtection"],
    });
    this.#make("no-authority", "authority", {
      ...authority,
      key: "intermediate",
      extensions: ["basicConstraints = CA:FALSE"],
    });
    this.#make("elsewhere-intermediate", "authority", {
      ...authority,
      key: "intermediate",
      extensions: [AUTHORITY, "nameConstraints = critical, permitted;DNS:inside.test, permitted;IP:10.0.0.0/255.0.0.0"],
    });
    this.#make("trusted-self", undefined, { days: 50 });
    this.#make("trusted-authority", undefined, { days: 60, extensions: [LOOPBACK_NAMES, AUTHORITY] });
    // The authority once was below another one, whose certificate and whose signature have expired,
    // though it is still trusted here.
    this.#make("old-root", undefined, { key: "old", subject: "old.example", extensions: [AUTHORITY], days: -2 });
    this.#make("crossed", "old-root", {
      key: "authority",
      subject: "authority.example",
      extensions: [AUTHORITY],
      days: -3,
    }, "old");
  }

  /** For localhost and the loopback addresses, with its intermediate. */
  get good(): Identity {
    return this.#leaf("good", "intermediate", LOOPBACK, LIFE.leaf, ["intermediate"]);
  }
  /** For names of the tests' own name server. */
  get named(): Identity {
    return this.#leaf("named", "intermediate", "DNS:named.test, DNS:xn--mnchen-3ya.test", LIFE.leaf, ["intermediate"]);
  }
  get withRoot(): Identity {
    return this.#leaf("root", "intermediate", LOOPBACK, LIFE.leaf, ["intermediate", "authority"]);
  }
  get withoutIntermediate(): Identity {
    return this.#leaf("torn", "intermediate", LOOPBACK, LIFE.leaf, []);
  }
  get expired(): Identity {
    return this.#leaf("expired", "authority", LOOPBACK, -1, []);
  }
  get notYetValid(): Identity {
    return this.#leaf("early", "authority", LOOPBACK, LIFE.leaf, [], 10);
  }
  get otherName(): Identity {
    return this.#leaf("other", "authority", "DNS:other.example", LIFE.leaf, []);
  }
  get selfSigned(): Identity {
    return this.#leaf("self", undefined, LOOPBACK, LIFE.leaf, []);
  }

  /** A name stands only where nobody looks for it any more. */
  get noNames(): Identity {
    return this.#identity("no-names", "authority", {
      subject: "localhost",
      extensions: ["basicConstraints = CA:FALSE"],
    });
  }
  get addressAsName(): Identity {
    return this.#identity("address", "authority", {
      subject: "127.0.0.1",
      extensions: ["subjectAltName = DNS:localhost, DNS:127.0.0.1"],
    });
  }
  get versionOne(): Identity {
    return this.#identity("one", "authority", { subject: "localhost", extensions: [] });
  }
  get sha1(): Identity {
    return { ...this.#identity("sha1", "authority", { digest: "sha1" }), ...WEAK };
  }
  get sha1Intermediate(): Identity {
    return { ...this.#below("sha1-intermediate"), ...WEAK };
  }
  get shortIntermediate(): Identity {
    return { ...this.#identity("below-short", "short-intermediate", {}, ["short-intermediate"], "short"), ...WEAK };
  }
  /** Of 1,024 bits. */
  get shortKey(): Identity {
    return { ...this.#identity("short-leaf", "authority", { key: "short" }), ...WEAK };
  }
  get rsa(): Identity {
    return this.#identity("rsa-leaf", "authority", { key: "rsa" });
  }
  get forClients(): Identity {
    return this.#identity("client", "authority", { extensions: [LOOPBACK_NAMES, "extendedKeyUsage = clientAuth"] });
  }
  get forSigning(): Identity {
    return this.#identity("signing", "authority", { extensions: [LOOPBACK_NAMES, "keyUsage = critical, keyCertSign"] });
  }
  get mailIntermediate(): Identity {
    return this.#below("mail-intermediate");
  }
  get noAuthority(): Identity {
    return this.#below("no-authority");
  }
  get outsideConstraints(): Identity {
    return this.#below("elsewhere-intermediate");
  }
  /** Below an intermediate with these extensions, and below `levels` more authorities in between. */
  belowOne(extensions: readonly string[], levels = 0): Identity {
    const made = { extensions, subject: "intermediate.example", key: "intermediate", days: LIFE.intermediate };
    this.#make("one-intermediate", "authority", made);
    const chain = ["one-intermediate"];
    for (let level = 0; level < levels; level++) {
      const lower = { extensions: [AUTHORITY], subject: `level-${level}.example`, key: "intermediate" };
      this.#make(`level-${level}`, chain[0], lower, "intermediate");
      chain.unshift(`level-${level}`);
    }
    return this.#identity("below-one", chain[0] as string, {}, chain, "intermediate");
  }
  get strangeExtension(): Identity {
    return this.#identity("strange", "authority", { extensions: [LOOPBACK_NAMES, "1.2.3.4 = critical, ASN1:NULL"] });
  }
  get expiredIntermediate(): Identity {
    return this.#below("late-intermediate");
  }
  /** An authority's certificate that serves. */
  get authorityAsServer(): Identity {
    return this.#identity("authority-leaf", "authority", { extensions: [LOOPBACK_NAMES, AUTHORITY] });
  }
  get trustedSelf(): Identity {
    return { key: this.#read("leaf.key"), cert: this.#read("trusted-self.pem") };
  }
  get trustedAuthority(): Identity {
    return { key: this.#read("leaf.key"), cert: this.#read("trusted-authority.pem") };
  }
  /** With the intermediate as it was before it was renewed, and as it is now. */
  get renewedIntermediate(): Identity {
    return this.#identity("renewed", "intermediate", {}, ["late-intermediate", "intermediate"]);
  }
  /** With what once led to an authority that has expired since. */
  get leftover(): Identity {
    return this.#identity("leftover", "intermediate", {}, ["intermediate", "crossed", "old-root"]);
  }
  get belowOldRoot(): Identity {
    return this.#identity("below-old", "old-root", {}, [], "old");
  }
  /** For a name that may stand for several. */
  wildcard(name: string): Identity {
    return this.#identity("wildcard", "authority", { extensions: [`subjectAltName = DNS:${name}`] });
  }
  /** With the same certificate behind it, so that there are `count`. */
  long(count: number): Identity {
    const { key, cert } = this.good;
    return { key, cert: cert + this.#read("crossed.pem").repeat(count - 2) };
  }

  /** Authorities with names of 2 KB each. */
  longNames(count: number): string[] {
    return Array.from({ length: count }, (_, index) => {
      const units = Array.from({ length: 28 }, (_, unit) => `/OU=${String(unit).padEnd(60, "x")}`).join("");
      const subject = ["-subj", `/CN=authority ${index}${units}`, "-days", "10"];
      this.#openssl("req", "-x509", "-new", "-key", "leaf.key", ...subject, "-out", "long-name.pem");
      return this.#read("long-name.pem");
    });
  }
  /**
   * A chain of `count` certificates that were all signed with one RSA key, each by the next; the
   * last one by itself.
   */
  hugeRsa(bits: number, exponent: "usual" | "huge", count: number): Identity {
    const name = `rsa-${bits}-${exponent}`;
    writeFileSync(join(this.#folder, `${name}.key`), oddRsaKey(bits, exponent));
    const subject = (level: number) => level === 0 ? "localhost" : `level ${level}`;
    const chain: string[] = [];
    for (let level = count - 1; level >= 0; level--) {
      const issuer = level === count - 1 ? undefined : `${name}-${level + 1}`;
      const extensions = level === 0 ? [LOOPBACK_NAMES] : [AUTHORITY];
      this.#make(`${name}-${level}`, issuer, { key: name, subject: subject(level), extensions }, name);
      chain.unshift(this.#read(`${name}-${level}.pem`));
    }
    return { key: this.#read(`${name}.key`), cert: chain.join("") };
  }

  /** A server's certificate that an intermediate signed; the usual key signs, whatever its certificate is. */
  #below(intermediate: string): Identity {
    return this.#identity(`below-${intermediate}`, intermediate, {}, [intermediate], "intermediate");
  }

  #identity(
    name: string,
    issuer: string,
    making: Making,
    chain: readonly string[] = [],
    signer = issuer,
  ): Identity {
    this.#make(name, issuer, making, signer);
    const cert = [name, ...chain].map((part) => this.#read(`${part}.pem`)).join("");
    return { key: this.#read(`${making.key ?? "leaf"}.key`), cert };
  }

  /** Makes NAME.pem, signed by `issuer` with the key of `signer`; by itself, where there is no issuer. */
  #make(name: string, issuer: string | undefined, making: Making, signer = issuer): void {
    const { key = "leaf", digest = "sha256", from = -10, days = LIFE.leaf, extensions = [LOOPBACK_NAMES] } = making;
    writeFileSync(join(this.#folder, `${name}.ext`), extensions.map((line) => `${line}\n`).join(""));
    this.#openssl("req", "-new", "-key", `${key}.key`, "-subj", `/CN=${making.subject ?? name}`, "-out", `${name}.csr`);
    this.#openssl(
      ...["ca", "-batch", "-notext", "-config", "ca.cnf", "-in", `${name}.csr`, "-out", `${name}.pem`, "-md", digest],
      ...["-startdate", this.#asn1(from), "-enddate", this.#asn1(days)],
      ...(extensions.length === 0 ? [] : ["-extfile", `${name}.ext`]),
      ...(issuer === undefined ? ["-selfsign"] : ["-cert", `${issuer}.pem`]),
      ...["-keyfile", `${signer ?? key}.key`],
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }

  #leaf(
    name: string,
    issuer: string | undefined,
    names: string,
    days: number,
    chain: readonly string[],
    from = -10,
  ): Identity {
    this.#sign(name, issuer, "leaf", `subjectAltName = ${names}`, days, from);
    return { key: this.#read("leaf.key"), cert: [name, ...chain].map((part) => this.#read(`${part}.pem`)).join("") };
  }

  #makeKey(name: string): void {
    this.#openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  }

  /**
   * Makes NAME.pem for KEY.key, signed by `issuer` (itself, where there is none), valid from `from`
   * until in `days` days.
   */
  #sign(name: string, issuer: string | undefined, key: string, extension: string, days: number, from = -10): void {
    writeFileSync(join(this.#folder, `${name}.ext`), `${extension}\n`);
    this.#openssl("req", "-new", "-key", `${key}.key`, "-subj", `/CN=${name}.example`, "-out", `${name}.csr`);
    this.#openssl(
      ...["ca", "-batch", "-notext", "-config", "ca.cnf", "-in", `${name}.csr`, "-out", `${name}.pem`],
      ...["-startdate", this.#asn1(from), "-enddate", this.#asn1(days), "-extfile", `${name}.ext`],
      ...(issuer === undefined ? ["-selfsign"] : ["-cert", `${issuer}.pem`]),
      ...["-keyfile", `${issuer ?? key}.key`],
    );
  }

  #openssl(...args: string[]): void {
    mkdirSync(this.#folder, { recursive: true });
    execFileSync("openssl", args, { cwd: this.#folder, stdio: "pipe" });
  }

  #read(file: string): string {
    return readFileSync(join(this.#folder, file), "utf8");
  }

  #iso(days: number): string {
    return new Date(this.#now + days * DAY).toISOString();
  }

  #asn1(days: number): string {
    return this.#iso(days).replaceAll(/[-:T]|\.000/g, "");
  }
}

const AUTHORITY = "basicConstraints = critical, CA:TRUE";
/** OpenSSL serves with keys and digests of old only when it is told to. */
const WEAK = { ciphers: "DEFAULT@SECLEVEL=0" };
const LOOPBACK = "DNS:localhost, IP:127.0.0.1, IP:::1";
const LOOPBACK_NAMES = `subjectAltName = ${LOOPBACK}`;

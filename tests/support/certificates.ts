import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oddRsaKey } from "./odd_rsa.ts";

/** A server's key, and its certificate with the chain behind it, both PEM. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
  /** A server needs these ciphers to use a key that it finds too weak. */
  readonly ciphers?: string;
}

/** The ways in which a certificate differs from a usual one, which is for a server on loopback. */
interface Making {
  readonly subject?: string;
  /** Lines of openssl's configuration. None: a certificate of version 1. */
  readonly extensions?: readonly string[];
  readonly key?: string;
  readonly digest?: string;
  readonly from?: number;
  readonly days?: number;
}

const DAY = 86_400_000;
/** Days until they expire. All are different, so that a test sees which of them counted. */
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
  /** The authorities that a check has to trust, an expired one among them. */
  readonly trustedFile = join(this.#folder, "trusted.pem");
  /** The expiry of the certificates, as a metric has it. */
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

  /** Authorities with one fault each, and servers that clients trust without one. */
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
    // Another authority once signed this one. That other certificate and its signature have
    // expired, though this machine still trusts it.
    this.#make("old-root", undefined, { key: "old", subject: "old.example", extensions: [AUTHORITY], days: -2 });
    this.#make("crossed", "old-root", {
      key: "authority",
      subject: "authority.example",
      extensions: [AUTHORITY],
      days: -3,
    }, "old");
  }

  /** The authority's certificate. */
  get authority(): string {
    return this.#read("authority.pem");
  }

  /** For localhost and the loopback addresses, sent with its intermediate. */
  get good(): Identity {
    return this.#leaf("good", "intermediate", LOOPBACK, LIFE.leaf, ["intermediate"]);
  }
  /** For names that the tests' own name server knows. */
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

  /** Its only name is in a place where no program looks for names any more. */
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
  /** Below an intermediate with these extensions. `levels` more authorities stand in between. */
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
  /** An authority's certificate that a server uses as its own. */
  get authorityAsServer(): Identity {
    return this.#identity("authority-leaf", "authority", { extensions: [LOOPBACK_NAMES, AUTHORITY] });
  }
  get trustedSelf(): Identity {
    return { key: this.#read("leaf.key"), cert: this.#read("trusted-self.pem") };
  }
  get trustedAuthority(): Identity {
    return { key: this.#read("leaf.key"), cert: this.#read("trusted-authority.pem") };
  }
  /** Sent with two certificates of the intermediate: from before its renewal, and from after it. */
  get renewedIntermediate(): Identity {
    return this.#identity("renewed", "intermediate", {}, ["late-intermediate", "intermediate"]);
  }
  /** Sent with certificates that once led to another authority, which has expired since. */
  get leftover(): Identity {
    return this.#identity("leftover", "intermediate", {}, ["intermediate", "crossed", "old-root"]);
  }
  get belowOldRoot(): Identity {
    return this.#identity("below-old", "old-root", {}, [], "old");
  }
  /** For a name with a *, which stands for several names. */
  wildcard(name: string): Identity {
    return this.#identity("wildcard", "authority", { extensions: [`subjectAltName = DNS:${name}`] });
  }
  /** Sent with the same certificate again and again, so that there are `count` in all. */
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
   * A chain of `count` certificates with one RSA key. Each is signed by the next, and the last by
   * itself.
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

  /**
   * A server's certificate that an intermediate signed. The key of all intermediates here is the
   * same.
   */
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

  /**
   * Makes NAME.pem, signed by `issuer` with the key of `signer`. Without an issuer it signs itself.
   */
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
   * Makes NAME.pem for KEY.key, signed by `issuer` (without one, by itself). It is valid from
   * `from` until in `days` days.
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
/** OpenSSL serves with old kinds of keys and digests only when it is told to. */
const WEAK = { ciphers: "DEFAULT@SECLEVEL=0" };
const LOOPBACK = "DNS:localhost, IP:127.0.0.1, IP:::1";
const LOOPBACK_NAMES = `subjectAltName = ${LOOPBACK}`;

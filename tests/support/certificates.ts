import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A key and the chain that a server sends with it, both PEM. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
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
  /** When the certificates expire, as a metric says it. */
  readonly expiry = {
    authority: this.#iso(LIFE.authority),
    intermediate: this.#iso(LIFE.intermediate),
    leaf: this.#iso(LIFE.leaf),
    expired: this.#iso(-1),
  };

  constructor() {
    writeFileSync(join(this.#folder, "ca.cnf"), CONFIG);
    writeFileSync(join(this.#folder, "index.txt"), "");
    writeFileSync(join(this.#folder, "serial"), "01\n");
    for (const name of ["authority", "intermediate", "leaf"]) this.#makeKey(name);
    this.#sign("authority", undefined, "authority", "basicConstraints = critical, CA:TRUE", LIFE.authority);
    this.#sign("intermediate", "authority", "intermediate", "basicConstraints = critical, CA:TRUE", LIFE.intermediate);
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

  /** Makes NAME.pem for KEY.key, signed by `issuer` (itself, where there is none), valid from `from` until in `days` days. */
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

const LOOPBACK = "DNS:localhost, IP:127.0.0.1, IP:::1";

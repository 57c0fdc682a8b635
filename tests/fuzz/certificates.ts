import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Server } from "node:tls";
import { openssl } from "../../tools/kafka/certificates.ts";
import { Authority, welcomingServer } from "../support/authority.ts";
import { KeyLoader } from "../support/key_loader.ts";
import type { Loaded } from "../support/key_material_runner.ts";
import type { Random } from "../support/random.ts";
import { COMMANDS, denoMissing } from "../support/runtimes.ts";
import type { OpenTarget, Target } from "./target.ts";

/** Files of keys and certificates: put together from good blocks, in every form, and damaged. */
export const certificates: Target = {
  name: "certificates",
  about:
    "files of keys and certificates: each is used in a handshake or refused with a remedy, the same on Node and Deno",
  briefRounds: 30,
  missing: spawnSync("openssl", ["version"]).status === 0 ? denoMissing : "it needs OpenSSL",
  open: async (random) => await CertificatesFuzz.open(random),
};

const PASSWORD = "pässword";
/** Messages that tell the user what to do. */
const REMEDY = /copy|get a new|take |write|give |make |check |want PEM|wait|put its|openssl|keytool|ssh-keygen/;

class CertificatesFuzz implements OpenTarget {
  readonly #random: Random;
  readonly #pki: Authority;
  readonly #folder: string;
  readonly #pool: Pool;
  readonly #server: Server;
  readonly #loaders: readonly KeyLoader[];

  private constructor(random: Random, folder: string, pki: Authority, pool: Pool, server: Server) {
    this.#random = random;
    this.#folder = folder;
    this.#pki = pki;
    this.#pool = pool;
    this.#server = server;
    this.#loaders = COMMANDS.map(({ command }) => new KeyLoader(command));
  }

  static async open(random: Random): Promise<CertificatesFuzz> {
    const folder = mkdtempSync(join(tmpdir(), "fuzz-certificates-"));
    const pki = new Authority(folder);
    const pool = await makePool(pki);
    const server = await welcomingServer({
      key: pki.read("p256.key"),
      cert: pki.read("p256.pem"),
      ca: pki.read("root.pem"),
    });
    return new CertificatesFuzz(random, folder, pki, pool, server);
  }

  async one(): Promise<void> {
    const { files, isDamaged } = this.#makeUp();
    const [caFile, keyFile, certFile] = files.map((bytes, at) => this.#pki.write(`file${at}`, bytes));
    const keyPassword = this.#random.pick([null, PASSWORD, PASSWORD, "other"]);
    const { port } = this.#server.address() as AddressInfo;
    const order = { files: { caFile, keyFile, certFile, keyPassword }, port };
    // Each client of librdkafka costs a tenth of a second.
    const native = this.#random.next() < 0.2;
    const loaded = await Promise.all(
      this.#loaders.map((loader, at) => loader.load({ ...order, native: native && COMMANDS[at]?.runtime === "Node" })),
    );
    const finding = loaded.map((one) => this.#judge(one)).find((found) => found !== null) ??
      (isDamaged ? null : difference(loaded));
    if (finding === null) return;
    const told = files.map((bytes) => Buffer.from(bytes).toString("base64")).join("\n");
    throw new Error(
      `${finding}\n${JSON.stringify(loaded, null, 1)}\npassword ${keyPassword}, files in base64:\n${told}`,
    );
  }

  /** The fault in the outcome of loading the files, or null. */
  #judge({ thrown, problems, warnings, said, refusal, ca, cert }: Loaded): string | null {
    if (thrown !== null) return `thrown: ${thrown}`;
    if (refusal !== null) return `librdkafka refuses what was accepted: ${refusal}`;
    const vague = [...problems, ...warnings].find((text) => !text.startsWith(this.#folder) || text.includes(PASSWORD));
    if (vague !== undefined) return `it names no file, or a password: ${vague}`;
    const helpless = problems.find((text) => !REMEDY.test(text));
    if (helpless !== undefined) return `it has no remedy: ${helpless}`;
    if (problems.length > 0 || !this.#isWelcome(ca ?? "", cert ?? "")) return null;
    return said === "welcome" ? null : `accepted, and of no use: ${said}`;
  }

  /** True where all certificates in use are good, and lead from client and server to the root. */
  #isWelcome(ca: string, cert: string): boolean {
    const { root, middle, leaves, far, good } = this.#pool;
    const [used, shown] = [blocksOf(ca), blocksOf(cert)];
    if (![...used, ...shown].every((block) => good.has(block)) || !used.includes(root)) return false;
    return leaves.includes(shown[0] ?? "") || (shown[0] === far && shown.includes(middle));
  }

  #makeUp(): { files: Uint8Array[]; isDamaged: boolean } {
    const { root, certificates, keys } = this.#pool;
    const random = this.#random;
    const several = (from: readonly string[], most: number) =>
      Array.from({ length: random.between(0, most) }, () => random.pick(from));
    const ca = random.shuffled([root, ...several([...certificates, ...keys], 3)]);
    const [key, fitting] = random.pick(this.#pool.pairs);
    const own = random.shuffled([...fitting, ...several(certificates, 1)]);
    const all = random.shuffled([...ca, key, ...own]);
    const lists = random.next() < 0.3 ? [all, all, all] : [ca, random.shuffled([key, ...several(keys, 1)]), own];
    const isDamaged = random.next() < 0.5;
    const files = lists.map((list) =>
      this.#dress(isDamaged && random.next() < 0.6 ? this.#damage(list) : list.join(""))
    );
    return { files, isDamaged };
  }

  /** The same block in another form. */
  #dress(pem: string): Uint8Array {
    const random = this.#random;
    const forms: readonly ((text: string) => string)[] = [
      (text) => `\ufeff${text}`,
      (text) => text.replaceAll("\n", "\r\n"),
      (text) => text.replaceAll("\n", "\r"),
      (text) => text.replaceAll("-----\n-----", "----------"),
      (text) => text.replaceAll("-----BEGIN", "Bag Attributes: <none>\nsubject=/CN=x\n-----BEGIN"),
      (text) => text.replaceAll("\n", " \n\t"),
      (text) => text.trimEnd(),
      (text) => text.replaceAll(/(BEGIN|END) CERTIFICATE/g, "$1 X509 CERTIFICATE"),
    ];
    let text = pem;
    for (let count = random.between(0, 2); count > 0; count--) text = random.pick(forms)(text);
    return random.next() < 0.1 ? Buffer.from(`\ufeff${text}`, "utf16le") : Buffer.from(text);
  }

  #damage(blocks: readonly string[]): string {
    const random = this.#random;
    const text = blocks.join("");
    const at = random.between(0, text.length);
    const kinds: readonly (() => string)[] = [
      () => text.slice(0, at),
      () => text.slice(at),
      () => text.slice(0, at) + random.pick([..."A/+=-: \n\u0000é0"]) + text.slice(at + 1),
      () => text.slice(0, at) + text.slice(at + random.between(1, 70)),
      () => text.slice(0, at) + text.slice(0, at) + text.slice(at),
      () =>
        text.replace(
          "CERTIFICATE",
          random.pick(["PRIVATE KEY", "CERTIFICATE REQUEST", "PKCS7", "TRUSTED CERTIFICATE", ""]),
        ),
      () =>
        text.replace(
          "PRIVATE KEY",
          random.pick(["CERTIFICATE", "PUBLIC KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]),
        ),
      () => text.replace("ENCRYPTED", random.pick(["", "RSA", "EC"])),
      () => text.replace(/DEK-Info: .*/, random.pick(["", "DEK-Info: X,00", "DEK-Info: AES-256-CBC"])),
      () => blocks.map((block) => this.#flip(block)).join(""),
      () => Buffer.from(base64Of(blocks[0] ?? ""), "base64").toString("latin1"),
    ];
    return random.pick(kinds)();
  }

  /** Flips a bit of the bytes that the base64 stands for. */
  #flip(block: string): string {
    const [, head = "", body = "", tail = ""] =
      /^([^]*?-----\n(?:[\w-]+: .*\n)*\n?)([A-Za-z0-9+/=\n]+)(-----END[^]*)$/.exec(block) ?? [];
    const bytes = Buffer.from(body, "base64");
    if (bytes.length === 0) return block;
    const at = this.#random.between(0, bytes.length - 1);
    bytes[at] = (bytes[at] as number) ^ (1 << this.#random.between(0, 7));
    return `${head}${bytes.toString("base64").replace(/.{64}/g, "$&\n")}\n${tail}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#loaders.map((loader) => loader[Symbol.asyncDispose]()));
    this.#server.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The blocks of which files are made. */
interface Pool {
  readonly root: string;
  readonly middle: string;
  /** The leaves that the root has signed, and the leaf of `middle`. */
  readonly leaves: readonly string[];
  readonly far: string;
  /**
   * All good certificates in the form in which the program reads them. None of them makes a
   * handshake fail.
   */
  readonly good: ReadonlySet<string>;
  readonly certificates: readonly string[];
  readonly keys: readonly string[];
  /** A key, and the certificates that belong to it. */
  readonly pairs: readonly (readonly [key: string, certificates: readonly string[]])[];
}

async function makePool(pki: Authority): Promise<Pool> {
  const kinds = { root: [], middle: [], far: [], old: [], p256: [], rsa: ["RSA"], ed25519: ["ED25519"] };
  for (const [name, kind] of Object.entries(kinds)) await pki.key(name, ...kind);
  await pki.certificate("root");
  await pki.certificate("old", { days: -1 });
  await pki.certificate("middle", { issuer: "root", isAuthority: true });
  await pki.certificate("far", { issuer: "middle" });
  for (const name of ["p256", "rsa", "ed25519"]) await pki.certificate(name, { issuer: "root" });
  await openssl(
    "x509",
    "-in",
    pki.path("root.pem"),
    "-trustout",
    "-addtrust",
    "serverAuth",
    "-out",
    pki.path("trusted"),
  );
  await openssl(
    "x509",
    "-in",
    pki.path("middle.pem"),
    "-trustout",
    "-addreject",
    "serverAuth",
    "-out",
    pki.path("rejected"),
  );
  const lock = ["-passout", `pass:${PASSWORD}`];
  const pkcs8 = (name: string, to: string, ...flags: string[]) =>
    openssl("pkcs8", "-topk8", "-in", pki.path(`${name}.key`), ...flags, ...lock, "-out", pki.path(to));
  await pkcs8("rsa", "rsa.sha1", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1");
  await pkcs8("p256", "p256.des", "-v2", "des3");
  await pkcs8("far", "far.scrypt", "-scrypt");
  await openssl("rsa", "-traditional", "-in", pki.path("rsa.key"), "-out", pki.path("rsa.pkcs1"));
  await openssl("rsa", "-traditional", "-aes128", ...lock, "-in", pki.path("rsa.key"), "-out", pki.path("rsa.legacy"));
  await openssl("ec", "-in", pki.path("p256.key"), "-out", pki.path("p256.sec1"));
  await openssl("ec", "-aes256", ...lock, "-in", pki.path("p256.key"), "-out", pki.path("p256.legacy"));
  const [root, middle, far] = ["root.pem", "middle.pem", "far.pem"].map((name) => pki.read(name)) as [
    string,
    string,
    string,
  ];
  const leaves = ["p256.pem", "rsa.pem", "ed25519.pem"].map((name) => pki.read(name));
  const pairsOf = (name: string, forms: readonly string[], chain: readonly string[] = []) =>
    forms.map((form) => [pki.read(form), [pki.read(`${name}.pem`), ...chain]] as const);
  const pairs = [
    ...pairsOf("rsa", ["rsa.key", "rsa.pkcs1", "rsa.legacy", "rsa.sha1"]),
    ...pairsOf("p256", ["p256.key", "p256.sec1", "p256.legacy", "p256.des"]),
    ...pairsOf("ed25519", ["ed25519.key"]),
    ...pairsOf("far", ["far.key", "far.scrypt"], [middle]),
  ];
  const good = new Set([root, middle, far, ...leaves]);
  const certificates = [...good, ...["old.pem", "trusted", "rejected"].map((name) => pki.read(name))];
  return { root, middle, leaves, far, good, certificates, keys: pairs.map(([key]) => key), pairs };
}

function blocksOf(pem: string): string[] {
  return pem.match(/-----BEGIN [^]*?-----END CERTIFICATE-----\n/g) ?? [];
}

function base64Of(block: string): string {
  return block.split("\n").filter((line) => !/[-:]/.test(line)).join("");
}

/** The difference between the outcomes of the runtimes for the same files, or null. */
function difference([one, other]: readonly Loaded[]): string | null {
  const [here, there] = [one, other].map((loaded) => JSON.stringify({ ...loaded, said: null, refusal: null }));
  return here === there ? null : "Node and Deno differ";
}

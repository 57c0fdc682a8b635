import type { KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import {
  der,
  ecKey,
  edKey,
  extension,
  type Fields,
  generalizedTime,
  type KeyPair,
  nameOf,
  objectId,
  octets,
  pemOf,
  rsaKey,
  sequence,
  serialOf,
  signed,
  toBeSigned,
  utcTime,
} from "../support/certificate_maker.ts";
import type { Checked, Order } from "../support/check_runner.ts";
import type { Random } from "../support/random.ts";
import { COMMANDS, denoMissing, runScript, trusting } from "../support/runtimes.ts";
import { answer, openSite, type Site } from "../support/site.ts";
import type { OpenTarget, Target } from "./target.ts";

/**
 * The certificates that HTTPS servers show. Any part of them may be unusual, and chains have any
 * order.
 */
export const servers: Target = {
  name: "servers",
  about:
    "certificates of HTTPS servers: a good one is up, and any other gets one verdict with its reason, the same on " +
    "Node and Deno",
  briefRounds: 2,
  missing: denoMissing,
  open: (random) => Promise.resolve(new Servers(random)),
};

/** The servers of one round. A process of each runtime checks them all at once. */
const SERVERS = 60;
const DAY = 86_400_000;
/** Seconds for a check. None of these servers is silent. */
const TIMEOUT = 60;

const ID = {
  keyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  names: "2.5.29.17",
  basic: "2.5.29.19",
  constraints: "2.5.29.30",
  policies: "2.5.29.32",
  issuerKeyId: "2.5.29.35",
  extendedUsage: "2.5.29.37",
} as const;
const USAGES = {
  servers: "1.3.6.1.5.5.7.3.1",
  clients: "1.3.6.1.5.5.7.3.2",
  any: "2.5.29.37.0",
  mail: "1.3.6.1.5.5.7.3.4",
} as const;

/** A certificate, and the key that belongs to it. */
interface Made {
  readonly raw: Buffer;
  readonly pair: KeyPair;
  readonly name: string;
}

/** The certificates that a server sends. */
interface Identity {
  readonly chain: readonly Made[];
  readonly host: "localhost" | "127.0.0.1";
  /** True where no part is unusual. */
  readonly isGood: boolean;
  /** True where bytes were changed, whatever they mean. */
  readonly isDamaged: boolean;
}

class Servers implements OpenTarget {
  readonly #random: Random;
  readonly #folder = mkdtempSync(join(tmpdir(), "fuzz-servers-"));
  readonly #keys = {
    usual: ecKey(),
    other: ecKey("P-384"),
    large: ecKey("P-521"),
    rsa: rsaKey(2048),
    short: rsaKey(1024),
    edwards: edKey(),
  };
  readonly #root: Made;
  readonly #stranger: Made;
  readonly #trust: Readonly<Record<string, string>>;
  /** How many parts of the next certificate may still be made unusual. */
  #left = 0;
  #isGood = true;
  #isDamaged = false;

  constructor(random: Random) {
    this.#random = random;
    this.#root = this.#make("root", null, 0, ecKey());
    this.#stranger = this.#make("stranger", null, 0, ecKey());
    const file = join(this.#folder, "root.pem");
    writeFileSync(file, pemOf(this.#root.raw));
    this.#trust = trusting(file);
  }

  async one(): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const identities: Identity[] = [];
    const sites: Site[] = [];
    while (sites.length < SERVERS) {
      const identity = this.#makeUp();
      const site = await serve(identity);
      // OpenSSL serves only certificates that it can read.
      if (site === null) continue;
      identities.push(identity);
      sites.push(stack.use(site));
    }
    const targets = identities.map(({ host }, at) => ({
      name: String(at),
      line: `https://${host}:${sites[at]?.port}/ 1h normal`,
      timeout: TIMEOUT,
      blocked: null,
    }));
    const order: Order = { names: {}, targets };
    const [node, deno] = await Promise.all(COMMANDS.map(async ({ command }) => {
      const checked = await runScript<Checked>(command, "check_runner.ts", order, this.#trust);
      return new Map(checked.map((one) => [one.name, verdictOf(one)]));
    }));
    const findings = identities.flatMap((identity, at) => {
      const finding = findingIn(identity, node?.get(String(at)), deno?.get(String(at)));
      if (finding === null) return [];
      const chain = identity.chain.map(({ raw }) => pemOf(raw)).join("");
      return [`${finding} of ${identity.host} with\n${chain}${pemOf(this.#root.raw)}(the last one is trusted)`];
    });
    if (findings.length > 0) throw new Error(findings.join("\n"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#folder, { recursive: true });
    return Promise.resolve();
  }

  #makeUp(): Identity {
    const random = this.#random;
    this.#isGood = true;
    this.#isDamaged = false;
    const host = random.pick(["localhost", "localhost", "127.0.0.1"] as const);
    const depth = random.pick([0, 1, 1, 2]);
    const changed = random.pick([0, 0, 0, depth, depth - 1]);
    const changes = random.pick([0, 1, 1, 1, 2, 3]);
    this.#left = changes;
    const chain: Made[] = [this.#chance(0.03) ? this.#stranger : this.#root];
    for (let level = depth; level >= 0; level--) {
      const name = level === 0 ? "leaf" : `intermediate ${level}`;
      chain.unshift(this.#make(name, chain[0] as Made, level === changed ? changes : 0));
    }
    chain.pop();
    this.#left = changes;
    const sent = this.#chance(0.1) ? this.#disarrange(chain) : chain;
    return { chain: sent, host, isGood: this.#isGood, isDamaged: this.#isDamaged };
  }

  /** True with that likelihood, as long as another part may be made unusual. */
  #chance(likelihood: number): boolean {
    if (this.#left === 0 || this.#random.next() >= likelihood) return false;
    this.#left--;
    this.#isGood = false;
    return true;
  }

  /** One of `others`, or the usual value where no other part may be unusual. */
  #odd<T>(usual: T, others: readonly T[], likelihood = 0.1): T {
    return this.#chance(likelihood) ? this.#random.pick(others) : usual;
  }

  #key(isAuthority: boolean): KeyPair {
    const { usual, other, large, rsa, short, edwards } = this.#keys;
    // Under Deno no program can verify a signature of P-521 over SHA-256.
    return this.#odd(usual, [other, isAuthority ? other : large, rsa, short, edwards], 0.08);
  }

  #disarrange(chain: readonly Made[]): Made[] {
    const [leaf, ...above] = chain as [Made, ...Made[]];
    switch (this.#random.between(0, 4)) {
      case 0:
        return [leaf, ...above.toReversed()];
      case 1:
        return [leaf, ...above.slice(1)];
      case 2:
        return [leaf, ...above, ...above, this.#root];
      case 3:
        return [leaf, this.#stranger, ...above];
      default:
        return [leaf, ...above, leaf];
    }
  }

  /**
   * Makes a certificate that `issuer` signs; null: it signs itself. All but the leaf are
   * authorities.
   */
  #make(name: string, issuer: Made | null, changes: number, given?: KeyPair): Made {
    this.#left = changes;
    const isAuthority = name !== "leaf";
    const pair = given ?? this.#key(isAuthority);
    const signer = (issuer?.pair ?? pair).privateKey;
    const now = Math.floor(Date.now() / DAY) * DAY;
    const good = sequence(utcTime(now - 10 * DAY), utcTime(now + 100 * DAY));
    const fields: Fields = {
      // Only damage makes version 1 with extensions: Deno does not show such a certificate.
      version: this.#odd(3, [2, 4]),
      serial: this.#odd(serialOf(8), [Buffer.of(0), Buffer.of(0x80), serialOf(20), serialOf(30)]),
      issuer: this.#odd(nameOf(issuer?.name ?? name), [nameOf("nobody"), nameOf("")], 0.04),
      validity: this.#odd(good, [
        sequence(utcTime(now - 20 * DAY), utcTime(now - 10 * DAY)),
        sequence(utcTime(now + 10 * DAY), utcTime(now + 20 * DAY)),
        sequence(utcTime(now + 10 * DAY), utcTime(now - 10 * DAY)),
        sequence(utcTime(now - 10 * DAY), generalizedTime(Date.UTC(9999, 11, 31, 23, 59, 59))),
        sequence(generalizedTime(now - 10 * DAY), generalizedTime(now + 10 * DAY)),
        sequence(utcTime(Date.UTC(1970, 0, 1)), utcTime(Date.UTC(2049, 11, 31))),
        sequence(generalizedTime(Date.UTC(1900, 0, 1)), utcTime(now + 10 * DAY)),
      ]),
      subject: this.#odd(nameOf(name), [nameOf(""), nameOf("localhost"), nameOf("root")], 0.05),
      key: pair.publicKey,
      extensions: this.#extensions(isAuthority, pair.publicKey, (issuer?.pair ?? pair).publicKey),
      digest: this.#odd("sha256", ["sha1", "sha384"] as const, 0.05),
    };
    const bytes = this.#damaged(toBeSigned(fields, signer), 0.15);
    const hand = this.#odd(signer, [pair.privateKey, this.#keys.usual.privateKey], 0.03);
    const raw = this.#damaged(signed(bytes, hand, fields.digest), 0.05);
    return { raw, pair, name };
  }

  /** Perhaps flips one bit. */
  #damaged(bytes: Buffer, likelihood: number): Buffer {
    if (!this.#chance(likelihood)) return bytes;
    this.#isDamaged = true;
    const at = this.#random.between(0, bytes.length - 1);
    bytes[at] = (bytes[at] as number) ^ (1 << this.#random.between(0, 7));
    return bytes;
  }

  #extensions(isAuthority: boolean, key: KeyObject, issuerKey: KeyObject): Buffer[] {
    const random = this.#random;
    const idOf = (of: KeyObject) => of.export({ type: "spki", format: "der" }).subarray(-20);
    const authority = sequence(der(0x01, Buffer.of(0xff)));
    const list = [
      extension(ID.keyId, octets(this.#odd(idOf(key), [idOf(issuerKey), Buffer.of(1)], 0.04))),
      extension(ID.issuerKeyId, sequence(der(0x80, this.#odd(idOf(issuerKey), [idOf(key), Buffer.of(2)], 0.04)))),
      ...this.#odd(
        [extension(ID.basic, isAuthority ? authority : sequence(), true)],
        [
          [],
          [extension(ID.basic, authority, true)],
          [extension(ID.basic, sequence(), false)],
          [extension(ID.basic, sequence(der(0x01, Buffer.of(0xff)), der(0x02, Buffer.of(0))), true)],
          [extension(ID.basic, sequence(der(0x01, Buffer.of(0))), true)],
        ],
      ),
      ...this.#odd(isAuthority ? [] : [extension(ID.names, sequence(...this.#names()))], [[]], 0.05),
      ...this.#odd(
        [],
        [0x80, 0x20, 0x08, 0x04, 0x06, 0xff, 0].map((
          byte,
        ) => [extension(ID.keyUsage, der(0x03, Buffer.of(0, byte)), true)]),
      ),
      ...this.#odd(
        [],
        [
          [USAGES.servers],
          [USAGES.servers, USAGES.clients],
          [USAGES.clients],
          [USAGES.any],
          [USAGES.mail, USAGES.any],
          [],
        ].map((ids) => [extension(ID.extendedUsage, sequence(...ids.map(objectId)), random.next() < 0.3)]),
      ),
      ...this.#odd([], [this.#constraint()], isAuthority ? 0.2 : 0.03),
      ...this.#odd([], [
        [extension("1.2.3.4", octets(), true)],
        [extension("1.2.3.4", octets())],
        [extension("1.3.6.1.5.5.7.1.24", sequence(der(0x02, Buffer.of(5))))],
        [extension("1.3.6.1.4.1.11129.2.4.3", der(0x05), true)],
        [extension(ID.policies, sequence(sequence(objectId("1.2.3"))))],
        [extension(ID.keyId, octets(Buffer.of(9)))],
      ]),
    ];
    return this.#chance(0.05) ? random.shuffled(list) : list;
  }

  /** The entries of a name list (GeneralNames) for localhost. */
  #names(): Buffer[] {
    const dns = (text: string | Buffer) => der(0x82, Buffer.from(text as string));
    const good = [dns("localhost"), der(0x87, Buffer.of(127, 0, 0, 1))];
    const others = [
      [dns("LOCALHOST"), der(0x87, Buffer.of(127, 0, 0, 1))],
      [dns("localhost.")],
      [dns("*.localhost")],
      [dns("*")],
      [dns(".localhost")],
      [dns("127.0.0.1")],
      [dns("localhost\0.evil.example")],
      [dns(Buffer.of(0xff, 0x6c))],
      [dns("")],
      [],
      [der(0x87, Buffer.of(127, 0, 0, 2)), dns("elsewhere.example")],
      [der(0x87, Buffer.of(127, 0, 0, 1, 0))],
      [der(0x86, Buffer.from("https://localhost/"))],
      [der(0x81, Buffer.from("a@localhost"))],
      [der(0xa4, nameOf("localhost")), ...good],
      [der(0xa0, objectId("1.2.3"), der(0xa0, der(0x0c, Buffer.from("x")))), ...good],
      [der(0x8f, Buffer.of(1)), ...good],
    ];
    return this.#odd(good, others, 0.3);
  }

  #constraint(): Buffer[] {
    const range = (tag: number, bytes: Uint8Array | string) => sequence(der(tag, Buffer.from(bytes as string)));
    const [permitted, excluded] = [0xa0, 0xa1];
    const inside = [range(0x82, "localhost"), range(0x87, Buffer.of(127, 0, 0, 0, 255, 0, 0, 0))];
    const lists = [
      der(permitted, ...inside),
      der(permitted, range(0x82, "elsewhere.example")),
      der(permitted, range(0x82, "")),
      der(permitted, range(0x82, ".localhost")),
      der(permitted, range(0x87, Buffer.of(10, 0, 0, 0, 255, 0, 0, 0))),
      der(permitted, range(0x81, "mail.example")),
      der(excluded, ...inside),
      der(excluded, range(0x82, "elsewhere.example")),
      der(excluded, range(0x82, "")),
      der(excluded, range(0x87, Buffer.alloc(8))),
    ];
    return [extension(ID.constraints, sequence(this.#random.pick(lists)), this.#random.next() < 0.7)];
  }
}

/** A server with that chain; null where the tests' own OpenSSL does not load it. */
async function serve({ chain }: Identity): Promise<Site | null> {
  const [leaf] = chain as [Made];
  const key = leaf.pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const identity = { key, cert: chain.map(({ raw }) => pemOf(raw)).join(""), ciphers: "DEFAULT@SECLEVEL=0" };
  try {
    createSecureContext(identity);
  } catch {
    return null;
  }
  return await openSite((socket) => socket.end(answer("200 OK", {}, "All systems normal")), { identity });
}

/** Deno ends such a handshake before it shows the certificate (docs/checks.md). Node names the cause. */
const UNREADABLE = /^down: tls, certificate cannot be used by Deno's TLS/;
const CAUSES = /^down: tls, certificate (?:has an RSA key|has a critical extension|cannot be decoded)/;
const REFUSED = /^down: tls,/;

function findingIn({ isGood, isDamaged }: Identity, node: string | undefined, deno: string | undefined): string | null {
  const told = `Node says "${node}", Deno "${deno}"`;
  if (node === undefined || deno === undefined) return `${told}: no verdict`;
  if (isGood) return node === "up" && deno === "up" ? null : `${told}, expected "up"`;
  if (node === deno || UNREADABLE.test(deno) && CAUSES.test(node)) return null;
  // Deno reads fewer damaged certificates than Node, and so says less of them.
  return isDamaged && REFUSED.test(deno) ? null : told;
}

/** The words of a check that a person reads. */
function verdictOf({ metric: { error, error_detail, is_valid } }: Checked): string {
  // A runtime may refuse a certificate that is good by the programs' rule. Each runtime then has
  // its own words for the reason.
  return is_valid ? "up" : `down: ${error}, ${error_detail?.replace(/is refused \(.*/, "is refused")}`;
}

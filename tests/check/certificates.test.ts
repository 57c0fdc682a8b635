import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  der,
  ecKey,
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
import type { Checked } from "../support/check_runner.ts";
import { skipped } from "../support/kafka.ts";
import { COMMANDS, runScript, trusting } from "../support/runtimes.ts";
import { answer, openSite } from "../support/site.ts";

// Certificates that only OpenSSL's commands can make. `npm run test:fuzz -- --only servers` found
// most of them.

const DAY = 86_400_000;
const now = Math.floor(Date.now() / DAY) * DAY;
const [rootKey, middleKey, leafKey] = [ecKey(), ecKey(), ecKey()];
const yes = der(0x01, Buffer.of(0xff));
const idOf = ({ publicKey }: KeyPair) => publicKey.export({ type: "spki", format: "der" }).subarray(-20);
const keyId = (id: Uint8Array) => extension("2.5.29.14", octets(id));
const issuerKeyId = (id: Uint8Array) => extension("2.5.29.35", sequence(der(0x80, id)));
const authority = extension("2.5.29.19", sequence(yes), true);
const localhost = extension("2.5.29.17", sequence(der(0x82, Buffer.from("localhost"))));
const years = sequence(utcTime(now - DAY), utcTime(now + 700 * DAY));

/** A certificate in PEM, signed by `signer`. */
function make(pair: KeyPair, signer: KeyPair, fields: Partial<Fields> & Pick<Fields, "issuer" | "subject">): string {
  const all: Fields = {
    ...{ version: 3, serial: serialOf(8), validity: years, key: pair.publicKey, digest: "sha256", extensions: [] },
    ...fields,
  };
  return pemOf(signed(toBeSigned(all, signer.privateKey), signer.privateKey, all.digest));
}

const leaf = (fields: Partial<Fields> = {}, signer = rootKey, issuer = "root") =>
  make(leafKey, signer, { issuer: nameOf(issuer), subject: nameOf("leaf"), extensions: [localhost], ...fields });
const below = leaf({}, middleKey, "middle");
const middle = (fields: Partial<Fields> = {}) =>
  make(middleKey, rootKey, { issuer: nameOf("root"), subject: nameOf("middle"), extensions: [authority], ...fields });
const root = make(rootKey, rootKey, {
  ...{ issuer: nameOf("root"), subject: nameOf("root") },
  extensions: [authority, keyId(idOf(rootKey)), issuerKeyId(idOf(rootKey))],
});
/** OpenSSL shows this time as a text. Deno's reader throws. */
const noDate = sequence(der(0x17, Buffer.from("26111;000000Z")), utcTime(now + 700 * DAY));

const UNREADABLE = "certificate cannot be used by Deno's TLS: its key is none of RSA of 2048 to 8192 bits, P-256, " +
  "P-384, P-521 and Ed25519, or it has a critical extension that is not known";

/**
 * The certificates to send, and the verdict; null: the host is up. There are two verdicts where
 * Deno tells less than Node.
 */
const CASES: Readonly<Record<string, readonly [chain: string, ...said: (string | null)[]]>> = {
  "a good certificate": [leaf(), null],
  "a good certificate below an intermediate": [below + middle(), null],
  "an intermediate of version 2": [
    below + middle({ version: 2 }),
    "intermediate certificate middle is of X.509 version 2, not 3",
  ],
  "a certificate of version 4": [leaf({ version: 4 }), "certificate is of X.509 version 4, not 3"],
  "a certificate that names another key of its issuer": [
    leaf({ extensions: [localhost, issuerKeyId(Buffer.of(1))] }),
    "certificate says that its issuer has another key",
  ],
  "an intermediate that names another key of its issuer": [
    below + middle({ extensions: [authority, issuerKeyId(Buffer.of(1))] }),
    "intermediate certificate middle says that its issuer has another key",
  ],
  "a certificate that says that it signed itself": [
    leaf({ subject: nameOf("root"), extensions: [localhost, keyId(idOf(rootKey)), issuerKeyId(idOf(rootKey))] }),
    "certificate is self-signed",
  ],
  "a certificate from before 1970": [
    leaf({ validity: sequence(generalizedTime(Date.UTC(1950, 0)), utcTime(now + DAY)) }),
    "certificate begins before 1970",
  ],
  "an intermediate of number 0 that is no authority": [
    below + middle({ serial: Buffer.of(0), extensions: [] }),
    "intermediate certificate middle is not an authority's",
  ],
  "an intermediate with an extension twice": [
    below + middle({ extensions: [authority, keyId(Buffer.of(1)), keyId(Buffer.of(1))] }),
    "an intermediate certificate cannot be decoded",
  ],
  "a certificate for a name that is empty": [
    leaf({ extensions: [extension("2.5.29.17", sequence(der(0x82)))] }),
    "certificate has no DNS name and no IP address (a common name does not count)",
  ],
  "a name that is none": [
    leaf({ extensions: [extension("2.5.29.17", sequence(der(0x82, Buffer.of(0xff))))] }),
    "certificate is not for localhost (it is for ÿ)",
  ],
  "an intermediate whose date cannot be read": [
    below + middle({ validity: noDate }),
    "an intermediate certificate cannot be decoded",
    "certificate's issuer is not known, or an intermediate certificate is missing",
  ],
  "a certificate whose signature is of another algorithm than it says": [
    pemOf(signed(
      toBeSigned(
        {
          ...{ version: 3, serial: serialOf(8), issuer: nameOf("root"), subject: nameOf("leaf"), validity: years },
          ...{ key: leafKey.publicKey, extensions: [localhost], digest: "sha256" },
        },
        rootKey.privateKey,
      ),
      rootKey.privateKey,
      "sha384",
    )),
    "certificate cannot be decoded",
    UNREADABLE,
  ],
  "a certificate whose date cannot be read": [leaf({ validity: noDate }), "certificate cannot be decoded"],
  "a date that cannot be read beside a good path": [
    leaf() + middle({ validity: noDate }),
    null,
  ],
};

/** The parts of a chain in which it has a fault. */
interface Draft {
  readonly leaf: Partial<Fields>;
  readonly leafPair: KeyPair;
  readonly middle: Partial<Fields>;
  readonly middlePair: KeyPair;
}

const shortKey = rsaKey(1024);
const expired = sequence(utcTime(now - 20 * DAY), utcTime(now - 10 * DAY));
const forClients = extension("2.5.29.37", sequence(objectId("1.3.6.1.5.5.7.3.2")));
const strange = extension("1.2.3.4", octets(), true);
const inLeaf = (fields: Partial<Fields>) => (draft: Draft) => ({ ...draft, leaf: { ...draft.leaf, ...fields } });
const inMiddle = (fields: Partial<Fields>) => (draft: Draft) => ({ ...draft, middle: { ...draft.middle, ...fields } });
const more = (to: "leaf" | "middle", value: Buffer) => (draft: Draft) => {
  const fields = draft[to];
  return { ...draft, [to]: { ...fields, extensions: [...(fields.extensions ?? []), value] } };
};
const elsewhere = extension("2.5.29.17", sequence(der(0x82, Buffer.from("elsewhere.example"))));
const without = (list: readonly Uint8Array[] | undefined, value: Buffer) => (list ?? []).filter((one) => one !== value);

interface Fault {
  readonly says: string;
  readonly put: (draft: Draft) => Draft;
  /** Deno shows such a certificate only where its version is odd. */
  readonly isHidden?: true;
}

/** In the order of docs/checks.md: of two faults the first is told. */
const FAULTS: readonly Fault[] = [
  { says: "certificate has a critical extension", put: more("leaf", strange), isHidden: true },
  {
    says: "certificate has an RSA key of 1024 bits",
    put: (draft) => ({ ...draft, leafPair: shortKey }),
    isHidden: true,
  },
  { says: "certificate has expired", put: inLeaf({ validity: expired }) },
  { says: "certificate is signed with SHA-1", put: inLeaf({ digest: "sha1" }) },
  {
    says: "certificate says that its issuer has another key",
    put: more("leaf", issuerKeyId(Buffer.of(1))),
  },
  { says: "certificate is of X.509 version 4", put: inLeaf({ version: 4 }) },
  { says: "certificate is not for servers", put: more("leaf", forClients) },
  {
    says: "certificate is not for TLS",
    put: more("leaf", extension("2.5.29.15", der(0x03, Buffer.of(0, 0x04)), true)),
  },
  {
    says: "certificate's issuer is not known",
    put: inMiddle({ issuer: nameOf("stranger") }),
  },
  { says: "intermediate certificate middle has a critical extension", put: more("middle", strange) },
  {
    says: "intermediate certificate middle has an RSA key of 1024 bits",
    put: (draft) => ({ ...draft, middlePair: shortKey }),
  },
  { says: "intermediate certificate middle has expired", put: inMiddle({ validity: expired }) },
  {
    says: "intermediate certificate middle is not an authority's",
    put: (draft) => inMiddle({ extensions: without(draft.middle.extensions, authority) })(draft),
  },
  {
    says: "certificate is not for localhost",
    put: (draft) => inLeaf({ extensions: [...without(draft.leaf.extensions, localhost), elsewhere] })(draft),
  },
];

interface Pair {
  readonly name: string;
  readonly chain: string;
  readonly key: KeyPair;
  readonly first: Fault;
  readonly hidden: boolean;
}

/** A chain with two faults. */
function pairOf(first: Fault, second: Fault): Pair {
  const good: Draft = {
    leaf: { extensions: [localhost] },
    leafPair: leafKey,
    middle: { extensions: [authority, keyId(idOf(middleKey))] },
    middlePair: middleKey,
  };
  const draft = second.put(first.put(good));
  const upper = make(draft.middlePair, rootKey, { issuer: nameOf("root"), subject: nameOf("middle"), ...draft.middle });
  const lower = make(draft.leafPair, draft.middlePair, {
    ...{ issuer: nameOf("middle"), subject: nameOf("leaf") },
    ...draft.leaf,
  });
  return {
    name: `"${first.says}" before "${second.says}"`,
    chain: lower + upper,
    key: draft.leafPair,
    first,
    hidden: first.isHidden === true || second.isHidden === true,
  };
}

const PAIRS = FAULTS.flatMap((first, at) => FAULTS.slice(at + 1).map((second) => pairOf(first, second)));

describe.each(COMMANDS)("check under $runtime", ({ runtime, missing, command }) => {
  let said: ReadonlyMap<string, string | null>;
  const folder = mkdtempSync(join(tmpdir(), "test-certificates-"));
  const canRun = missing === null || skipped(missing);

  beforeAll(async () => {
    if (!canRun) return;
    await using stack = new AsyncDisposableStack();
    const file = join(folder, "root.pem");
    writeFileSync(file, root);
    const chains = [
      ...Object.entries(CASES).map(([name, [chain]]) => ({ name, chain, key: leafKey })),
      ...PAIRS,
    ];
    const targets = await Promise.all(
      chains.map(async ({ name, chain: cert, key: { privateKey } }) => {
        const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
        // OpenSSL serves weak certificates only when it is told to.
        const identity = { key, cert, ciphers: "DEFAULT@SECLEVEL=0" };
        const { port } = stack.use(
          await openSite((socket) => socket.end(answer("200 OK", {}, "All systems normal")), { identity }),
        );
        return { name, line: `https://localhost:${port}/ 1h normal`, timeout: 30, blocked: null };
      }),
    );
    const checked = await runScript<Checked>(command, "check_runner.ts", { names: {}, targets }, trusting(file));
    said = new Map(
      checked.map(({ name, metric: { is_valid, error, error_detail } }) => {
        return [name, is_valid ? null : `${error}: ${error_detail}`];
      }),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.runIf(canRun).each(Object.entries(CASES))("check judges %s", (name, [, first, second = first]) => {
    const expected = runtime === "Node" ? first : second;
    expect(said.get(name)).toBe(expected === null ? null : `tls: ${expected}`);
  });

  it.runIf(canRun).each(PAIRS)("check says $name", ({ name, first, hidden }) => {
    const expected = [
      first.says,
      ...(hidden && runtime === "Deno" ? ["certificate cannot be used by Deno's TLS"] : []),
    ];
    expect(said.get(name)).toMatch(new RegExp(`^tls: (?:${expected.join("|")})`));
  });
});

import { networkInterfaces } from "node:os";
import { afterAll, describe, expect, it, vi } from "vitest";
import { candidates, NoAddress, type ResolverOptions, systemResolver } from "../../lib/net/resolver.ts";
import { decodeReply, encodeQuestion, isAskable, RCODES, TYPES } from "../../lib/net/resolver/dns.ts";
import { parseHostsTable, parseResolverConfig, parseSources } from "../../lib/net/resolver/files.ts";
import { openNameServer, type Zone } from "../support/name_server.ts";
import { RemoteResolvers } from "../support/remote_resolver.ts";
import { namesFolder } from "../support/resolver_folder.ts";
import { COMMANDS } from "../support/runtimes.ts";

const never = new AbortController().signal;
const v4 = (address: string) => ({ address, family: 4 });
const v6 = (address: string) => ({ address, family: 6 });

describe("parseHostsTable", () => {
  it.each([
    ["127.0.0.1 localhost", "localhost", [v4("127.0.0.1")]],
    ["127.0.0.1\tA.test b.test # c.test", "a.test", [v4("127.0.0.1")]],
    ["127.0.0.1 a.test b.test # c.test", "b.test", [v4("127.0.0.1")]],
    ["127.0.0.1 a.test b.test # c.test", "c.test", undefined],
    ["  ::1   a.test\r\n10.0.0.1 a.test", "a.test", [v6("::1"), v4("10.0.0.1")]],
    ["fe80::1%lo a.test", "a.test", [v6("fe80::1%lo")]],
    ["# 127.0.0.1 a.test\nnowhere a.test\n\n127.0.0.1", "a.test", undefined],
    ["127.0.0.1 a.test.", "a.test", [v4("127.0.0.1")]],
  ])("parseHostsTable reads %j for %s", (text, name, expected) => {
    expect(parseHostsTable(text).get(name)).toEqual(expected);
  });
});

describe("parseResolverConfig", () => {
  const plain = { servers: ["127.0.0.1"], search: [], ndots: 1, timeout: 5, attempts: 2, rotate: false };
  it.each([
    ["", {}],
    ["nameserver 10.0.0.1\nnameserver ::1\n", { servers: ["10.0.0.1", "::1"] }],
    ["nameserver a.test\nnameserver 1.1.1.1", { servers: ["1.1.1.1"] }],
    ["nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4", {
      servers: ["1.0.0.1", "1.0.0.2", "1.0.0.3"],
    }],
    ["search a.test b.test.\nsearch c.test .", { search: ["c.test"] }],
    ["domain a.test\n; search b.test\n# search c.test", { search: ["a.test"] }],
    ["options ndots:5 timeout:1 attempts:3 rotate", { ndots: 5, timeout: 1, attempts: 3, rotate: true }],
    ["options ndots:99 timeout:0 attempts:99", { ndots: 15, timeout: 1, attempts: 5 }],
    ["options edns0 trust-ad single-request", {}],
    ["options use-vc", { overTcp: true }],
    ["options inet6", { isUnderstood: false }],
  ])("parseResolverConfig reads %j", (text, expected) => {
    expect(parseResolverConfig(text, "")).toEqual({ ...plain, overTcp: false, isUnderstood: true, ...expected });
  });

  it("parseResolverConfig searches this machine's own domain where the file does not say what else", () => {
    expect(parseResolverConfig("nameserver 10.0.0.1", "own.test").search).toEqual(["own.test"]);
    expect(parseResolverConfig("search a.test", "own.test").search).toEqual(["a.test"]);
  });
});

it.each([
  ["", true, false],
  ["passwd: files\nhosts:      files dns\n", true, false],
  ["hosts: files resolve [!UNAVAIL=return] dns # as Fedora has it", true, false],
  ["hosts: files mdns4_minimal [NOTFOUND=return] dns", true, true],
  ["hosts: files myhostname dns", true, true],
  ["hosts: dns files", false, false],
  ["hosts: files", false, false],
  ["hosts: nis", false, true],
])("parseSources reads %j", (text, isUnderstood, hasOthers) => {
  expect(parseSources(text)).toEqual({ isUnderstood, hasOthers });
});

it.each([
  ["a.test", "ndots:1", "a.test a.test.s1 a.test.s2"],
  ["a", "ndots:1", "a.s1 a.s2 a"],
  ["a.ns.svc", "ndots:5", "a.ns.svc.s1 a.ns.svc.s2 a.ns.svc"],
  ["a", "ndots:0", "a a.s1 a.s2"],
  ["a.test.", "ndots:5", "a.test"],
])("candidates of %s with %s are what glibc tries", (name, option, expected) => {
  expect(candidates(name, parseResolverConfig(`search s1 s2\noptions ${option}`, "")).join(" ")).toBe(expected);
});

describe("decodeReply", () => {
  const question = { id: 0x1234, name: "a.test", type: TYPES.A };
  const asked = encodeQuestion(question);
  /** A reply with one address, before the case changes it. */
  const reply = (change: (bytes: Buffer) => void = () => {}) => {
    const bytes = Buffer.concat([asked, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1])]);
    bytes.writeUInt16BE(0x8180, 2);
    bytes.writeUInt16BE(1, 6);
    change(bytes);
    return bytes;
  };

  it("decodeReply reads the addresses", () => {
    expect(decodeReply(reply(), question)).toEqual({ code: 0, isTruncated: false, addresses: [v4("10.0.0.1")] });
  });

  it("decodeReply takes the name in another case", () => {
    expect(decodeReply(reply((bytes) => bytes.write("A", 13)), question)?.addresses).toHaveLength(1);
  });

  it.each<[string, (bytes: Buffer) => void]>([
    ["another id", (bytes) => bytes.writeUInt16BE(0x1235, 0)],
    ["a question", (bytes) => bytes.writeUInt16BE(0x0180, 2)],
    ["another name", (bytes) => bytes.write("b", 13)],
    ["another type", (bytes) => bytes.writeUInt16BE(TYPES.AAAA, 20)],
  ])("decodeReply takes no notice of %s", (_name, change) => {
    expect(decodeReply(reply(change), question)).toBeNull();
  });

  const UNREADABLE = { code: RCODES.unreadable, isTruncated: false, addresses: [] };

  it.each<[string, (bytes: Buffer) => unknown]>([
    ["more answers than there are", (bytes) => bytes.writeUInt16BE(2, 6)],
    ["a record that is longer than the reply", (bytes) => bytes.writeUInt16BE(40, asked.length + 10)],
    ["no question", (bytes) => bytes.writeUInt16BE(0, 4)],
  ])("decodeReply says that it cannot read %s", (_name, change) => {
    expect(decodeReply(reply(change), question)).toEqual(UNREADABLE);
  });

  it("decodeReply takes no address from a reply cut short anywhere, and hears that there is more where it says so", () => {
    const whole = reply();
    const read = Array.from(whole.keys()).map((length) => decodeReply(whole.subarray(0, length), question));
    expect(read.slice(0, asked.length).every((found) => found === null)).toBe(true);
    expect(read.slice(asked.length)).toEqual(read.slice(asked.length).map(() => UNREADABLE));
    const marked = reply((bytes) => bytes.writeUInt16BE(bytes.readUInt16BE(2) | 0x0200, 2)).subarray(0, -1);
    expect(decodeReply(marked, question)).toEqual({ code: 0, isTruncated: true, addresses: [] });
  });
});

it.each([
  ["a.test", true],
  ["a", true],
  ["", false],
  ["a..test", false],
  [".test", false],
  [`${"x".repeat(63)}.test`, true],
  [`${"x".repeat(64)}.test`, false],
  [Array(64).fill("abc").join("."), false],
])("isAskable of %j is %j", (name, expected) => {
  expect(isAskable(name)).toBe(expected);
});

const only = (name: string, address: string): Zone => (asked) =>
  asked === name ? { addresses: [address] } : { code: 3 };

function hasGlobalV6(): boolean {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ family, address }) => family === "IPv6" && /^[23]/.test(address));
}

/** Node runs in this process, Deno in one of its own. */
describe.each(COMMANDS.filter(({ missing }) => missing === null))("under $runtime", ({ runtime, command }) => {
  const remote = runtime === "Node" ? null : new RemoteResolvers(command);
  afterAll(() => remote?.[Symbol.asyncDispose]());
  const openResolver = (options: ResolverOptions) => remote?.open(options) ?? systemResolver(options);

  /**
   * Resolves `name` with a real name server that knows `zone`, and with files that hold `texts`.
   */
  async function resolveWith(name: string, zone: Zone, texts: Parameters<typeof namesFolder>[0] = {}) {
    await using server = await openNameServer(zone);
    using folder = namesFolder(texts);
    const found = await openResolver({ ...folder.paths, port: server.port }).resolve(name, never);
    return { found, questions: [...new Set(server.questions)].sort() };
  }

  it("systemResolver asks nobody for a name that the hosts file has", async () => {
    const { found, questions } = await resolveWith("A.test.", () => null, { hosts: "10.0.0.1 a.test\n" });
    expect(found).toEqual([v4("10.0.0.1")]);
    expect(questions).toEqual([]);
  });

  it.each([
    ["as it is first where it has dots", "a.test", "", ["a.test A", "a.test AAAA"]],
    ["with what is searched first where it has few", "a.test", "options ndots:5", [
      "a.test A",
      "a.test AAAA",
      "a.test.s.test A",
      "a.test.s.test AAAA",
    ]],
  ])("systemResolver asks for a name %s", async (_how, name, options, expected) => {
    const { found, questions } = await resolveWith(name, only("a.test", "10.0.0.1"), {
      resolver: `nameserver 127.0.0.1\nsearch s.test\n${options}\n`,
    });
    expect(found).toEqual([v4("10.0.0.1")]);
    expect(questions).toEqual(expected);
  });

  it("systemResolver goes on where the servers of a searched domain fail", async () => {
    const zone: Zone = (name) => name === "a.test" ? { addresses: ["10.0.0.1"] } : { code: 2 };
    const { found } = await resolveWith("a.test", zone, {
      resolver: "nameserver 127.0.0.1\nsearch s.test\noptions ndots:5 attempts:1\n",
    });
    expect(found).toEqual([v4("10.0.0.1")]);
  });

  it.each<[string, Zone, string]>([
    ["no such name", () => ({ code: 3 }), "no such name"],
    ["no address", () => ({}), "the name has no address"],
    ["a failure", () => ({ code: 2 }), "the name server failed (SERVFAIL)"],
    ["a refusal", () => ({ code: 5 }), "the name server failed (REFUSED)"],
    ["silence", () => null, "the name server does not answer"],
    [
      "silence for IPv4",
      (_name, type) => type === "A" ? null : {},
      "the name server knows no IPv6 address, and does not answer for IPv4",
    ],
    [
      "shorter than it says",
      () => ({ addresses: ["10.0.0.1"], changed: (answer) => answer.fill(9, 7, 8) }),
      "the name server's answer cannot be read",
    ],
    [
      "an error without the question",
      () => ({ code: 1, changed: (answer) => answer.fill(0, 4, 6).subarray(0, 12) }),
      "the name server failed (FORMERR)",
    ],
    ["an address of a name that is not there", () => ({ code: 3, addresses: ["10.0.0.1"] }), "no such name"],
    ["an address and a failure", () => ({ code: 2, addresses: ["10.0.0.1"] }), "the name server failed (SERVFAIL)"],
    [
      "cut off",
      () => ({ addresses: ["10.0.0.1"], isTruncated: true, closes: true }),
      "the name server's answer is cut off, and it does not answer over TCP",
    ],
  ])("systemResolver says so where the answer is %s", async (_name, zone, reason) => {
    const { found } = await resolveWith("a.test", zone, {
      resolver: "nameserver 127.0.0.1\noptions timeout:1 attempts:1",
    });
    expect(found).toEqual(new NoAddress(reason));
  });

  it.each([
    ["does not listen", "127.0.0.9"],
    ["cannot be reached", "255.255.255.255"],
  ])("systemResolver asks the next server where one %s", async (_what, first) => {
    const { found } = await resolveWith("a.test", only("a.test", "10.0.0.1"), {
      resolver: `nameserver ${first}\nnameserver 127.0.0.1\noptions timeout:1\n`,
    });
    expect(found).toEqual([v4("10.0.0.1")]);
  });

  it("systemResolver asks over IPv6, and the servers in turn where resolv.conf says so", async () => {
    await using first = await openNameServer(only("a.test", "10.0.0.1"));
    await using second = await openNameServer(only("a.test", "10.0.0.2"), "::1", first.port);
    using folder = namesFolder({ resolver: "nameserver 127.0.0.1\nnameserver ::1\noptions rotate\n" });
    const resolver = openResolver({ ...folder.paths, port: second.port });
    const found = [await resolver.resolve("a.test", never), await resolver.resolve("a.test", never)];
    expect(found).toEqual([[v4("10.0.0.1")], [v4("10.0.0.2")]]);
  });

  it("systemResolver leaves all to the system where there is no resolv.conf", async () => {
    using folder = namesFolder({ hosts: "10.0.0.1 localhost\n" });
    const resolver = openResolver({ ...folder.paths, resolver: `${folder.paths.resolver}.gone` });
    expect(await resolver.resolve("localhost", never)).toContainEqual(v4("127.0.0.1"));
  });

  it("systemResolver asks again where a server refuses for the moment", async () => {
    const seen = new Map<string, number>();
    const { found } = await resolveWith("a.test", (_name, type) => {
      seen.set(type, (seen.get(type) ?? 0) + 1);
      return seen.get(type) === 1 ? { code: 5 } : type === "A" ? { addresses: ["10.0.0.1"] } : {};
    });
    expect(found).toEqual([v4("10.0.0.1")]);
  });

  it("systemResolver asks over TCP for what a datagram does not hold, and from the start where resolv.conf says so", async () => {
    const addresses = Array.from({ length: 100 }, (_, index) => `10.0.0.${index}`);
    const many: Zone = () => ({ addresses, isTruncated: true });
    expect((await resolveWith("a.test", many)).found).toHaveLength(100);
    const { found, questions } = await resolveWith("a.test", many, {
      resolver: "nameserver 127.0.0.1\noptions use-vc\n",
    });
    expect(found).toHaveLength(100);
    expect(questions).toEqual(["a.test A tcp", "a.test AAAA tcp"]);
  });

  it("systemResolver takes the addresses of an answer over TCP though it says that there are more", async () => {
    const zone: Zone = (_name, type) => ({
      addresses: type === "A" ? ["10.0.0.1", "10.0.0.2"] : [],
      isTruncated: true,
      isMarked: true,
    });
    expect((await resolveWith("a.test", zone)).found).toEqual([v4("10.0.0.1"), v4("10.0.0.2")]);
  });

  it("systemResolver asks over TCP where a datagram is cut off within a record, also behind one that cannot be read", async () => {
    const cut = (answer: Buffer) => answer.subarray(0, -1);
    const broken = (query: Buffer) => Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x80]), Buffer.alloc(8)]);
    const zone: Zone = (_name, type, isTcp) => ({
      addresses: type === "A" ? ["10.0.0.1"] : [],
      ...(isTcp ? {} : { isTruncated: true, inDatagram: 1, before: [broken], changed: cut }),
    });
    expect((await resolveWith("a.test", zone)).found).toEqual([v4("10.0.0.1")]);
  });

  it("systemResolver takes what a datagram held where the server does not answer over TCP", async () => {
    const addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    const zone: Zone = (_name, type) =>
      type === "A" ? { addresses, isTruncated: true, inDatagram: 2, closes: true } : {};
    expect((await resolveWith("a.test", zone)).found).toEqual([v4("10.0.0.1"), v4("10.0.0.2")]);
  });

  it("systemResolver takes no answer that is not to its question", async () => {
    const forge = (query: Buffer) => {
      const bytes = Buffer.concat([query, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 6, 6, 6, 6])]);
      bytes.writeUInt16BE(query.readUInt16BE(0) ^ 1, 0);
      bytes.writeUInt16BE(0x8180, 2);
      bytes.writeUInt16BE(1, 6);
      return bytes;
    };
    const zone: Zone = (_name, type) => ({
      addresses: type === "A" ? ["10.0.0.1"] : [],
      before: [forge, () => Buffer.alloc(3)],
    });
    expect((await resolveWith("a.test", zone)).found).toEqual([v4("10.0.0.1")]);
  });

  it.each(["127.0.0.1", "::ffff:127.0.0.1", "0::FFFF:127.0.0.1"])(
    "systemResolver takes no answer of another address than %s where it asked that",
    async (address) => {
      const zone: Zone = (_name, type) => type === "A" ? { addresses: ["10.0.0.1"], forged: ["6.6.6.6"] } : {};
      const { found } = await resolveWith("a.test", zone, { resolver: `nameserver ${address}\n` });
      expect(found).toEqual([v4("10.0.0.1")]);
    },
  );

  it.each(["2001:db8::1", "::1", "2001:db8:0:1:1:1:1:1", "2001:db8::1:0:0:1"])(
    "systemResolver reads the IPv6 address %s behind an alias",
    async (address) => {
      const { found } = await resolveWith("a.test", () => ({ addresses: [address], alias: "long.name.b.test" }));
      expect(found).toEqual([v6(address)]);
    },
  );

  it("systemResolver puts IPv6 first for loopback, and else where this machine has a global address of it", async () => {
    const resolve = async (address: string) =>
      (await resolveWith("a.test", () => ({ addresses: ["10.0.0.1", address] }))).found;
    expect(await resolve("::1")).toEqual([v6("::1"), v4("10.0.0.1")]);
    const both = [v4("10.0.0.1"), v6("2001:db8::1")];
    expect(await resolve("2001:db8::1")).toEqual(hasGlobalV6() ? both.toReversed() : both);
  });

  it("systemResolver says so where the system knows no such name either", async () => {
    const { found } = await resolveWith(`${"x".repeat(64)}.test`, () => null, { sources: "hosts: files dns mdns4\n" });
    expect(found).toEqual(new NoAddress("no such name"));
  });

  it("systemResolver asks nobody where it was given up before", async () => {
    await using server = await openNameServer(() => null);
    using folder = namesFolder({});
    const resolving = openResolver({ ...folder.paths, port: server.port }).resolve(
      "a.test",
      AbortSignal.abort(new Error("late")),
    );
    await expect(resolving).rejects.toThrow("late");
    expect(server.questions).toEqual([]);
  });

  it("systemResolver puts what files and DNS do not know to the system where it has further sources", async () => {
    const zone: Zone = () => ({ code: 3 });
    const hosts = "10.0.0.1 other.test\n";
    const asked = await resolveWith("localhost", zone, { hosts, sources: "hosts: files dns mdns4\n" });
    expect(asked.found).toContainEqual(v4("127.0.0.1"));
    const notAsked = await resolveWith("localhost", zone, { hosts, sources: "hosts: files dns\n" });
    expect(notAsked.found).toEqual(new NoAddress("no such name"));
  });

  it.each([
    ["nsswitch.conf", { sources: "hosts: dns files\n" }],
    ["resolv.conf", { resolver: "nameserver 127.0.0.1\noptions inet6\n" }],
  ])("systemResolver leaves all to the system where it does not understand %s", async (_file, texts) => {
    const { found, questions } = await resolveWith("localhost", () => null, {
      hosts: "10.0.0.1 localhost\n",
      ...texts,
    });
    expect(found).toContainEqual(v4("127.0.0.1"));
    expect(questions).toEqual([]);
  });

  it("systemResolver stops asking when it is given up", async () => {
    const asked = vi.fn(() => null);
    await using server = await openNameServer(asked);
    using folder = namesFolder({});
    const givenUp = new AbortController();
    const resolving = openResolver({ ...folder.paths, port: server.port }).resolve("a.test", givenUp.signal);
    await vi.waitFor(() => expect(asked).toHaveBeenCalledTimes(2));
    givenUp.abort(new Error("given up"));
    await expect(resolving).rejects.toThrow("given up");
  });

  it("systemResolver asks anew every time", async () => {
    let next = 1;
    await using server = await openNameServer((_name, type) => type === "A" ? { addresses: [`10.0.0.${next++}`] } : {});
    using folder = namesFolder({});
    const resolver = openResolver({ ...folder.paths, port: server.port });
    expect(await resolver.resolve("a.test", never)).toEqual([v4("10.0.0.1")]);
    expect(await resolver.resolve("a.test", never)).toEqual([v4("10.0.0.2")]);
  });
});

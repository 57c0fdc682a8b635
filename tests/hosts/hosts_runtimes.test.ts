import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { decodePunycode } from "../../lib/hosts/host_name.ts";
import { type Runtime, RUNTIMES } from "../support/programs.ts";
import { Random } from "../support/random.ts";
import { denoMissing } from "../support/runtimes.ts";

// Both runtimes read a hosts line alike, though their URLs differ.

type Taken = string | readonly [address: string, href: string];

function taken(runtime: Runtime, lines: readonly string[]): readonly Taken[] {
  const script = fileURLToPath(new URL("../support/hosts_runner.ts", import.meta.url));
  const [command, args] = runtime === "node" ? [process.execPath, []] : ["deno", ["run", "-A", "-q"]];
  const { stdout, stderr } = spawnSync(command, [...args, script], {
    input: JSON.stringify(lines),
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

const unseen = (shown: string, sign: string) =>
  `h:1:1: ${shown} holds ${sign}, which nobody sees: leave it out, or write a plain space or %XX`;
const unsound = (address: string) =>
  `h:1:1: ${address} has a name whose xn-- is no punycode: write the name itself, such as grün.example`;
const elsewhere = (scheme: string) => `h:1:1: ${scheme}: cannot be checked: write https:// or http://`;

const CASES: readonly (readonly [domain: string, taken: Taken])[] = [
  ["a\u200Bb.example", unseen("a\\x{200b}b.example", "U+200B")],
  ["a.example\u200B", unseen("a.example\\x{200b}", "U+200B")],
  ["https://a.example/x\u200By", unseen("https://a.example/x\\x{200b}y", "U+200B")],
  ["a.example#\u2060", unseen("a.example#\\x{2060}", "U+2060")],
  ["a\u00ADb.example", unseen("a\\x{ad}b.example", "U+00AD")],
  ["a\u202Eb.example", unseen("a\\x{202e}b.example", "U+202E")],
  ["a.example/\u2066", unseen("a.example/\\x{2066}", "U+2066")],
  ["a\u180Eb.example", unseen("a\\x{180e}b.example", "U+180E")],
  ["a\u3164b.example", unseen("a\u3164b.example", "U+3164")],
  ["a\u115Fb.example", unseen("a\u115Fb.example", "U+115F")],
  ["a\uFE0Fb.example", unseen("a\uFE0Fb.example", "U+FE0F")],
  ["a\u200Db.example", unseen("a\\x{200d}b.example", "U+200D")],
  ["\u{E0041}a.example", unseen("\\x{e0041}a.example", "U+E0041")],
  ["a.example/\u2764\uFE0F", ["a.example/\u2764\uFE0F", "https://a.example/%E2%9D%A4%EF%B8%8F"]],
  ["mailto:a@b", elsewhere("mailto")],
  ["MAILTO:me@a.example", elsewhere("MAILTO")],
  ["sip:me@a.example", elsewhere("sip")],
  ["https://mailto:secret@a.example", ["https://a.example", "https://a.example/"]],
  ["me:secret@a.example", ["a.example", "https://a.example/"]],
  ["xn--a.example", unsound("xn--a.example")],
  ["xn--", unsound("xn--")],
  ["xn--.example", unsound("xn--.example")],
  ["https://XN--A.example/x", unsound("https://XN--A.example/x")],
  ["https://a.xn--a:8080/", unsound("https://a.xn--a:8080/")],
  ["xn--zz--.example", unsound("xn--zz--.example")],
  ["xn--0.example", unsound("xn--0.example")],
  ["xn--abc-.example", unsound("xn--abc-.example")],
  ["xn--999999999.example", unsound("xn--999999999.example")],
  ["xn--a-ecp.ru", unsound("xn--a-ecp.ru")],
  ["me:secret@xn--a.example", unsound("xn--a.example")],
  ["xn--bcher-kva.example", ["xn--bcher-kva.example", "https://xn--bcher-kva.example/"]],
  ["XN--BCHER-KVA.example", ["XN--BCHER-KVA.example", "https://xn--bcher-kva.example/"]],
  ["xn--fa-hia.example", ["xn--fa-hia.example", "https://xn--fa-hia.example/"]],
  ["xn--n3h.net", ["xn--n3h.net", "https://xn--n3h.net/"]],
  ["xn--55qx5d.cn", ["xn--55qx5d.cn", "https://xn--55qx5d.cn/"]],
  ["bücher.example", ["bücher.example", "https://xn--bcher-kva.example/"]],
  ["a.example/xn--a", ["a.example/xn--a", "https://a.example/xn--a"]],
];
/**
 * docs/checks.md names the exceptions. The runtimes' tables are of different versions of Unicode,
 * and Deno is stricter with letters from right to left. So these names have no valid punycode, or
 * are of scripts without such a difference.
 */
function isKnownToDiffer(name: string): boolean {
  const shown = decodePunycode(/^xn--(.*)\.example$/i.exec(name)?.[1]?.toLowerCase() ?? "") ?? "";
  return /(?![\u3041-\u3096\u30a1-\u30fe\u4e00-\u9fa5\uac00-\ud7a3]|\p{Emoji})[^\0-\u058f]/u.test(shown);
}

const SEED = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);

/** A name with a label that may be punycode. */
function anyName(random: Random): string {
  const sign = () => random.pick([..."abcdefghijklmnopqrstuvwxyz0123456789-"]);
  const label = Array.from({ length: random.between(0, 12) }, sign).join("");
  return `${random.pick(["xn--", "xn--", "XN--", ""])}${label}.example`;
}

/**
 * A name in some scripts, with characters like letters, characters that join letters, and others.
 */
function anyUnicodeName(random: Random): string {
  const sign = () => random.pick([..."aßſéèüжя中日本ｅ①ﬀ·१☃😀\u0300\u200b\u200d\u00ad\u3164。．-_1Aé"]);
  return `${Array.from({ length: random.between(1, 5) }, sign).join("")}.example`;
}

describe.skipIf(denoMissing !== null)("a hosts line", () => {
  it.each(RUNTIMES)("is refused for the same reason, or taken for the same, under %s", (runtime) => {
    const found = taken(runtime, CASES.map(([domain]) => `${domain} 5`));
    expect(found.map((each, index) => [CASES[index]?.[0], each])).toEqual(CASES);
  });

  it(`is taken for the same by both runtimes, whatever its name (seed ${SEED})`, () => {
    const random = new Random(SEED);
    const names = Array.from(
      { length: 3000 },
      (_, index) => index % 3 === 0 ? anyUnicodeName(random) : anyName(random),
    );
    const lines = [...new Set(names)].filter((name) => !isKnownToDiffer(name)).map((name) => `${name} 5`);
    const [node = [], deno = []] = RUNTIMES.map((runtime) => taken(runtime, lines));
    const differing = lines.flatMap((line, index) =>
      JSON.stringify(node[index]) === JSON.stringify(deno[index]) ? [] : [[line, node[index], deno[index]]]
    );
    expect(differing).toEqual([]);
    expect(node.filter((each) => Array.isArray(each)).length).toBeGreaterThan(100);
  });
});

import { expect, it } from "vitest";
import { compilePattern } from "../../lib/hosts/pattern.ts";
import { patternDoubt } from "../../lib/hosts/pattern_doubts.ts";
import { Random } from "../support/random.ts";

const END = "$ is the page's end, behind which nothing comes: write \\$ for the sign itself";
const BEGINNING = "^ is the page's beginning, before which nothing comes: write \\^ for the sign itself";
const quotes = (sign: string) =>
  `the quotes are part of the REGEX, and the page must hold them: leave them out, or write \\${sign} where they are meant`;
const SLASHES =
  "the slashes are part of the REGEX, and the page must hold them: leave them out, and write (?i) in front for a flag i";

it.each([
  ['"Sign in"', quotes('"')],
  ['("Sign in")', quotes('"')],
  ["'Sign in'", quotes("'")],
  ["`Sign in`", quotes("`")],
  ["“Sign in”", quotes("“")],
  ["«Sign in»", quotes("«")],
  ["/sign in/i", SLASHES],
  ["/^sign in/", SLASHES],
  ["$12", END],
  ["only $5", END],
  ["(price|cost): $\\d+", END],
  ["(a|costs $5)", END],
  ["(a$|b$)c", END],
  ["(total $)5?9", END],
  ["US$[0-9]", END],
  ["$\\Q5\\E", END],
  ["(costs $5)?", END],
  ["$(?:5|)", END],
  ["(?m)costs $5", END],
  ["a^b", BEGINNING],
  ["fine|2^10", BEGINNING],
  ["[ab]+^c", BEGINNING],
  ["(?m)2^10", BEGINNING],
])("patternDoubt of %j is %j", (source, doubt) => {
  compilePattern(source);
  expect(patternDoubt(source)).toBe(doubt);
});

it.each([
  "",
  "Sign in",
  '\\"ok\\"',
  '"status":"ok"',
  '(?s)"database":.*"ok"',
  "it's 5 o'clock",
  "'a' or 'b'",
  "/assets/app.js",
  "/images/",
  "^pong$",
  "^(ok|fine|up)$",
  "^a|b$",
  "(^|\\s)a($|\\s)",
  "\\$12",
  "\\^",
  "[$5]",
  "[^5]",
  "[]$5]",
  "\\Q$5\\E",
  "$5?",
  "$5*",
  "a*^b",
  "a?^",
  "(a|)^b",
  "^^a$$",
  "(?i)^a$",
  "\\b^a$\\b",
  "(?m)^a$\n^b$",
  "(?m)a$\\n^b",
  "(^a)+",
  "$?5",
])("patternDoubt has none of %j", (source) => {
  compilePattern(source);
  expect(patternDoubt(source)).toBe(null);
});

it("patternDoubt of an anchor means that nothing matches, where the REGEX has one branch and nothing optional", () => {
  const seed = Date.now() % 2 ** 32;
  const random = new Random(seed);
  const pieces = ["^", "$", "a", "b", "\\b", "[ab]", "(a)", "(?:^)", "($)", "a+", "(b$)", ".", "\\Qa\\E", "(?:a^)"];
  const texts = ["", "a", "b", "ab", "ba", "aab", "a\nb", "bb\n"];
  let doubts = 0;
  for (let n = 0; n < 3000; n++) {
    const source = Array.from({ length: 1 + random.between(0, 4) }, () => random.pick(pieces)).join("");
    if (patternDoubt(source) === null) continue;
    doubts++;
    const pattern = compilePattern(source);
    expect(texts.filter((text) => pattern.test(text)), `${source} (seed ${seed})`).toEqual([]);
  }
  expect(doubts).toBeGreaterThan(100);
});

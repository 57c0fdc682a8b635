import { RE2JS } from "re2js";
import { expect, it } from "vitest";
import { compilePattern, patternReader } from "../../lib/hosts/pattern.ts";
import { stepsAtLeast } from "../../lib/hosts/pattern_steps.ts";

function errorOf(source: string): unknown {
  try {
    return compilePattern(source);
  } catch (error) {
    return error;
  }
}

it.each([
  ["fine", "all is fine here", true],
  ["fine", "all is FINE here", false],
  ["(?i)fine", "all is FINE here", true],
  ["(?i)grün", "GRÜN", true],
  ["(?i:fi)ne", "FIne", true],
  ["(?i:fi)ne", "FINE", false],
  ["", "", true],
  ["x", "", false],
  ["(fine)", "fine", true],
  ["((fine))", "(fine)", true],
  ["\\(fine\\)", "fine", false],
  ["a b", "a  b", false],
  ["a\\s+b", "a \n b", true],
  ["a.b", "a\nb", false],
  ["(?s)a.b", "a\nb", true],
  ["a.*b", "a😀b", true],
  ["^.$", "😀", true],
  ["^fine$", "fine", true],
  ["^fine$", "fine\n", false],
  ["^b$", "a\nb\nc", false],
  ["(?m)^b$", "a\nb\nc", true],
  ["(?ism)^B.c$", "a\nb\nc", true],
  ["(?sm)^B.c$", "a\nb\nc", false],
  ["(?i)a(?-i)b", "Ab", true],
  ["(?i)a(?-i)b", "AB", false],
  ["\\bfine\\b", "is fine.", true],
  ["\\bfine\\b", "finer", false],
  ["price: \\d{2,3}", "price: 1234", true],
  ["^(ok|fine|up)$", "fine", true],
  ["^a|b$", "ab", true],
  ["[^a]", "a", false],
  ["[^a]", "\n", true],
  ["[[:digit:]]+x", "12x", true],
  ["\\p{Greek}", "πx", true],
  ["\\Q(a+b)\\E", "(a+b)", true],
  ["\\x{1F600}", "😀", true],
  ["(?P<name>a)b", "ab", true],
  ["(?<name>a)b", "ab", true],
  ["a{2}", "aa", true],
  ["a{,2}", "a{,2}", true],
  ["\\# 1", "# 1", true],
  ['\\{"ok":true\\}', '{"ok":true}', true],
  ["\\Aa\\z", "a", true],
  ["all (is|was) fine", "that all was fine", true],
  ["all (?:is|was) fine", "that all were fine", false],
  ["fine|up", "it is up", true],
  ["fine||up", "", true],
  ["1\\.5 \\(EUR\\)", "1.5 (EUR)", true],
  ["1\\.5 \\(EUR\\)", "105 (EUR)", false],
  ["(grün|😀) \\$1\\-2", "a 😀 $1-2", true],
  ["(a|b)+c", "abc", true],
  [`${"a".repeat(300)}b`, `${"a".repeat(301)}b`, true],
])("compilePattern(%j) tested with %j", (source, text, expected) => {
  const pattern = compilePattern(source);
  expect(pattern.source).toBe(source);
  expect([pattern.test(text), pattern.test(text)]).toEqual([expected, expected]);
});

const linear = "which cannot be matched in linear time";
const lookahead = `is a lookahead, ${linear}: match the text around it as well`;
const lookbehind = `is a lookbehind, ${linear}: match the text around it as well`;
const reference = `is a back-reference, ${linear}: write out what it repeats`;
const flags = "is not known: write (?i), (?s), (?m), (?:…) or (?P<name>…)";
const unknown = "is no range or class of signs that RE2 syntax knows";
const often = "repeats too often, or from more to less: 1000 in all is the most";

it.each([
  ["fine(?=!)", `(?= ${lookahead}`],
  ["(?!error)", `(?! ${lookahead}`],
  ["(?i)^(?!.*error).*$", `(?! ${lookahead}`],
  ["(?<=a)b", `(?<= ${lookbehind}`],
  ["(?<!a)b", `(?<! ${lookbehind}`],
  ["(?<=a", `(?<= ${lookbehind}`],
  ["(a)\\1", `\\1 ${reference}`],
  ["(a)[b\\1]", `\\1 ${reference}`],
  ["\\9", `\\9 ${reference}`],
  ["(?<n>a)\\k<n>", `\\k ${reference}`],
  ["(?<n>a)\\k{n}", `\\k ${reference}`],
  ["(a)\\g1", `\\g ${reference}`],
  ["(?P<n>a)(?P=n)", `(?P= ${reference}`],
  ["(?>a+)b", "(?> is an atomic group, which RE2 syntax lacks: write (?:"],
  ["a(?#note)", "(?# begins a comment, which RE2 syntax lacks: leave it out"],
  ["(?x)a", `(?x ${flags}`],
  ["(?P>n)", `(?P ${flags}`],
  ["(?R)", `(?R ${flags}`],
  ["(?1)", `(?1 ${flags}`],
  ["(?(1)a|b)", `(?( ${flags}`],
  ["(?", `(? ${flags}`],
  ["(?P<n-1>a)", "(?P<n-1> names no group: write (?P<name>…)"],
  ["(?<n", "(?<n names no group: write (?P<name>…)"],
  ["(?P<n>a)(?P<n>b)", "the name n is given to two groups: name them apart"],
  ["(a", "a parenthesis is not closed: add ), or write \\( for the sign itself"],
  ["a)", "a parenthesis closes what was not opened: remove ), or write \\) for the sign itself"],
  ["[a-z", "[a-z is not closed: add ], or write \\[ for the sign itself"],
  ["*a", "* repeats nothing: write \\* for the sign itself"],
  ["(+)", "+ repeats nothing: write \\+ for the sign itself"],
  ["a|?", "? repeats nothing: write \\? for the sign itself"],
  ["a**", "** repeats a repetition: write one of its signs"],
  ["a++", "++ repeats a repetition: write one of its signs"],
  ["a{1001}", `{1001} ${often}`],
  ["a{3,2}", `{3,2} ${often}`],
  ["(a{100}){11}", `{11} ${often}`],
  ["a\\", "a backslash at the end escapes nothing: remove it, or write \\\\ for the sign itself"],
  ["\\y", "\\y is no escape of RE2 syntax: write y for the sign itself"],
  ["\\ü", "\\ü is no escape of RE2 syntax: write ü for the sign itself"],
  ["[z-a]", `z-a ${unknown}`],
  ["[[:word1:]]", `[:word1:] ${unknown}`],
  ["\\p{Klingon}", `\\p{Klingon} ${unknown}`],
])("compilePattern refuses %s with a SyntaxError", (source, message) => {
  expect(errorOf(source)).toEqual(new SyntaxError(message, { cause: expect.any(Error) }));
});

it.each([
  ["nests too deeply", `${"(".repeat(1001)}${")".repeat(1001)}`, "it nests too deeply: 1000 levels are the most"],
])("compilePattern refuses what %s, without quoting it", (_, source, message) => {
  expect(errorOf(source)).toEqual(new SyntaxError(message, { cause: expect.any(Error) }));
});

it.each([
  ["(a+)+$", "a", "b"],
  ["^(a|a)*$", "a", "b"],
  ["(.*)*x$", "a", "b"],
  ["^(\\w+\\s?)*$", "word ", "!"],
])("compilePattern(%j) ends on a text that would keep a backtracking matcher busy for ever", (source, piece, end) => {
  expect(compilePattern(source).test(piece.repeat(50_000) + end)).toBe(false);
});

it.each([
  ["many repetitions", "a{99}".repeat(100)],
  ["many repeated sets", "[\\w ]{99}".repeat(100)],
  ["flags and repeated classes", `(?ism)${"\\W{99}".repeat(100)}`],
  ["many groups", "(a|b)*".repeat(160)],
  ["many empty groups", "(|)*".repeat(250)],
  ["empty alternatives", "|".repeat(1000)],
  ["lazy repetitions and anchors", "(?:[^a-zA-Z0-9_ ]??|.+?$)?^\\b"],
  ["a repeated emoji", "😀{99}"],
])("compilePattern takes no pattern on trust that fails when it is used: %s", (_, source) => {
  expect(typeof compilePattern(source).test("a")).toBe("boolean");
});

it.each([
  ["repeats a class", "[^a]{1000}".repeat(1300)],
  ["repeats one sign", "a{999}".repeat(11)],
  ["repeats groups", "((?:ab){100}){51}"],
  ["repeats up to a number", "(?i)a{0,500}b{3,}[[:alpha:]]{2,1000}".repeat(7)],
  ["is long", "a|".repeat(10_001)],
  ["names very many classes", "[[:".repeat(20_000)],
  ["has very many groups of nothing", "(|)".repeat(20_000)],
  ["has very many anchors", "^$".repeat(30_000)],
  ["has very many classes of Unicode", `(?i)${"\\pL{0}".repeat(10_000)}`],
  ["grows when it is compiled", `(?i)${"\\W".repeat(3000)}|${"[^é]".repeat(7000)}`],
])("compilePattern refuses what takes too many steps: %s", (_, source) => {
  const message = "the REGEX takes more than 10000 steps: write fewer repetitions, or smaller ones";
  expect(errorOf(source)).toEqual(new RangeError(message));
});

it.each([
  ["(?i)[^a]{100}\\pL{50}", 160],
  ["[ab].{0,200}c\\d", 203],
  ["(?P<name>a){3}(?:b|c)?(?ims)d", 12],
  ["[]a][^]b][a\\]b][[:alpha:]x]", 14],
  ["\\Qa{9}(\\E{2}", 10],
  ["a{0}(?:b{2}){2}", 4],
  ["😀{99}", 100],
  ["(|)".repeat(100), 300],
  ["()(){0}(a{0}){2}", 9],
  ["(?:)(?:|)(?i)|", 0],
  ["^(?:^a$)$", 5],
  ["^a$|^b$", 2],
  ["(?:^|$)(^)", 3],
  ["((a)(b", 4],
  ["a)))b", 2],
  ["\\pL{0}[\\PN]", 21],
])("stepsAtLeast counts %s", (source, steps) => {
  expect(stepsAtLeast(source)).toBe(steps);
});

it.each([
  "(|)",
  "()*",
  "(?P<name>)",
  "(a{0}){3}",
  "(x)?(y)+",
  "^",
  "$*",
  "(?m)^$",
  "(^|$)",
  "(?:^a$)",
  "^a|^b|",
  "(?:^a$|^b$)",
  "(?:$|$)",
  "(^){0}",
  "((a)(b))",
])("stepsAtLeast counts no more of %s than there are", (part) => {
  const source = Array.from({ length: 50 }, (_, n) => part.replace("name", `name${n}`)).join("");
  const program = RE2JS.compile(source).programSize();
  expect(stepsAtLeast(source)).toBeLessThanOrEqual(program);
});

it("patternReader gives equal sources one Pattern, and refuses a bad one every time", () => {
  const read = patternReader();
  expect(read("(fine)")).toBe(read("(fine)"));
  expect(read("fine")).not.toBe(read("(fine)"));
  const message = "a parenthesis is not closed: add ), or write \\( for the sign itself";
  for (let time = 0; time < 2; time++) expect(() => read("(")).toThrow(new SyntaxError(message));
});

it("patternReader gives patterns that still match when many others have been used since", () => {
  const read = patternReader();
  const sources = Array.from(
    { length: 2500 },
    (_, index) => index % 2 === 0 ? `page ${index}\\b` : `page ${index}(!|\\$)`,
  );
  const patterns = sources.map(read);
  for (let round = 0; round < 2; round++) {
    expect(patterns.filter((pattern, index) => !pattern.test(`page ${index}`)).map(({ source }) => source))
      .toEqual(sources.filter((_, index) => index % 2 !== 0));
  }
});

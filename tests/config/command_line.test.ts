import { describe, expect, it } from "vitest";
import { readCommandLine } from "../../lib/config/command_line.ts";
import { type OptionName, OPTIONS, type ProgramName } from "../../lib/config/options.ts";

/** The reading of a command line whose first word is the program. */
function read(words: readonly string[]) {
  const [program, ...args] = words as [ProgramName, ...string[]];
  const { flags, ...rest } = readCommandLine(program, args);
  return { flags: Object.fromEntries(flags) as Partial<Record<OptionName, string>>, ...rest };
}

it.each<readonly [readonly string[], Partial<Record<OptionName, string>>, readonly string[]]>([
  [["consumer"], {}, []],
  [["producer", "hosts.txt"], {}, ["hosts.txt"]],
  [["producer", "-"], {}, ["-"]],
  [["producer", "--", "--odd.txt"], {}, ["--odd.txt"]],
  [["producer", "--timeout", "5", "hosts.txt"], { timeout: "5" }, ["hosts.txt"]],
  [["producer", "hosts.txt", "--timeout=5"], { timeout: "5" }, ["hosts.txt"]],
  [["producer", "--timeout", "5", "hosts.txt", "--timeout", "6"], { timeout: "6" }, ["hosts.txt"]],
  [["producer", "--stdout", "hosts.txt"], { stdout: "" }, ["hosts.txt"]],
  [["producer", "--stdout", "-"], { stdout: "" }, ["-"]],
  [["producer", "--timeout", "-5", "hosts.txt"], { timeout: "-5" }, ["hosts.txt"]],
  [["producer", "--location=--odd", "hosts.txt"], { location: "--odd" }, ["hosts.txt"]],
  [["producer", "--location=a=b", "hosts.txt"], { location: "a=b" }, ["hosts.txt"]],
  [["consumer", "--embedded", "data", "--query", "select 1"], { embedded: "data", query: "select 1" }, []],
  [["producer", "--help"], { help: "" }, []],
  [["producer", "-h"], { help: "" }, []],
  [["producer", "--version"], { version: "" }, []],
])("readCommandLine takes %j apart", (words, flags, operands) => {
  expect(read(words)).toEqual({ flags, operands, problems: [] });
});

it("readCommandLine takes nothing for an operand where a flag is unknown: it may be a password", () => {
  expect(readCommandLine("producer", ["--kafka-sasl-password", "secret", "hosts.txt"]).operands).toEqual([]);
});

describe("readCommandLine says what is wrong with operands", () => {
  it.each([
    [["producer"], ["HOSTS_FILE is missing: name the file that lists the hosts, or - for standard input"]],
    [["producer", "a", "b", "c"], [
      '"b" is one HOSTS_FILE too many: "a" is one already',
      '"c" is one HOSTS_FILE too many: "a" is one already',
    ]],
    [["consumer", "hosts.txt"], ['"hosts.txt" is not understood: consumer.ts takes flags only']],
    [["consumer", "--stdin", "-"], ['"-" is not understood: consumer.ts takes flags only']],
  ])("%j: %j", (words, problems) => {
    expect(read(words).problems).toEqual(problems);
  });
});

describe("readCommandLine says what is wrong with a flag's value, and takes the flag for given", () => {
  it.each<readonly [readonly string[], OptionName, string]>([
    [["consumer", "--kafka-topic"], "topic", "--kafka-topic needs a value: write --kafka-topic NAME"],
    [["consumer", "--kafka-topic="], "topic", "--kafka-topic needs a value: write --kafka-topic NAME"],
    [["consumer", "--kafka-topic", ""], "topic", "--kafka-topic needs a value: write --kafka-topic NAME"],
    [["consumer", "--kafka-topic", "--stdin"], "topic", "--kafka-topic needs a value: write --kafka-topic NAME"],
    [["consumer", "--kafka-ssl"], "kafkaSsl", "--kafka-ssl needs a value: write --kafka-ssl true|false"],
    [["consumer", "--stdin=true"], "stdin", "--stdin takes no value: write --stdin alone"],
    [["consumer", "--stdin="], "stdin", "--stdin takes no value: write --stdin alone"],
  ])("%j: %s", (words, name, problem) => {
    expect(read(words)).toEqual({ flags: { [name]: "" }, operands: [], problems: [problem] });
  });
});

describe("readCommandLine says what an unknown flag may have meant", () => {
  it.each([
    [["producer", "--tiemout", "5", "hosts.txt"], ["--tiemout is no flag of producer.ts: did you mean --timeout?"]],
    [["producer", "--stdou"], ["--stdou is no flag of producer.ts: did you mean --stdout?"]],
    [["producer", "--STDOUT"], ["--STDOUT is no flag of producer.ts: see --help"]],
    [["consumer", "--kafka-bootstrap-server=a:1"], [
      "--kafka-bootstrap-server is no flag of consumer.ts: did you mean --kafka-bootstrap-servers?",
    ]],
    [["consumer", "--kafka_topic", "a"], ["--kafka_topic is no flag of consumer.ts: did you mean --kafka-topic?"]],
    [["consumer", "--kafka-ssl-ca", "a"], [
      "--kafka-ssl-ca is no flag of consumer.ts: did you mean --kafka-ssl-ca-file?",
    ]],
    [["consumer", "--db-password", "secret"], [
      "--db-password is no flag of consumer.ts: did you mean --db-password-file?",
    ]],
    [["consumer", "--verbose"], ["--verbose is no flag of consumer.ts: see --help"]],
    [["consumer", "-v"], ["-v is no flag of consumer.ts: see --help"]],
    [["consumer", "--constructor", "--__proto__"], [
      "--constructor is no flag of consumer.ts: see --help",
      "--__proto__ is no flag of consumer.ts: see --help",
    ]],
    [["consumer", "--stdn", "--embeded", "data"], [
      "--stdn is no flag of consumer.ts: did you mean --stdin?",
      "--embeded is no flag of consumer.ts: did you mean --embedded?",
    ]],
  ])("%j: %j", (words, problems) => {
    expect(read(words).problems).toEqual(problems);
  });

  const others = Object.values(OPTIONS).flatMap(({ programs, ...option }) =>
    programs.length === 1 && "flag" in option ? [[option.flag, programs[0]] as const] : []
  );
  it.each(others)("--%s is a flag of %s.ts alone", (flag, owner) => {
    const program = owner === "producer" ? "consumer" : "producer";
    expect(read([program, `--${flag}`, "x"]).problems).toEqual([
      `--${flag} is no flag of ${program}.ts, but of ${owner}.ts: leave it out`,
    ]);
  });
});

import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { safeParse } from "valibot";
import { afterAll, describe, expect, it } from "vitest";
import { type Option, OPTIONS } from "../lib/config/options.ts";
import { readConsumerSettings, readProducerSettings } from "../lib/config/settings.ts";
import { parseHosts } from "../lib/hosts/hosts_file.ts";
import { PICTURE, picture } from "../tools/rooms/picture.ts";
import {
  blocks,
  blocksIn,
  blocksOf,
  commandsOf,
  DOCUMENTS,
  LANGUAGES,
  readDocument,
  statementsOf,
} from "./support/documents.ts";
import { settingsTable } from "./support/settings_table.ts";

// The documents for people are true. docs_commands.test.ts runs their commands and SQL.

const ROOT = fileURLToPath(new URL("..", import.meta.url));

it("docs/settings.md has the table of settings that OPTIONS makes", () => {
  const table = readDocument("docs/settings.md").split("\n").filter((line) => line.startsWith("|")).join("\n");
  expect(table).toBe(settingsTable());
});

it("docs/rooms.svg is the picture that npm run rooms draws", () => {
  expect(readFileSync(join(ROOT, PICTURE), "utf8")).toBe(picture());
});

/** Words that people search for. Each leads to a heading. */
const SEARCHED = [
  ...["retention", "upgrade", "backup", "restore", "uninstall", "troubleshooting", "TLS", "alerts", "Grafana"],
  ...["high availability", "metrics", "Docker compose", "systemd", "Kubernetes", "partitions", "pooler"],
];

/** The headings of a document. Lines between fences do not count. */
function headingsOf(document: string): string[] {
  const text = readDocument(document).replaceAll(/^[ \t]*(```+|~~~+)[^\n]*\n.*?^[ \t]*\1[ \t]*$/gms, "");
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);
}

/** The anchors that a site such as GitHub gives to the headings of a document. */
function anchorsOf(document: string): string[] {
  return headingsOf(document).map((heading) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
  );
}

describe("the documents", () => {
  const links = DOCUMENTS.flatMap((document) =>
    [...readDocument(document).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => ({ document, target }))
  );
  const places = DOCUMENTS.flatMap((document) =>
    [...readDocument(document).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)].map(([, target = "", anchor = ""]) => {
      return { document, target: target === "" ? document : join(dirname(document), target), anchor };
    })
  );

  it.each(places)("$document leads to the heading $anchor of $target, which is there", ({ target, anchor }) => {
    expect(anchorsOf(target)).toContain(anchor);
  });

  it.each(SEARCHED)("have a heading with %s", (word) => {
    const headings = DOCUMENTS.flatMap(headingsOf);
    expect(headings.filter((heading) => heading.toLowerCase().includes(word.toLowerCase()))).not.toEqual([]);
  });

  it.each(links)("$document leads to $target, which is there", ({ document, target }) => {
    expect(existsSync(join(ROOT, dirname(document), target))).toBe(true);
  });

  it("are all reached from README.md", () => {
    const reached = links.filter(({ document }) => document === "README.md").map(({ target }) => target);
    expect(DOCUMENTS.filter((document) => document.startsWith("docs/") && !reached.includes(document))).toEqual([]);
  });

  it("README.md is short", () => {
    expect(readDocument("README.md").split("\n").length).toBeLessThanOrEqual(160);
  });

  it("have blocks only in languages that a test tries", () => {
    const untried = blocks().filter(({ language }) => !(LANGUAGES as readonly string[]).includes(language));
    expect(untried.map(({ document, line, language }) => `${document}:${line}: ${language || "no language"}`)).toEqual(
      [],
    );
  });
});

describe("blocksOf", () => {
  it("finds indented and quoted blocks, and those with tildes", () => {
    const text = "# A\n\n```sh\none\n```\n\n- x\n\n  ~~~sql\n  two;\n  ~~~\n\n> ```\n> three\n> ```\n";
    expect(blocksOf("a.md", text).map(({ line, language }) => [line, language])).toEqual([[3, "sh"], [9, "sql"], [
      13,
      "",
    ]]);
  });

  it("and its commands and statements are taken apart", () => {
    const block = { document: "a.md", line: 1, language: "sh" };
    expect(commandsOf({ ...block, text: "# x\none \\\n  two  # y\nthree\n\n" })).toEqual(["one two", "three"]);
    expect(statementsOf({ ...block, text: "select ';'\nas a;\n\nselect 2;\n" })).toEqual([
      "select ';'\nas a",
      "select 2",
    ]);
  });
});

describe("blocks of hosts", () => {
  it.each(blocksIn("hosts"))("$document:$line is a hosts file", ({ document, text }) => {
    const references = { variable: () => "value", file: () => Buffer.from("value\n") };
    const { hosts, problems, warnings } = parseHosts(text, document, "UTC", references);
    expect([...problems, ...warnings]).toEqual([]);
    expect(hosts.length).toBeGreaterThan(0);
  });
});

describe("blocks of settings", () => {
  const secrets = mkdtempSync(join(tmpdir(), "test-docs-"));
  afterAll(() => rmSync(secrets, { recursive: true, force: true }));
  for (const name of ["kafka_password", "db_password"]) writeFileSync(join(secrets, name), "change-me\n");
  const variables = Object.values<Option>(OPTIONS).flatMap(({ programs, variable }) =>
    variable === undefined ? [] : [{ programs, variable }]
  );
  /** Settings that a block may leave out if it is about something else. */
  const OTHERS = {
    kafka: { KAFKA_BOOTSTRAP_SERVERS: "kafka.example:9093", KAFKA_TOPIC: "t" },
    database: { DB_HOST: "db.example", DB_NAME: "d", DB_USER: "u" },
  };

  it.each(blocksIn("dotenv"))("$document:$line is understood by the programs that it is for", ({ text }) => {
    const given = parseEnv(text.replaceAll("/run/secrets", secrets)) as Record<string, string>;
    const names = Object.keys(given);
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !variables.some(({ variable }) => variable === name))).toEqual([]);
    const database = "DATABASE_URL" in given ? {} : OTHERS.database;
    const environment = { ...OTHERS.kafka, ...database, ...given };
    expect(readProducerSettings(["hosts.txt"], environment)).toMatchObject({ kind: "settings" });
    expect(readConsumerSettings([], environment)).toMatchObject({ kind: "settings" });
  });
});

describe("docs/troubleshooting.md", () => {
  /**
   * The sources. Each text written in pieces is one text here, and … stands for inserted values.
   */
  const sources = globSync("lib/**/*.{ts,js}", { cwd: ROOT })
    .map((path) => readFileSync(join(ROOT, path), "utf8")).join("\n")
    .replaceAll(/["'`]\s*\+\s*["'`]/g, "")
    .replaceAll(/\$\{[^{}]*\}/g, "…")
    .replaceAll('\\"', '"');
  const messages = readDocument("docs/troubleshooting.md").split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => [...(line.split(" | ")[0] ?? "").matchAll(/`([^`]+)`/g)].map(([, message = ""]) => message));

  it.each(messages)("%s is what a program says", (message) => {
    const pieces = message.split("…").map((piece) => piece.replace(/^[:;,.() ]+|[:;,( ]+$/g, "")).filter((piece) =>
      piece !== ""
    );
    expect(pieces.join("").length).toBeGreaterThan(5);
    expect(pieces.filter((piece) => !sources.includes(piece))).toEqual([]);
  });

  it("has many of them", () => {
    expect(messages.length).toBeGreaterThan(60);
  });
});

describe("env.example", () => {
  const lines = readFileSync(join(ROOT, "env.example"), "utf8").split("\n");
  /** In prose a blank follows the #. In a setting that is left out, none does. */
  const settings = lines.filter((line) => !/^(# .*|#)?$/.test(line)).map((line) => {
    const [, sign = "", name = "", value = ""] = /^(#?)([A-Z_]+)=(.*)$/.exec(line) ?? [];
    return { line, isSet: sign === "", name, value };
  });
  const options = new Map(
    Object.values<Option>(OPTIONS).flatMap((option) =>
      option.variable === undefined ? [] : [[option.variable, option]]
    ),
  );

  it("names every variable of OPTIONS once, and no other", () => {
    expect(settings.map(({ name }) => name).sort()).toEqual([...options.keys()].sort());
  });

  it("sets what is required, and nothing else", () => {
    const required = [...options].filter(([, { otherwise }]) => otherwise === "required").map(([name]) => name);
    expect(settings.filter(({ isSet }) => isSet).map(({ name }) => name).sort()).toEqual(required.sort());
  });

  it.each(settings)("means the same to a shell and to compose, without quotes: $line", ({ line }) => {
    expect(line).toMatch(/^#?[A-Z_]+=[\w.,:/@+-]+$/);
  });

  it.each(settings)("shows the default, or a value that is fine: $line", ({ name, value }) => {
    const { default: text, schema } = options.get(name) as Option;
    if (text !== undefined) expect(value).toBe(text);
    expect(schema !== undefined && safeParse(schema, value).success).toBe(true);
  });

  it("is enough to start both programs", () => {
    const environment = Object.fromEntries(
      settings.filter(({ isSet }) => isSet).map(({ name, value }) => [name, value]),
    );
    expect(readProducerSettings(["hosts.txt"], environment).kind).toBe("settings");
    expect(readConsumerSettings([], environment).kind).toBe("settings");
  });
});

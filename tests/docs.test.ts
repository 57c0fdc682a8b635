import { readFileSync } from "node:fs";
import { safeParse } from "valibot";
import { describe, expect, it } from "vitest";
import { type Option, OPTIONS } from "../lib/settings/options.ts";
import { readConsumerSettings, readProducerSettings } from "../lib/settings.ts";
import { settingsTable } from "./support/settings_table.ts";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

it("README.md has the table of settings that OPTIONS makes", () => {
  const [, section = ""] = /^## Settings\n(.*?)^## /ms.exec(read("README.md")) ?? [];
  const table = section.split("\n").filter((line) => line.startsWith("|")).join("\n");
  expect(table).toBe(settingsTable());
});

describe("env.example", () => {
  const lines = read("env.example").split("\n");
  /** Prose has a blank behind its #, a setting that is left out has none. */
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

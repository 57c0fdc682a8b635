import { durationOf } from "./foreign_file.ts";
import { regexOfGlob, regexOfWhole } from "./regexes.ts";

/** What the conditions of a Gatus endpoint ask for. */
export interface Conditions {
  readonly status: string;
  readonly regex: string | null;
  readonly absent: string | null;
  /** Seconds; null: none is said. */
  readonly timeout: number | null;
  /** Those that have no counterpart. */
  readonly lacks: readonly string[];
}

/** The statuses that a host may be up with. */
const [FIRST, LAST] = [200, 999];
/** What holds wherever there is an answer at all. */
const CERTAIN = /^\[CONNECTED\] == true$/;

export function readConditions(conditions: readonly string[]): Conditions {
  let statuses = Array.from({ length: LAST - FIRST + 1 }, (_, index) => FIRST + index);
  let [regex, absent, timeout]: [string | null, string | null, number | null] = [null, null, null];
  const lacks: string[] = [];
  for (const condition of conditions) {
    const [, subject = "", operator = "", value = ""] = /^(\S.*?) (==|!=|<=|>=|<|>) (.*)$/s.exec(condition) ?? [];
    const isPositive = operator === "==";
    const isEquality = isPositive || operator === "!=";
    const judge = subject === "[STATUS]" ? statusJudge(operator, value) : null;
    const body = subject === "[BODY]" && isEquality ? bodyRegex(value) : null;
    const milliseconds = subject === "[RESPONSE_TIME]" && operator.startsWith("<") ? timeOf(value) : null;
    if (hasVariable(condition)) lacks.push("a condition with a variable in it");
    else if (CERTAIN.test(condition) || (body === "" && isPositive)) continue;
    else if (judge !== null) statuses = statuses.filter(judge);
    else if (body !== null && isPositive && regex === null) regex = body;
    else if (body !== null && body !== "" && !isPositive && absent === null) absent = body;
    else if (milliseconds !== null) timeout = Math.min(timeout ?? Infinity, milliseconds / 1000);
    else lacks.push(condition);
  }
  if (statuses.length === 0) {
    return { status: `${FIRST}-${LAST}`, regex, absent, timeout, lacks: [...lacks, "its [STATUS]"] };
  }
  return { status: rangesOf(statuses), regex, absent, timeout, lacks };
}

/** True where Gatus puts a variable of its environment into a text. */
export function hasVariable(text: string): boolean {
  return /\$(?:\{|\w)/.test(text.replaceAll("$$", ""));
}

type JudgeStatus = (status: number) => boolean;

const COMPARISONS: Readonly<Record<string, (one: number, other: number) => boolean>> = {
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
};

/** Null where a value says nothing about statuses. */
function statusJudge(operator: string, value: string): JudgeStatus | null {
  const compare = COMPARISONS[operator];
  if (compare !== undefined) return /^\d+$/.test(value) ? (status) => compare(status, Number(value)) : null;
  const glob = insideOf("pat", value);
  const values = insideOf("any", value)?.split(",").map((one) => one.trim()) ?? [value];
  if (glob === null && !values.every((one) => /^\d+$/.test(one))) return null;
  const regex = glob === null ? null : regexOfGlob(glob);
  if (glob !== null && (regex === null || !/^[\d*?]+$/.test(glob))) return null;
  const matches = regex === null ? null : new RegExp(regex.replace("(?s)", ""));
  const fits = (status: number) => matches?.test(String(status)) ?? values.includes(String(status));
  return operator === "==" ? fits : (status) => !fits(status);
}

/** A REGEX for what the whole page must be; null where there is none. */
function bodyRegex(value: string): string | null {
  const glob = insideOf("pat", value);
  if (glob !== null) return regexOfGlob(glob);
  const values = insideOf("any", value)?.split(",").map((one) => one.trim());
  if (values !== undefined) return regexOfWhole(values);
  return /^(?:len|has)\(|^\[/.test(value) ? null : regexOfWhole([value]);
}

/** The text within `NAME(…)`; null where there is no such function. */
function insideOf(name: string, value: string): string | null {
  return value.startsWith(`${name}(`) && value.endsWith(")") ? value.slice(name.length + 1, -1) : null;
}

function timeOf(value: string): number | null {
  const milliseconds = /^\d+$/.test(value) ? Number(value) : durationOf(value);
  return milliseconds !== null && milliseconds > 0 ? milliseconds : null;
}

function rangesOf(statuses: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const status of statuses) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === status - 1) last[1] = status;
    else ranges.push([status, status]);
  }
  return ranges.map(([from, to]) => from === to ? String(from) : `${from}-${to}`).join(" ");
}

import { describe, expect, it } from "vitest";
import { nextDue } from "../../../lib/hosts/schedule.ts";
import { type AccountedHost, accountFor, percentile99, type Row, type Stretch } from "./account.ts";

const frequency = { kind: "interval", text: "2s", interval: 2000 } as const;
const address = "http://a.example";
const first = nextDue(frequency, address, 1_000_000);
const numbers = [0, 1, 2, 3, 4];
const due = (n: number) => first + n * 2000;
const host: AccountedHost = { address, frequency, spans: [{ from: due(0), to: Infinity }] };
const stretch: Stretch = {
  ...{ fault: "f", from: due(0), to: due(5), strikes: [due(0) + 500], repeats: [], isSkewed: false },
  struck: new Set(["a"]),
};

/** When the requests come. */
const ON_TIME = numbers.map((n) => due(n) + 20);

/** A host that was checked well at each of its five due times, but for what `change` says. */
function account({ rows: change = (all) => all, at = ON_TIME, more = [], stretch: other = {} }: {
  readonly rows?: (all: readonly Row[]) => readonly Row[];
  readonly at?: readonly number[];
  readonly more?: readonly number[];
  readonly stretch?: Partial<Stretch>;
}) {
  const rows = numbers.map((n) => ({
    address,
    due: due(n),
    error: null,
    detail: null,
    producer: "b",
    late: n,
    took: 30,
  }));
  const requests = [...at, ...more].map((at) => ({ address, at }));
  return accountFor({ ...stretch, ...other }, [host], change(rows), requests);
}

/** Due time `n` is told as missed. */
const missedAt = (n: number) => (all: readonly Row[]) =>
  all.map((row) => row.due === due(n) ? { ...row, error: "missed", detail: "no producer had this host" } : row);

describe("the account for producers of a group", () => {
  it("finds nothing where each due time has one request and one row", () => {
    expect(account({})).toEqual({
      ...{
        due: 5,
        rows: 5,
        missing: [],
        twice: [],
        stray: [],
        beyond: [],
        needless: [],
        hole: 0,
        late: numbers,
        unmoved: [],
      },
      missed: new Map(),
    });
  });

  it("finds a due time without a row, one with two, and a row of no due time", () => {
    const label = (at: number) => `${address} ${new Date(at).toISOString()}`;
    expect(account({ rows: (all) => all.slice(1) }).missing).toEqual([label(due(0))]);
    expect(account({ rows: (all) => [...all, ...all.slice(-1)] }).twice).toEqual([label(due(4))]);
    expect(account({ rows: (all) => [...all, { ...all[0] as Row, due: due(0) + 1 }] }).stray).toEqual([
      label(due(0) + 1),
    ]);
  });

  it("finds a second request, also where clocks are apart", () => {
    expect(account({ more: [due(2) + 900] }).beyond).toHaveLength(1);
    expect(account({ more: [due(2) + 900], stretch: { isSkewed: true } }).beyond).toHaveLength(1);
    expect(account({ stretch: { isSkewed: true } }).beyond).toEqual([]);
  });

  it("excuses a second request where the fault does, and never a third one", () => {
    const repeats = [{ from: due(2), to: due(3) }];
    const more = [due(2) + 900, due(3) + 900];
    expect(account({ more }).needless).toHaveLength(2);
    expect(account({ more, stretch: { repeats } }).needless).toEqual([expect.stringContaining(
      `${address} ${new Date(due(3)).toISOString()} after 900 ms (`,
    )]);
    expect(account({ more: [due(2) + 900, due(2) + 950], stretch: { repeats } }).needless).toHaveLength(1);
  });

  it("knows the check that a late request belongs to", () => {
    const late = due(2) - due(1) + 10;
    const rows = (all: readonly Row[]) => all.map((row, n) => n === 1 ? { ...row, late, took: 40 } : row);
    const at = [due(0) + 20, due(2) + 5, due(2) + 40, due(3) + 20, due(4) + 20];
    expect(account({ rows, at }).beyond).toEqual([]);
    expect(account({ rows, at: [...at, due(2) + 900] }).beyond).toHaveLength(1);
    // Also of a due time before the fault.
    expect(account({ rows, at: at.slice(1), stretch: { from: due(2) } }).beyond).toEqual([]);
  });

  it("excuses the one request of a check that was broken off, and one that was read after its check", () => {
    expect(account({ rows: missedAt(3) }).beyond).toEqual([]);
    expect(account({ rows: missedAt(3), more: [due(3) + 700] }).beyond).toHaveLength(1);
    const at = numbers.map((n) => due(n) + (n === 3 ? 1500 : 20));
    expect(account({ at }).beyond).toEqual([]);
    expect(account({ at: [...at, due(3) + 1600] }).beyond).toHaveLength(1);
  });

  it("tells how late 99 of 100 checks are at most", () => {
    expect(percentile99([])).toBe(0);
    expect(percentile99(Array.from({ length: 100 }, (_, n) => 100 - n))).toBe(99);
  });

  it("measures the hole from the strike, and names the hosts that had no reason for one", () => {
    const { missed, hole, unmoved } = account({ rows: missedAt(3) });
    expect([...missed]).toEqual([["no producer had this host", 1]]);
    expect(hole).toBe(0);
    const both = (all: readonly Row[]) => missedAt(2)(missedAt(1)(all));
    expect(account({ rows: both }).hole).toBe(due(2) - due(0) - 500);
    expect(account({ rows: both, stretch: { strikes: [] } }).hole).toBe(2000);
    expect(unmoved).toHaveLength(1);
    expect(account({ rows: missedAt(3), stretch: { struck: new Set(["b"]) } }).unmoved).toEqual([]);
    const moved = (all: readonly Row[]) => missedAt(3)(all).map((row, n) => n === 0 ? { ...row, producer: "c" } : row);
    expect(account({ rows: moved }).unmoved).toEqual([]);
    // It went to another one and back: that one told of the gap, or asked, too.
    const told = (all: readonly Row[]) => missedAt(3)(all).map((row, n) => n === 3 ? { ...row, producer: "c" } : row);
    expect(account({ rows: told }).unmoved).toEqual([]);
    expect(account({ rows: missedAt(3), more: [due(2) + 900] }).unmoved).toEqual([]);
  });
});

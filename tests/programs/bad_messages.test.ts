import { afterAll, beforeAll, describe, expect } from "vitest";
import { KEPT_BYTES } from "../../lib/kafka/kafka.ts";
import { canRunKafka, skipped } from "../support/kafka.ts";
import { ownPostgresMissing } from "../support/postgres.ts";
import { inTurn } from "../support/turns.ts";
import { possibleVariants, type Variant } from "../support/variants.ts";
import { openServices, type Services } from "../support/services.ts";

// Messages that cannot be rows. They go from a real broker through a consumer, started as by a
// user, into a real database.

const canRun = canRunKafka() && (ownPostgresMissing === null || skipped(ownPostgresMissing));

const bytes = (text: string) => new TextEncoder().encode(text);
/** A metric with some fields changed. Undefined: the field is missing. */
const metric = (fields: Record<string, unknown> = {}) =>
  bytes(
    JSON.stringify({
      address: "https://a.example",
      status_code: 200,
      latency: 1,
      is_valid: true,
      location: "here",
      ...fields,
    }),
  );
const raw = (latency: string) =>
  bytes(`{"address":"a","status_code":200,"latency":${latency},"is_valid":true,"location":""}`);

/** The strict table of a user. */
const strictTable = (name: string) => `
  create table ${name} (address varchar(50), status_code int, latency float8 check (latency < 1000), is_valid bool,
    location text not null);
  create or replace function no_teapots() returns trigger language plpgsql as
    'begin if new.status_code = 418 then raise exception ''no teapots''; end if; return new; end';
  create trigger no_teapots before insert on ${name} for each row execute function no_teapots()`;

const BAD: readonly (readonly [what: string, value: Uint8Array | null, reason: RegExp])[] = [
  ["text that is not JSON", bytes("hello"), /^the document is not JSON/],
  ["a JSON array", bytes(`[${new TextDecoder().decode(metric())}]`), /^the document is JSON, but not an object$/],
  ["JSON's null", bytes("null"), /^the document is JSON, but not an object$/],
  ["an object without a field", metric({ address: undefined, is_valid: undefined }), /address.*is_valid/],
  ["fields of other types", metric({ latency: "1", is_valid: 1 }), /latency.*is_valid/],
  ["NaN", raw("NaN"), /^the document is not JSON/],
  ["1e999", raw("1e999"), /latency/],
  [
    "5 MB",
    bytes(JSON.stringify({ address: "x".repeat(5 * 1024 * 1024) })),
    /^the document has 5242894 bytes, more than/,
  ],
  ["nothing between key and end", new Uint8Array(), /^the document is not JSON/],
  ["no value at all", null, /^the message has no value \(a tombstone\)$/],
  ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d), /^the document is not UTF-8$/],
  ["U+0000", metric({ address: "a\u0000b" }), /address: holds U\+0000 or a lone surrogate/],
  ["a lone surrogate", metric({ location: "\ud800" }), /location: holds U\+0000 or a lone surrogate/],
  [
    "an address too long for the column",
    metric({ address: "x".repeat(51) }),
    /too long for type character varying\(50\)/,
  ],
  ["what a trigger raises at", metric({ status_code: 418 }), /no teapots/],
  ["what a CHECK refuses", metric({ latency: 1000 }), /violates check constraint/],
  ["what a NOT NULL refuses", metric({ location: null }), /null value in column "location"/],
  ["a status code beyond any", metric({ status_code: 1000 }), /status_code/],
];

let services: Services;
beforeAll(async () => {
  if (canRun) services = await openServices();
}, 120_000);
afterAll(() => services?.[Symbol.asyncDispose](), 60_000);

const variants = possibleVariants();

describe.runIf(canRun).each(variants)("consumer on $name", (variant: Variant) => {
  const it = inTurn(variants, variant);
  const latencies = async (table: string) => {
    const rows = await services.postgres.sql<{ latency: number }[]>`select latency from ${
      services.postgres.sql(table)
    } order by 1`;
    return rows.map(({ latency }) => latency);
  };
  const rejected = (table: string) =>
    services.postgres.sql<{ offset: number; reason: string; size: number | null }[]>`
      select "offset"::int as offset, reason, length(value) as size from ${
      services.postgres.sql(`${table}_rejected`)
    } order by 1`;
  const until = (look: () => Promise<unknown>) => expect.poll(look, { timeout: 40_000, interval: 100 });
  const range = (count: number) => Array.from({ length: count }, (_, n) => n);

  it("puts each message that cannot be a row among the rejected with its reason, and stores its neighbours", async () => {
    const name = services.newName();
    await services.postgres.sql.unsafe(strictTable(name));
    await services.createTopic(name);
    const good = (n: number) => ({ key: "good", value: metric({ latency: n }) });
    const messages = BAD.flatMap(([, value], n) => [good(n), { key: "bad", value }]);
    await services.write(name, [...messages, good(BAD.length)]);
    await using _consumer = services.consume(variant, name);
    await until(() => latencies(name)).toEqual(range(BAD.length + 1));
    expect(await rejected(name)).toEqual(BAD.map(([, value, reason], n) => {
      return {
        offset: 2 * n + 1,
        reason: expect.stringMatching(reason),
        size: value && Math.min(value.length, KEPT_BYTES),
      };
    }));
  });

  it.each([10, 100])(
    "rejects %i addresses in succession that are too long, and stores what comes after them",
    async (count) => {
      const name = services.newName();
      await services.postgres.sql.unsafe(strictTable(name));
      await services.createTopic(name);
      const long = range(count).map((n) => ({ key: "long", value: metric({ address: "x".repeat(51 + n) }) }));
      const good = range(2).map((n) => ({ key: "good", value: metric({ latency: n }) }));
      await services.write(name, [...good.slice(0, 1), ...long, ...good.slice(1)]);
      await using _consumer = services.consume(variant, name);
      await until(() => latencies(name)).toEqual([0, 1]);
      expect((await rejected(name)).map(({ offset }) => offset)).toEqual(range(count).map((n) => n + 1));
    },
  );

  it("rejects an address that is too long for the index of its own table, and stores its neighbours", async () => {
    const name = services.newName();
    await services.createTopic(name);
    // Random characters: PostgreSQL would compress others until they fit.
    const address = Array.from(
      crypto.getRandomValues(new Uint16Array(3000)),
      (n) => String.fromCharCode(0x4e00 + n % 20_000),
    );
    const values = [metric({ latency: 0 }), metric({ address: address.join("") }), metric({ latency: 1 })];
    await services.write(name, values.map((value) => ({ key: "a", value })));
    await using _consumer = services.consume(variant, name);
    await until(() => latencies(name).catch(() => [])).toEqual([0, 1]);
    expect(await rejected(name)).toEqual([
      { offset: 1, reason: expect.stringMatching(/index row/), size: values[1]?.length },
    ]);
  });

  it.each([
    ["a column that was dropped", "drop column location", 'column "location" of relation', "add column location text"],
    [
      "a column of another type",
      "alter column is_valid type int using is_valid::int",
      "is of type integer but expression is of type boolean",
      "alter column is_valid type bool using is_valid::int::bool",
    ],
  ])(
    "blames no metric for %s: it ends with 1, and goes on when that is mended",
    async (_, breaking, words, mending) => {
      const name = services.newName();
      await services.postgres.sql.unsafe(
        `create table ${name} (address text, status_code int, latency float8, is_valid bool, location text)`,
      );
      await services.createTopic(name);
      await services.write(name, [{ key: "a", value: metric({ latency: 0 }) }]);
      await using consumer = services.consume(variant, name);
      await until(() => latencies(name)).toEqual([0]);
      await services.postgres.sql.unsafe(`alter table ${name} ${breaking}`);
      await services.write(name, [{ key: "a", value: metric({ latency: 1 }) }]);
      const { code, stderr } = await consumer.ended;
      expect(stderr).toContain(words);
      expect(code).toBe(1);
      expect(await rejected(name)).toEqual([]);
      await services.postgres.sql.unsafe(`alter table ${name} ${mending}`);
      await using _next = services.consume(variant, name);
      await until(() => latencies(name)).toEqual([0, 1]);
      expect(await rejected(name)).toEqual([]);
    },
  );

  it("blames no metric for a full disk: it waits, and goes on when there is room", async () => {
    const name = services.newName();
    await services.postgres.sql.unsafe(
      `create table ${name} (address text, status_code int, latency float8, is_valid bool);
      create function ${name}_full() returns trigger language plpgsql as
        'begin raise exception ''could not extend file: No space left on device'' using errcode = ''disk_full''; end';
      create trigger full_disk before insert on ${name} for each row execute function ${name}_full()`,
    );
    await services.createTopic(name);
    await services.write(name, range(3).map((n) => ({ key: "a", value: metric({ latency: n }) })));
    await using consumer = services.consume(variant, name);
    await consumer.says("No space left on device: trying again");
    expect(await rejected(name)).toEqual([]);
    await services.postgres.sql.unsafe(`drop trigger full_disk on ${name}`);
    await until(() => latencies(name)).toEqual([0, 1, 2]);
    await consumer.says("PostgreSQL answers again");
    expect(await rejected(name)).toEqual([]);
  });
});

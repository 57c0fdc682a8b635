import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { run, RUNTIMES } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";

// A role that may write into its table, and may create nothing.

describe.skipIf(postgresMissing !== null)("a role that may create nothing", () => {
  let postgres: TestPostgres;
  beforeAll(async () => void (postgres = await startPostgres()), 60_000);
  afterAll(async () => await postgres?.[Symbol.asyncDispose]());

  it.each(RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null))(
    "gets from the consumer under %s what makes its own table of four columns do, to the letter",
    async (runtime) => {
      const { sql, settings: { host, port, name } } = postgres;
      const [schema, role] = [`sites_${runtime}`, `writer_${runtime}`];
      await sql.unsafe(
        `create schema ${schema}; create role ${role} login password 'w';
         create table ${schema}.checks (address text, status_code integer not null, latency real, is_valid boolean);
         grant usage on schema ${schema} to ${role}; grant insert on ${schema}.checks to ${role}`,
      );
      try {
        const line = '{"address": "a", "status_code": null, "latency": 0.5, "is_valid": false}\n';
        const consume = () =>
          run(runtime, "consumer", ["--stdin", "--db-table", `${schema}.checks`], {
            input: `${line}no metric\n`,
            env: { DB_HOST: host, DB_PORT: String(port), DB_NAME: name, DB_USER: role, DB_PASSWORD: "w" },
          });
        const { code, stderr } = await consume();
        expect(code).toBe(1);
        const [, message = ""] = stderr.split(" ERROR ");
        const statements = `create table if not exists "${schema}"."checks_offsets" (
  topic_id text not null,
  partition integer not null,
  next_offset bigint not null,
  topic text not null,
  moved_at timestamptz not null default now(),
  epoch integer,
  epoch_at bigint,
  skips integer not null default 0,
  statement uuid,
  primary key (topic_id, partition)
);
do $$
begin
  if obj_description('"${schema}"."checks_offsets"'::regclass, 'pg_class') is null then
    comment on table "${schema}"."checks_offsets" is 'host checker: layout 1';
  end if;
end
$$;
create table if not exists "${schema}"."checks_rejected" (
  topic text not null,
  topic_id text not null,
  partition integer not null,
  "offset" bigint not null,
  key bytea,
  value bytea,
  reason text not null,
  rejected_at timestamptz not null default now()
);
grant usage on schema "${schema}" to "${role}";
grant select, insert, update on "${schema}"."checks" to "${role}";
grant select, insert, update, delete on "${schema}"."checks_offsets" to "${role}";
grant select, insert on "${schema}"."checks_rejected" to "${role}";
`;
        expect(message).toBe(
          `The role "${role}" may not create what is missing (permission denied for schema ${schema}). Let somebody who ` +
            `may run this in the database, then start again:\n\n${statements}`,
        );

        await sql.unsafe(message.slice(message.indexOf("\n\n")));
        expect(await consume(), stderr).toMatchObject({ code: 0 });
        expect([...await sql.unsafe(`select * from ${schema}.checks`)]).toEqual([
          { address: "a", status_code: 0, latency: 0.5, is_valid: false },
        ]);
        expect([...await sql.unsafe(`select "offset" from ${schema}.checks_rejected`)]).toEqual([{ offset: "2" }]);
      } finally {
        await sql.unsafe(`drop schema ${schema} cascade; drop role ${role}`);
      }
    },
    60_000,
  );
});

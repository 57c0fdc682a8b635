import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { METRIC_FIELDS } from "../lib/metric.ts";
import { openPostgres } from "../lib/postgres/database/postgres.ts";
import { Store } from "../lib/postgres/store.ts";
import { VIEWS, viewSql } from "../lib/postgres/views.ts";
import type { KafkaServer } from "../tools/kafka/kafka.ts";
import { type Clone, cloneProject } from "./support/clone.ts";
import { type Block, blocksIn, commandsOf, DOCUMENTS, statementsOf } from "./support/documents.ts";
import { eventually } from "./support/eventually.ts";
import { INCIDENT_RULES } from "./support/incidents.ts";
import { canRunKafka, temporaryKafka } from "./support/kafka.ts";
import { type MailServer, openMailServer } from "./support/mail_server.ts";
import { metricWith } from "./support/metrics.ts";
import { ownPostgresMissing, startPostgres, type TestPostgres } from "./support/postgres.ts";
import { denoMissing } from "./support/runtimes.ts";
import { answer, openSite, type Site } from "./support/site.ts";

// Runs every command and every SQL statement between the fences of the documents, in the order in
// which they stand there.

/**
 * Milliseconds for all commands of a document. Both demos in README.md take long, and so does a
 * loaded machine.
 */
const PATIENCE = 480_000;

/** A table as version 0.1 made it. */
const TABLE_OF_0_1 = {
  sql: `create table host_metrics (address text not null, status_code integer, latency double precision not null,
      is_valid boolean not null, scheduled_at timestamptz, checked_at timestamptz not null, error text, error_detail text,
      latency_dns double precision, latency_connect double precision, latency_tls double precision,
      latency_first_byte double precision, latency_body double precision, tls_expires_at timestamptz, location text,
      check_id uuid);
    create unique index host_metrics_newest on host_metrics (address, checked_at desc, check_id)`,
} as const;

const NEEDS_DOCKER = "needs Docker";
const NEEDS_ROOT = "changes the machine, as root, and needs systemd running";
const NEEDS_CLUSTER = "needs a Kubernetes cluster";

/** Commands that do not run here, each with the reason. */
const NOT_RUN_HERE: readonly (readonly [beginning: string, reason: string])[] = [
  ["npm test", "it is what runs this test"],
  ["npm run test:faults -- --minutes 30", "takes half an hour; npm test runs it for a shorter time"],
  ["npm run test:faults -- --producers --minutes 30", "takes half an hour"],
  ["npm run test:fuzz -- --minutes 10", "takes ten minutes; npm test runs it for a shorter time"],
  ["PRODUCER_LISTEN=127.0.0.1:9470-9472 docker compose ", NEEDS_DOCKER],
  ["kafka-acls.sh ", "needs Kafka's own programs, and brokers that check rights"],
  ["make start", NEEDS_DOCKER],
  ["make logs", NEEDS_DOCKER],
  ["make stop", NEEDS_DOCKER],
  ["useradd ", NEEDS_ROOT],
  ["install ", NEEDS_ROOT],
  ["systemctl ", NEEDS_ROOT],
  ["rm -rf ", NEEDS_ROOT],
  ["userdel ", NEEDS_ROOT],
  ["kubectl ", NEEDS_CLUSTER],
];

/** True for the statements that are for a table of version 0.1. */
const isTakeover = ({ text }: Block) => text.includes("host_metrics_before");
const reasonFor = (command: string) => NOT_RUN_HERE.find(([beginning]) => command.startsWith(beginning))?.[1];
const documentsWith = (language: "sh" | "sql") =>
  DOCUMENTS.filter((document) => blocksIn(language).some((block) => block.document === document));

it("the list of commands that are not run here has none that is in no document", () => {
  const commands = blocksIn("sh").flatMap(commandsOf);
  const idle = NOT_RUN_HERE.filter(([beginning]) => !commands.some((command) => command.startsWith(beginning)));
  expect(idle).toEqual([]);
});

describe.runIf(ownPostgresMissing === null && canRunKafka() && denoMissing === null)("in a clone", () => {
  let server: TestPostgres;
  let broker: KafkaServer;
  let site: Site;
  let mail: MailServer;
  beforeAll(async () => {
    [server, broker, mail, site] = await Promise.all([
      startPostgres({ own: true }),
      temporaryKafka(),
      openMailServer(),
      openSite((socket) => void socket.end(answer("200 OK", {}, "fine"))),
    ]);
  });
  afterAll(() => Promise.all([server, broker, mail, site].map((part) => part?.[Symbol.asyncDispose]())));

  describe("SQL", () => {
    beforeAll(async () => {
      await fill("documents", "month");
      await fill("documents_0_1", TABLE_OF_0_1);
    });

    /**
     * A database with a table of checks in January 2026: as the consumer makes it, or as `made`
     * does.
     */
    async function fill(name: string, made: "month" | { readonly sql: string }): Promise<void> {
      await server.sql.unsafe(`create database ${name}`);
      await using database = openPostgres({ ...server.settings, name });
      const table = { schema: null, name: "host_metrics" };
      if (made !== "month") {
        await database.script(made.sql);
        const fields = METRIC_FIELDS.filter((field) => made.sql.includes(field));
        for (const view of VIEWS) await database.script(viewSql(table, view, fields));
      }
      const store = await Store.open(database, table, { incidents: INCIDENT_RULES });
      const source = { topic: "t", topicId: "1" };
      await store.marks.claim(source, new Map([[0, 0]]));
      const at = "2026-01-31T13:00:00.000Z";
      const contents = [
        metricWith(),
        metricWith({ scheduled_at: at, checked_at: at, error: "timeout", status_code: null, is_valid: false }),
        metricWith({ address: "https://b.example", location: "Berlin" }),
        { reason: "the document is not JSON" },
      ];
      const entries = contents.map((content, offset) => {
        return { partition: 0, offset, key: Buffer.from("key"), value: Buffer.from("value\xff", "latin1"), content };
      });
      await store.flush(source, new Map([[0, { start: 0, next: entries.length }]]), entries);
    }

    it.each(documentsWith("sql"))("%s: every statement runs", async (document) => {
      const name = `copy_${documentsWith("sql").indexOf(document)}`;
      await server.sql.unsafe(`create database ${name} template documents`);
      await using sql = connect(name);
      for (const block of blocksIn("sql").filter((block) => block.document === document && !isTakeover(block))) {
        for (const statement of statementsOf(block)) await attempt(block, sql.session.unsafe(statement));
      }
      if (document === "README.md") {
        expect(await sql.session`select from pg_database where datname = 'monitoring'`).toHaveLength(1);
      }
    });

    it("docs/table.md: a table of version 0.1 becomes the first part of one with parts", async () => {
      const [block, ...others] = blocksIn("sql").filter(isTakeover);
      expect(others).toEqual([]);
      {
        await using sql = connect("documents_0_1");
        for (const statement of statementsOf(block as Block)) {
          await attempt(block as Block, sql.session.unsafe(statement));
        }
      }
      await expectParts("documents_0_1");
    });

    /** The consumer uses the table with its parts, and each metric goes to the right one. */
    async function expectParts(name: string): Promise<void> {
      await using database = openPostgres({ ...server.settings, name });
      const store = await Store.open(database, { schema: null, name: "host_metrics" }, { incidents: INCIDENT_RULES });
      const source = { topic: "t", topicId: "2" };
      await store.marks.claim(source, new Map([[0, 0]]));
      const times = ["2026-01-05T00:00:00.000Z", "2026-02-05T00:00:00.000Z", "2026-03-05T00:00:00.000Z"];
      const again = [...times, ...times].map((at) => metricWith({ scheduled_at: at, checked_at: at }));
      const entries = again.map((content, offset) => ({ partition: 0, offset, key: null, value: null, content }));
      expect(await store.flush(source, new Map([[0, { start: 0, next: entries.length }]]), entries)).toBe("stored");
      expect(
        await database.query(
          "select tableoid::regclass::text as part from host_metrics where date_part('day', scheduled_at) = 5 order by 1 desc",
        ),
      )
        .toEqual([
          { part: "host_metrics_before" },
          { part: "host_metrics_202603" },
          { part: "host_metrics_202602" },
        ]);
      expect(store.warnings).toEqual([]);
    }

    /**
     * All statements run in one session, as in psql: begin and commit are statements of their own.
     */
    function connect(name: string): { session: postgres.Sql } & AsyncDisposable {
      const { host, port, user } = server.settings;
      const session = postgres({ host, port, user, database: name, max: 1, onnotice: () => {} });
      return { session, [Symbol.asyncDispose]: () => session.end({ timeout: 1 }) };
    }
  });

  describe("the shell", () => {
    let clone: Clone;
    beforeAll(async () => {
      clone = cloneProject();
      const { caFile, keyFile, certFile } = broker.certificates;
      for (
        const [file, name] of [[caFile, "ssl_ca_file.pem"], [keyFile, "ssl_key_file.key"], [
          certFile,
          "ssl_cert_file.cert",
        ]]
      ) {
        cpSync(file ?? "", join(clone.folder, "certs", name ?? ""));
      }
      mkdirSync(join(clone.folder, "run/secrets"), { recursive: true });
      writeFileSync(join(clone.folder, "run/secrets/db_password"), "change-me\n");
      writeHosts();
      const endpoint = { name: "a", url: `http://127.0.0.1:${site.port}/`, conditions: ["[STATUS] == 200"] };
      writeFileSync(join(clone.folder, "gatus.yaml"), JSON.stringify({ endpoints: [endpoint] }));
      const [made] = await server.sql`select from pg_roles where rolname = 'checker'`;
      if (made === undefined) throw new Error("README.md's SQL has to run first: it makes the role and the database");
      await server.requirePassword("checker");
    });
    afterAll(() => clone?.[Symbol.dispose]());

    const writeHosts = () =>
      writeFileSync(join(clone.folder, "hosts.txt"), `http://127.0.0.1:${site.port}/ 1s (fine)\n`);

    /** The values that a reader writes in the place of the documents' examples. */
    const inPlace = (command: string) =>
      command.replace(/^npm ci && /, "").replaceAll("kafka.example:9093", broker.mtls).replaceAll(
        "db.example",
        "127.0.0.1",
      )
        .replaceAll("/run/secrets/", `${clone.folder}/run/secrets/`)
        .replaceAll("mail.example:587", `127.0.0.1:${mail.port}`)
        // Another program may have the port.
        .replaceAll("127.0.0.1:8080", "127.0.0.1:0")
        // Nobody looks at the page for a minute.
        .replace(/^npm run demo$/, "npm run demo -- --no-page").replace(/^deno task demo$/, "deno task demo --no-page");

    /** The edits that a reader makes where a document says so. */
    const EDITS: Readonly<Record<string, () => void>> = {
      "cp hosts.txt.example hosts.txt": writeHosts,
      "cp env.example env": () => {
        const path = join(clone.folder, "env");
        const text = readFileSync(path, "utf8").replace("kafka.example:9093", broker.plain);
        writeFileSync(path, text.replace("#KAFKA_PARTITIONS=6", "KAFKA_PARTITIONS=3"));
      },
    };

    /**
     * Commands that run until somebody presses Ctrl-C. `until`: their output by then, at level
     * DEBUG. `atTheEnd`: their last output.
     */
    const ENDLESS: readonly { readonly of: RegExp; readonly until: RegExp; readonly atTheEnd: RegExp }[] = [
      {
        of: /--stdout hosts\.txt \|/,
        until: /messages? stored/,
        atTheEnd: /[1-9]\d* metrics? delivered[^]*[1-9]\d* metrics? stored/,
      },
      {
        of: /producer -- --kafka-partitions 6 hosts\.txt$/,
        until: /: up status 200/,
        atTheEnd: /[1-9]\d* metrics? delivered/,
      },
      { of: /consumer$/, until: /messages? stored/, atTheEnd: /[1-9]\d* metrics? stored/ },
    ];

    it("a reader edits what documents say is to be edited, and ends what would not end", () => {
      const commands = blocksIn("sh").flatMap(commandsOf);
      expect(Object.keys(EDITS).filter((command) => !commands.includes(command))).toEqual([]);
      expect(ENDLESS.filter(({ of }) => !commands.some((command) => of.test(command)))).toEqual([]);
    });

    /** Exports, which hold for the rest of the document. */
    const lasts = (command: string) => /^(export |set -a; )/.test(command);

    it.concurrent.each(documentsWith("sh"))("%s: every command runs", async (document) => {
      const port = String(server.settings.port);
      const env = { DB_PORT: port, PGPORT: port };
      const session: string[] = [];
      for (const block of blocksIn("sh").filter((block) => block.document === document)) {
        for (const command of commandsOf(block).filter((command) => reasonFor(command) === undefined)) {
          if (lasts(command)) session.push(inPlace(command));
          else await attempt(block, runCommand(command, [...session, inPlace(command)].join("\n"), env));
        }
      }
    }, PATIENCE);

    async function runCommand(command: string, script: string, env: Readonly<Record<string, string>>): Promise<void> {
      const endless = ENDLESS.find(({ of }) => of.test(command));
      const running = clone.start(script, endless === undefined ? env : { ...env, LOG_LEVEL: "DEBUG" });
      let hasEnded = false;
      void running.ended.then(() => hasEnded = true);
      try {
        if (endless !== undefined) {
          // The documents run side by side, and other programs may use the machine too.
          const isSaid = () => hasEnded || endless.until.test(running.said);
          await eventually(isSaid, () => `not said: ${endless.until}`, { timeout: PATIENCE / 2 });
          running.interrupt();
          expect((await running.ended).said).toMatch(endless.atTheEnd);
          return;
        }
        expect({ command, ...await running.ended }).toEqual({ command, code: 0, said: expect.any(String) });
        EDITS[command]?.();
      } finally {
        running.kill();
      }
    }
  });

  /** Adds to a failure the place in the document. */
  async function attempt({ document, line }: Block, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      throw new Error(`${document}:${line}: ${(error as Error).message}`, { cause: error });
    }
  }
});

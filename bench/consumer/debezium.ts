import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { METRIC_FIELDS } from "../../lib/metric.ts";
import { COLUMNS } from "../../lib/postgres/schema.ts";
import { madeOnce } from "../../tools/made_once.ts";
import { type Arena, dropTables, newTable, steadyPart, TOPIC, untilBegun, untilStored } from "./arena.ts";
import { startChild } from "./child.ts";
import { startClock } from "./clock.ts";
import type { Contestant } from "./contest.ts";

const run = promisify(execFile);

const POM = fileURLToPath(new URL("connect_pom.xml", import.meta.url));
const CONNECTOR = "io.debezium:debezium-connector-jdbc:3.6.0.Final:tar.gz:plugin";

interface Tuning {
  readonly what: string;
  readonly java: readonly string[];
  readonly sink: Readonly<Record<string, string | number | boolean>>;
}

const TUNINGS = {
  // The best of 25 variants that were tried on two cores.
  "debezium": {
    what: "Kafka Connect with the Debezium JDBC sink, tuned: unnest inserts, 5,000 a batch, 2 tasks, 4 GB of heap",
    java: ["-Xms4G", "-Xmx4G", "-XX:+UseParallelGC"],
    sink: {
      "dialect.postgres.unnest.insert.enabled": true,
      "batch.size": 5000,
      "tasks.max": 2,
      "consumer.override.max.poll.records": 5000,
    },
  },
  "debezium-stock": {
    what: "the same as it comes, but for what it needs to read these messages and for 2 GB of heap",
    java: ["-Xmx2G"],
    sink: { "tasks.max": 1 },
  },
} as const satisfies Record<string, Tuning>;

/**
 * Kafka Connect and the Debezium JDBC sink, from Maven Central, on the same topic and into the same
 * kind of table. Its time, other than ours, begins with its first row: starting takes it some
 * seconds, which a longer run would not notice.
 */
export function debezium(name: keyof typeof TUNINGS): Contestant {
  const { what, java, sink }: Tuning = TUNINGS[name];
  return {
    name,
    kind: "peer",
    what,
    prepare: fetchConnect,
    async run(arena) {
      const table = await newTable(arena, name.replace("-", "_"));
      const worker = await writeProperties(arena, `${name}-worker`, workerSettings(arena, await connectFolder()));
      const connector = await writeProperties(arena, `${name}-sink`, { ...sinkSettings(arena, table.name), ...sink });
      const path = `${await connectFolder()}/lib/*`;
      const command = ["java", ...java, "-cp", path, "org.apache.kafka.connect.cli.ConnectStandalone"];
      await using child = startChild([...command, worker, connector], join(arena.folder, `${name}.log`));
      const ended = child.ended.then(() => Promise.reject(new Error("Kafka Connect ended")));
      await Promise.race([untilBegun(arena, table), ended]);
      const clock = startClock(arena, child.pid);
      await Promise.race([untilStored(arena, table), ended]);
      const figures = { ...clock.stop(), steady: await steadyPart(arena, table) };
      await child[Symbol.asyncDispose]();
      await dropTables(arena, table);
      return figures;
    },
  };
}

/** The folder of Kafka Connect in `.cache/`, fetched once for each version of the two. */
async function connectFolder(): Promise<string> {
  const version = createHash("sha256").update(await readFile(POM)).update(CONNECTOR).digest("hex").slice(0, 12);
  return await madeOnce(`connect-${version}`, async (folder) => {
    const maven = ["-q", "-B", "-f", POM];
    await run("mvn", [...maven, "dependency:copy-dependencies", `-DoutputDirectory=${folder}/lib`]);
    await run("mvn", [...maven, "dependency:unpack", `-Dartifact=${CONNECTOR}`, `-DoutputDirectory=${folder}/plugins`]);
  });
}

async function fetchConnect(): Promise<string | null> {
  try {
    await connectFolder();
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "it needs Maven (apt-get install maven)";
    return `Maven Central does not give it (${(error as Error).message.split("\n", 1)[0]})`;
  }
}

function workerSettings({ broker, folder }: Arena, connect: string) {
  return {
    "bootstrap.servers": broker.plain,
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    // The messages carry no schema of their own: they are read by this one.
    "value.converter.schemas.enable": true,
    "value.converter.schema.content": JSON.stringify(messageSchema()),
    "offset.storage.file.filename": join(folder, "connect.offsets"),
    "plugin.path": `${connect}/plugins`,
    "plugin.discovery": "only_scan",
    "listeners": "http://127.0.0.1:0",
  };
}

function sinkSettings({ server }: Arena, table: string) {
  const { host, port, name, user } = server.settings;
  return {
    // Its group has this name too, and would go on where one of the same name had ended.
    "name": `${table}-${randomUUID()}`,
    "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
    "topics": TOPIC,
    "connection.url": `jdbc:postgresql://${host}:${port}/${name}`,
    "connection.username": user,
    "connection.password": "none",
    "collection.name.format": table,
    "insert.mode": "insert",
    "primary.key.mode": "none",
    "schema.evolution": "none",
    "consumer.override.auto.offset.reset": "earliest",
  };
}

interface FieldType {
  readonly type: string;
  readonly name?: string;
  readonly parameters?: Readonly<Record<string, string>>;
}

/** How JSON's few types become those of the columns. */
const FIELD_TYPES: Readonly<Record<string, FieldType>> = {
  "text": { type: "string" },
  "integer": { type: "int32" },
  "double precision": { type: "double" },
  "boolean": { type: "boolean" },
  "timestamptz": { type: "string", name: "io.debezium.time.ZonedTimestamp" },
  "uuid": { type: "string", name: "io.debezium.data.Uuid" },
  "inet": { type: "string", parameters: { "__debezium.source.column.type": "INET" } },
  "jsonb": { type: "string", name: "io.debezium.data.Json" },
};

/** What Kafka Connect must know of the messages, which carry no schema of their own. */
export function messageSchema() {
  const fields = METRIC_FIELDS.map((field) => {
    return { field, optional: COLUMNS[field].always !== true, ...FIELD_TYPES[COLUMNS[field].type] };
  });
  return { type: "struct", optional: false, fields };
}

async function writeProperties(
  arena: Arena,
  name: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<string> {
  const file = join(arena.folder, `${name}.properties`);
  await writeFile(file, Object.entries(settings).map(([key, value]) => `${key}=${value}\n`).join(""));
  return file;
}

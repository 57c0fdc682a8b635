// How much memory the producer takes while Kafka is away: `npm run bench:memory-producer -- --help`
// names the options. Starts a broker, a site and a producer; takes the broker away for the middle
// half of the time; samples the producer's RSS.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startKafka } from "../tools/kafka/kafka.ts";

const { values } = parseArgs({
  options: {
    help: { type: "boolean", default: false },
    runtime: { type: "string", default: "node" },
    client: { type: "string", default: "auto" },
    spool: { type: "boolean", default: false },
    rate: { type: "string", default: "2000" },
    minutes: { type: "string", default: "5" },
  },
});
if (values.help) {
  console.log(
    `--runtime node|deno  --client auto|librdkafka|javascript  --spool  --rate METRICS_A_SECOND  --minutes N`,
  );
  process.exit(0);
}

const SAMPLE_EVERY = 30_000;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

const folder = mkdtempSync(join(tmpdir(), "bench-memory-"));
let asked = 0;
const site = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", () => {
    asked++;
    socket.end(ANSWER);
  });
}).listen(0, "127.0.0.1");
await once(site, "listening");
const { port } = site.address() as { port: number };
const hosts = join(folder, "hosts.txt");
writeFileSync(
  hosts,
  Array.from({ length: Number(values.rate) }, (_, n) => `http://127.0.0.1:${port}/${n} 1s\n`).join(""),
);

try {
  await using broker = await startKafka({ directory: join(folder, "kafka") });
  const program = values.runtime === "deno"
    ? ["deno", "run", "-q", "-P=producer", "producer.ts"]
    : [process.execPath, "--experimental-strip-types", "producer.ts"];
  const settings = ["--kafka-bootstrap-servers", broker.plain, "--kafka-topic", "bench", "--kafka-partitions", "4"];
  const spool = values.spool ? ["--spool", join(folder, "spool")] : [];
  const [command = "", ...args] = [...program, ...settings, "--kafka-client", values.client, ...spool, hosts];
  const root = fileURLToPath(new URL("..", import.meta.url));
  const producer = spawn(command, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  const ended = once(producer, "exit");

  const samples = Math.round(Number(values.minutes) * 60_000 / SAMPLE_EVERY);
  let isAway = false;
  for (let sample = 0; sample <= samples; sample++) {
    const away = sample >= samples / 4 && sample < samples * 3 / 4;
    if (away !== isAway) await (away ? broker.kill() : broker.restart());
    isAway = away;
    const before = asked;
    await delay(SAMPLE_EVERY);
    const rss = Number(spawnSync("ps", ["-o", "rss=", "-p", String(producer.pid)]).stdout.toString()) / 1024;
    const rate = (asked - before) * 1000 / SAMPLE_EVERY;
    console.log(
      `${(sample + 1) * SAMPLE_EVERY / 1000} s: ${rss.toFixed(0)} MiB, ${rate.toFixed(0)} checks/s, Kafka ${
        isAway ? "away" : "there"
      }`,
    );
  }
  producer.kill("SIGTERM");
  const [code] = await ended;
  console.log(`The producer ended with ${code}; the site was asked ${asked} times`);
} finally {
  site.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);

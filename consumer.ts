// Kafka topic → batches → PostgreSQL table: lib/program/consumer.ts, where what it needs is there.
import { start } from "./lib/program/start.js";

await start(() => import("./lib/program/consumer.ts"));

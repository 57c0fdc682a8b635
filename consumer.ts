// Kafka topic → batches → PostgreSQL table: lib/consumer.ts, where what it needs is there.
import { start } from "./lib/start.js";

await start(() => import("./lib/consumer.ts"));

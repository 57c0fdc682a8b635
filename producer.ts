// Hosts file → due hosts → checks → Kafka topic: lib/producer.ts, where what it needs is there.
import { start } from "./lib/start.js";

await start(() => import("./lib/producer.ts"));

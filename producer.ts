// Hosts file → due hosts → checks → Kafka topic: lib/program/producer.ts, where what it needs is there.
import { start } from "./lib/program/start.js";

await start(() => import("./lib/program/producer.ts"));

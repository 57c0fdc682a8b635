// Kafka topic → batches → PostgreSQL table. The program is lib/program/consumer.ts.
// `start` imports it where the runtime can run it, and else says what is missing.
import { keepCompiled, start } from "./lib/program/start.js";

keepCompiled();
await start(() => import("./lib/program/consumer.ts"));

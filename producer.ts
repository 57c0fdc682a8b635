// Hosts file → due hosts → checks → Kafka topic. The program is lib/program/producer.ts.
// `start` imports it where the runtime can run it, and else says what is missing.
import { keepCompiled, keepNurserySmall, start } from "./lib/program/start.js";

keepCompiled();
keepNurserySmall();
await start(() => import("./lib/program/producer.ts"));

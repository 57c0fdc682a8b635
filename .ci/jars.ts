/** Prints the folder of the broker's jars, which it fetches where they are missing. */
import { fetchJars } from "../tools/kafka/kafka.ts";

console.log(await fetchJars());

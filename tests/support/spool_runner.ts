// Opens a spool and prints its metrics and reports, or writes to one until it is killed. The tests
// run this under each runtime.
import { argv, stdout } from "node:process";
import { json } from "node:stream/consumers";
import { stdin } from "node:process";
import { Spool } from "../../lib/delivery/spool.ts";
import { SpoolFile } from "../../lib/delivery/spool/spool_file.ts";
import { encodeMetric } from "../../lib/metric.ts";
import { metricWith } from "./metrics.ts";

export interface SpoolOrder {
  readonly directory: string;
  readonly topic: string;
  /** Metrics are acknowledged as soon as they come. */
  readonly acknowledge?: boolean;
}

export interface SpoolReport {
  /** The `location` of each metric that came. */
  readonly locations: readonly (string | null)[];
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** The reason why it did not open. */
  readonly refused: string | null;
}

async function readAll({ directory, topic, acknowledge = false }: SpoolOrder): Promise<SpoolReport> {
  const [locations, errors, warnings]: [(string | null)[], string[], string[]] = [[], [], []];
  const events = { error: (text: string) => void errors.push(text), warn: (text: string) => void warnings.push(text) };
  try {
    await using spool = await Spool.open(directory, { topic, mostOnDisk: 2 ** 30, mostInMemory: 1_000, events });
    spool.end();
    for await (const { location } of spool) {
      locations.push(location);
      if (acknowledge) spool.acknowledge(1);
    }
  } catch (error) {
    return { locations, errors, warnings, refused: (error as Error).message };
  }
  return { locations, errors, warnings, refused: null };
}

/**
 * Writes metrics for ever, whose `location` counts up, and takes out those that it has read. After
 * each write it prints how many are written, and how many are taken out.
 */
function hammer(path: string): void {
  const { file, rescue } = SpoolFile.open(path, "t", 2 ** 30);
  if (rescue !== null) return void stdout.write(`rescue ${rescue.reason}\n`);
  for (let delivered = 0, n = 0;; n++) {
    const size = 1 + n * 7 % 90;
    const documents = Array.from({ length: size }, () => encodeMetric(metricWith({ error_detail: "x".repeat(200) })));
    const { lastId } = file.write(documents, delivered);
    stdout.write(`${lastId} ${delivered}\n`);
    // Mostly it takes out nearly all, and then all: an empty file is a case of its own.
    delivered = file.read(n % 9 === 0 ? 100_000 : size - 1).rows.at(-1)?.id ?? delivered;
  }
}

if (argv[2] === undefined) stdout.write(`${JSON.stringify(await readAll(await json(stdin) as SpoolOrder))}\n`);
else hammer(argv[2]);

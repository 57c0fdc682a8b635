// Loads the files that each line of standard input names (JSON). Prints the outcomes. Accepted
// files are used in a handshake with a server, where the order names one. The tests run this under
// each runtime.
import { once } from "node:events";
import { exit, stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { connect, type ConnectionOptions } from "node:tls";
import { type KeyFiles, type KeyMaterial, loadKeyMaterial } from "../../lib/net/tls.ts";

/**
 * The files to load. The port is that of a TLS server on loopback that greets each client; null: no
 * handshake.
 */
export interface LoadOrder {
  readonly files: KeyFiles;
  readonly port: number | null;
  /** Makes a client of librdkafka with accepted files, where librdkafka is installed. */
  readonly native: boolean;
}

/** The outcome. */
export interface Loaded {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  readonly key: string | null;
  readonly cert: string | null;
  readonly ca: string | null;
  /** The server's greeting, or the reason why the handshake failed. */
  readonly said: string | null;
  /** The reason why librdkafka refused the files. */
  readonly refusal: string | null;
  /** The message of an error that was thrown. */
  readonly thrown: string | null;
}

const NOTHING: Loaded = {
  problems: [],
  warnings: [],
  key: null,
  cert: null,
  ca: null,
  said: null,
  refusal: null,
  thrown: null,
};

async function load({ files, port, native }: LoadOrder): Promise<Loaded> {
  try {
    const loaded = await loadKeyMaterial(files);
    if ("problems" in loaded) return { ...NOTHING, problems: loaded.problems };
    const { key, cert, ca } = loaded.material;
    const said = port === null ? null : await shakeHands(port, loaded.material);
    const refusal = native ? await refusalOfLibrdkafka(loaded.material) : null;
    return {
      ...NOTHING,
      warnings: loaded.warnings,
      key: key ?? null,
      cert: cert ?? null,
      ca: ca ?? null,
      said,
      refusal,
    };
  } catch (error) {
    return { ...NOTHING, thrown: (error as Error).stack ?? String(error) };
  }
}

async function shakeHands(port: number, material: ConnectionOptions): Promise<string> {
  try {
    const socket = connect({ ...material, host: "localhost", servername: "localhost", port });
    const word = once(socket, "data").then(([data]) => String(data));
    const end = once(socket, "close").then(() => "closed");
    const said = await Promise.race([word, end]);
    // The loser of the race must not become an unhandled rejection.
    word.catch(() => {});
    end.catch(() => {});
    socket.destroy();
    return said;
  } catch (error) {
    return `failed: ${(error as Error).message}`;
  }
}

/** Nobody listens at this address. librdkafka judges key and certificates before it connects. */
async function refusalOfLibrdkafka(tls: KeyMaterial): Promise<string | null> {
  const { loadLibrdkafka } = await import("../../lib/kafka/librdkafka/library.ts");
  const { closeProducer, newProducer } = await import("../../lib/kafka/librdkafka/native_clients.ts");
  const library = loadLibrdkafka();
  if ("missing" in library) return null;
  const client = newProducer(library, { bootstrapServers: ["127.0.0.1:1"], topic: "none", tls });
  const { promise, resolve } = Promise.withResolvers<string>();
  client.connect({ timeout: 20, allTopics: false }, (error) => resolve(error?.message ?? ""));
  const said = await promise;
  await closeProducer(client);
  return /transport failure|timed out/i.test(said) ? null : said;
}

for await (const line of createInterface({ input: stdin })) {
  const loaded = await load(JSON.parse(line) as LoadOrder);
  await new Promise<void>((resolve) => stdout.write(`${JSON.stringify(loaded)}\n`, () => resolve()));
}
exit(0);

import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

// A server that is told its port takes it seconds after it was found free. The system would have
// given a port of its own choice to some connection by then. It never chooses one below these.

const LOWEST = 10_000;
/** Where Linux begins with the ports that it chooses. */
const FIRST_CHOSEN_BY_SYSTEM = 32_768;

/** So many different ports of the loopback address that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(LOWEST, FIRST_CHOSEN_BY_SYSTEM);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

/** As `freePorts`, but one. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port as number;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return false;
    throw error;
  }
  await new Promise((closed) => server.close(closed));
  return true;
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";

/** A port that neither accepts nor refuses connections, as behind a firewall that drops them. */
export interface UnresponsivePort extends Disposable {
  readonly port: number;
  /** From now on it accepts them, and answers with an empty page. */
  listen(): void;
}

const ANSWER = "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n";
const SERVER = `
const serve = (socket) => socket.on("error", () => {}).once("data", () => socket.end("${ANSWER}"));
const [host, port] = process.argv.slice(1);
const server = require("node:net").createServer(serve);
server.listen({ host, port: Number(port), backlog: 1 }, () => console.log(server.address().port));
`;
/** The kernel itself accepts one connection more than the backlog holds. */
const BACKLOG = 2;

/**
 * A process that listens, and is stopped with a full backlog. The kernel drops any further
 * connection.
 */
export async function openUnresponsivePort(host: string, wanted = 0): Promise<UnresponsivePort> {
  const child = spawn(process.execPath, ["-e", SERVER, host, String(wanted)], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data") as [Buffer];
  const port = Number(line.toString());
  child.kill("SIGSTOP");
  const fillers = Array.from({ length: BACKLOG }, () => connect(port, host));
  for (const filler of fillers) filler.on("error", () => {});
  await Promise.all(fillers.map((filler) => once(filler, "connect")));
  return {
    port,
    listen() {
      child.kill("SIGCONT");
    },
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      for (const filler of fillers) filler.destroy();
    },
  };
}

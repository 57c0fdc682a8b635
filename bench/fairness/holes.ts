// Listens with the shortest queue there is, says where, and then stops itself: the system goes on
// accepting a connection or two for it, and drops whoever comes after that. To those, this is an
// address at which nobody is.
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";

const server = createServer();
server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`, () => process.kill(process.pid, "SIGSTOP"));
});

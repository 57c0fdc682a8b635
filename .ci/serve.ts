/** Serves the files of a folder on a free port of loopback, which it prints. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path/posix";
import process from "node:process";

const folder = process.argv[2] ?? ".";
const server = createServer((request, response) => {
  const path = join(folder, normalize(new URL(request.url ?? "/", "http://localhost").pathname));
  readFile(path).then((content) => response.end(content), () => response.writeHead(404).end());
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));

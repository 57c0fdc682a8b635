import { once } from "node:events";
import { get } from "node:http";
import { connect } from "node:net";
import { hostname } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../lib/config/usage_error.ts";
import { askHealth } from "../../lib/net/ask_health.ts";
import { type HttpPort, json, openHttpPort, plainText } from "../../lib/net/http_port.ts";
import { refusedPort } from "../support/site.ts";

describe("openHttpPort", () => {
  let port: HttpPort;
  let healthy = true;
  beforeAll(async () => {
    port = await openHttpPort({ host: "127.0.0.1", port: 0 }, "--listen", {
      "/healthz": () => healthy ? plainText(200, "consumer: ok\n") : plainText(503, "no\n"),
      "/readyz": () => Promise.resolve(json(503, { ready: false })),
      "/fails": () => {
        throw new Error("out of figures");
      },
    });
  });
  afterAll(() => port[Symbol.asyncDispose]());

  const ask = async (path: string, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${port.port}${path}`, { method });
    return { status: response.status, type: response.headers.get("Content-Type"), body: await response.text() };
  };

  it.each([
    ["/healthz", "GET", 200, "consumer: ok\n"],
    ["/healthz?from=probe", "GET", 200, "consumer: ok\n"],
    ["/readyz", "GET", 503, '{"ready":false}\n'],
    ["/healthz", "HEAD", 200, ""],
    ["/healthz", "POST", 405, "only GET is answered\n"],
    ["/fails", "GET", 500, "out of figures\n"],
    ["/", "GET", 404, "no such page: ask for /healthz, /readyz, /fails\n"],
    ["/toString", "GET", 404, "no such page: ask for /healthz, /readyz, /fails\n"],
  ])("openHttpPort answers %s to %s with %d", async (path, method, status, body) => {
    expect(await ask(path, method)).toMatchObject({ status, body });
  });

  it("openHttpPort names the kind of each page", async () => {
    expect((await ask("/healthz")).type).toBe("text/plain; charset=utf-8");
    expect((await ask("/readyz")).type).toBe("application/json");
  });

  const askAs = (host: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      get({ port: port.port, path: "/healthz", headers: { Host: host }, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on("error", reject);
    });

  it.each([
    "127.0.0.1",
    "10.0.0.7:9464",
    "[::1]:80",
    "localhost",
    "producer:9464",
    "checks.monitoring.svc:80",
    hostname(),
  ])(
    "openHttpPort answers whoever asks by %s",
    async (host) => {
      healthy = true;
      expect(await askAs(host)).toBe(200);
    },
  );

  it.each(["a.example", "127.0.0.1.a.example:80", "local.a.example", "xlocal.example", "a.example."])(
    "openHttpPort does not answer a browser that was led here by the name %s",
    async (host) => expect(await askAs(host)).toBe(421),
  );

  it("openHttpPort closes the oldest of many idle connections, and answers all the same", async () => {
    const sockets = Array.from({ length: 200 }, () => connect(port.port, "127.0.0.1").on("error", () => {}));
    const closed = sockets.map((socket) => once(socket.resume(), "close"));
    await Promise.all(closed.slice(0, 100));
    expect(await askAs("127.0.0.1")).toBe(200);
    expect(sockets.filter((socket) => !socket.closed).length).toBeLessThanOrEqual(64);
    // The port closes the other connections when their time is up.
    await Promise.all(closed);
  });

  it("openHttpPort says where it cannot listen", async () => {
    const taken = openHttpPort({ host: "127.0.0.1", port: port.port }, "--listen", {});
    await expect(taken).rejects.toThrow(
      new UsageError([
        `--listen is "127.0.0.1:${port.port}": cannot listen there (EADDRINUSE): another program has this port, ` +
        "so stop it or write another port",
      ]),
    );
  });

  it("askHealth hears that a program is well, also where it listens everywhere", async () => {
    healthy = true;
    expect(await askHealth({ host: "127.0.0.1", port: port.port }, "consumer")).toBe(null);
    expect(await askHealth({ host: "0.0.0.0", port: port.port }, "consumer")).toBe(null);
  });

  it("askHealth hears that a program is not well", async () => {
    healthy = false;
    const url = `http://127.0.0.1:${port.port}/healthz`;
    expect(await askHealth({ host: "127.0.0.1", port: port.port }, "consumer")).toBe(`${url} answers with 503`);
  });

  it("askHealth says whose answer it heard, where that is not the program that was to be asked", async () => {
    healthy = true;
    const url = `http://127.0.0.1:${port.port}/healthz`;
    const needs = "each needs an address of its own (--listen (LISTEN) or PRODUCER_LISTEN)";
    expect(await askHealth({ host: "127.0.0.1", port: port.port }, "producer"))
      .toBe(`${url} is answered by the consumer, not by the producer: ${needs}`);
    await using stranger = await openHttpPort({ host: "127.0.0.1", port: 0 }, "--listen", {
      "/healthz": () => plainText(200, "ok\n".repeat(100_000)),
    });
    expect(await askHealth({ host: "127.0.0.1", port: stranger.port }, "producer"))
      .toBe(`http://127.0.0.1:${stranger.port}/healthz is answered by another program, not by the producer: ${needs}`);
  });

  it("askHealth says where nobody answers", async () => {
    const nobody = await refusedPort();
    const url = `http://127.0.0.1:${nobody}/healthz`;
    expect(await askHealth({ host: "127.0.0.1", port: nobody }, "consumer")).toBe(
      `${url} does not answer (ECONNREFUSED)`,
    );
  });
});

it("openHttpPort frees its port when it is disposed of, also where a client holds a connection", async () => {
  const pages = { "/": () => plainText(200, "ok\n") };
  const first = await openHttpPort({ host: "127.0.0.1", port: 0 }, "--listen", pages);
  await fetch(`http://127.0.0.1:${first.port}/`);
  await first[Symbol.asyncDispose]();
  await using second = await openHttpPort({ host: "127.0.0.1", port: first.port }, "--listen", pages);
  expect(second.port).toBe(first.port);
});

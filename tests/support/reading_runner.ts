// Reads the page of a site at the port that the argument names, in turns as short as possible.
// Prints as JSON how many bytes of its body came, and the most that came before a timer had its
// turn.
import { connect } from "node:net";
import { exit, stdout } from "node:process";
import { exchange } from "../../lib/check/exchange.ts";
import { Failure } from "../../lib/check/failure.ts";
import { Turns } from "../../lib/check/pace.ts";
import { Timings } from "../../lib/check/timings.ts";

/** Bytes of a body. */
export interface Reading {
  readonly bytes: number;
  readonly most: number;
}

let [bytes, most, served] = [0, 0, 0];
const tick = () => {
  served = bytes;
  setTimeout(tick, 0);
};
tick();
const url = new URL(`http://127.0.0.1:${process.argv[2]}/`);
const socket = connect({ port: Number(url.port), host: url.hostname });
const head = { method: "GET", userAgent: "reading-test", authorization: null, headers: [], body: null };
const answer = await exchange(socket, url, head, new Timings(), new Turns(0), new AbortController().signal);
if (answer instanceof Failure) throw new Error(answer.detail);
answer.flow({
  bytes(part) {
    bytes += part.length;
    most = Math.max(most, bytes - served);
  },
  end: () => void stdout.write(`${JSON.stringify({ bytes, most } satisfies Reading)}\n`, () => exit(0)),
  fail(failure) {
    throw new Error(failure.detail);
  },
});

import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { AnswerParser } from "../../lib/check/answer_parser.ts";
import { Failure } from "../../lib/check/failure.ts";
import { Random } from "../support/random.ts";

/** The outcome of reading an answer. */
interface Read {
  readonly status: number | null;
  readonly fields: readonly (string | null)[];
  readonly body: string;
  readonly isWhole: boolean;
  readonly failure: string | null;
}

/** Reads an answer in pieces that end at `cuts`. With `isClosed` the connection ends after them. */
function read(bytes: Buffer, cuts: readonly number[], isClosed = true): Read {
  let [status, isWhole, failure]: [number | null, boolean, Failure | null] = [null, false, null];
  let fields: (string | null)[] = [];
  const body: string[] = [];
  const parser = new AnswerParser({
    head(head) {
      status = head.status;
      fields = ["x", "content-length", "location"].map((name) => head.fields.first(name));
    },
    body: (part) => void body.push(part.toString("latin1")),
    end: () => void (isWhole = true),
  });
  const ends = [...cuts.toSorted((a, b) => a - b), bytes.length];
  let start = 0;
  for (const end of ends) {
    // A copy: the parser may overwrite what it is given.
    if (end > start) failure ??= parser.push(Buffer.from(bytes.subarray(start, end)));
    start = Math.max(start, end);
  }
  if (isClosed) failure ??= parser.close();
  const detail = (failure as Failure | null)?.detail ?? null;
  // The part of a body before its fault depends on the pieces. Nobody asks for it.
  return { status, fields, body: detail === null ? body.join("") : "", isWhole, failure: detail };
}

const TEXT = "All systems normal";
const OK = "HTTP/1.1 200 OK\r\n";
const ANSWERS: Readonly<Record<string, string>> = {
  "with a length": `${OK}Content-Length: 18\r\nX: y\r\n\r\n${TEXT}`,
  "with more than its length": `${OK}Content-Length: 18\r\n\r\n${TEXT} and more`,
  "with chunks": `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nAll \r\nE;a="b"\r\nsystems normal\r\n00\r\nX: y\r\n\r\n`,
  "with chunks as others write them": `${OK}Transfer-Encoding: CHUNKED\n\n 4 \nAll \n000e ;x\nsystems normal\n0\n\n`,
  "with chunks that are wrong": `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nAll systems\r\n0\r\n\r\n`,
  "with a chunk's size that is none": `${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nAll \r\n\r\n0\r\n\r\n`,
  "until the connection ends": `${OK}X: y\r\n z\r\n\r\n${TEXT}`,
  "after others":
    `HTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 103 Hints\nX: z\n\n${OK}X: y\r\nContent-Length: 18\r\n\r\n${TEXT}`,
  "with binary content": `${OK}Content-Length: ${gzipSync(TEXT).length}\r\n\r\n${gzipSync(TEXT).toString("latin1")}`,
  "that stops within its head": `${OK}Content-Le`,
  "that stops within its body": `${OK}Content-Length: 18\r\n\r\n${TEXT.slice(1)}`,
  "without a body": "HTTP/1.1 204 No Content\r\nContent-Length: 18\r\n\r\nwhat is this",
  "that is none": "SSH-2.0-OpenSSH\r\n\r\n",
};

const seed = Math.floor(Math.random() * 2 ** 31);

it.each(Object.entries(ANSWERS))(
  `AnswerParser reads an answer %s alike in whatever pieces it comes (seed ${seed})`,
  (_, text) => {
    const bytes = Buffer.from(text, "latin1");
    const whole = read(bytes, []);
    const random = new Random(seed);
    expect(read(bytes, Array.from(bytes.keys()))).toEqual(whole);
    for (let at = 1; at < bytes.length; at++) expect(read(bytes, [at])).toEqual(whole);
    for (let n = 0; n < 200; n++) {
      const cuts = Array.from({ length: random.between(1, 6) }, () => random.between(1, bytes.length - 1));
      expect(read(bytes, cuts), `cut at ${cuts}`).toEqual(whole);
    }
  },
);

it("AnswerParser tells a whole answer before the connection ends", () => {
  for (const name of ["with a length", "with chunks", "after others", "without a body"]) {
    expect(read(Buffer.from(ANSWERS[name] as string, "latin1"), [], false)).toMatchObject({
      isWhole: true,
      failure: null,
    });
  }
  const endless = Buffer.from(ANSWERS["until the connection ends"] as string);
  expect(read(endless, [], false)).toMatchObject({ isWhole: false, failure: null, fields: ["y z", null, null] });
});

it("AnswerParser refuses an answer of more pieces than any page has", () => {
  const parser = new AnswerParser({ head: () => {}, body: () => {}, end: () => {} });
  expect(parser.push(Buffer.from(`${OK}\r\n`))).toBeNull();
  let failure: Failure | null = null;
  for (let n = 0; n < 10_000; n++) failure ??= parser.push(Buffer.from("x"));
  expect(failure).toEqual(new Failure("body", "the answer comes in more than 10000 pieces"));
});

import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { Socket } from "node:net";
import type { Checked, Order } from "../support/check_runner.ts";
import type { Random } from "../support/random.ts";
import { COMMANDS, denoMissing, runScript } from "../support/runtimes.ts";
import { openSite, type Site } from "../support/site.ts";
import type { OpenTarget, Target } from "./target.ts";

/** Answers of sites: in every form of HTTP, every framing and coding, at any pace, and damaged. */
export const answers: Target = {
  name: "answers",
  about:
    "answers of sites: a whole one is up, and any other gets one verdict with its reason, the same on Node and Deno",
  briefRounds: 3,
  missing: denoMissing,
  open: async (random) => await Answers.open(random),
};

/** The answers of one round. A process of each runtime checks them all at once. */
const ANSWERS = 120;
const TEXT = "All systems normal, says the page";
const PATTERN = "systems normal";
/** Seconds. An answer that never ends makes its round take as long. */
const TIMEOUT = 60;

/** An answer, and the outcome of its check where that is known. */
interface Made {
  readonly bytes: Buffer;
  /** The ends of its pieces. Each piece is sent by itself. */
  readonly cuts: readonly number[];
  /** Null: only that both runtimes say the same. */
  readonly status: number | null;
  /** True for a body in br. Deno's decoder takes some damage in it for content (docs/checks.md). */
  readonly isBrotli: boolean;
}

class Answers implements OpenTarget {
  readonly #random: Random;
  readonly #site: Site;
  #made: readonly Made[] = [];

  private constructor(random: Random, site: (page: (path: string) => Made | undefined) => Site) {
    this.#random = random;
    this.#site = site((path) => this.#made[Number(path.slice(1))]);
  }

  static async open(random: Random): Promise<Answers> {
    let find: (path: string) => Made | undefined = () => undefined;
    const site = await openSite((socket, { path }) => {
      const made = find(path);
      if (made !== undefined) void send(socket, made);
    });
    return new Answers(random, (page) => {
      find = page;
      return site;
    });
  }

  async one(): Promise<void> {
    this.#made = Array.from({ length: ANSWERS }, () => this.#makeUp());
    const targets = this.#made.map((_, at) => ({
      name: String(at),
      line: `http://127.0.0.1:${this.#site.port}/${at} 1h ${PATTERN}`,
      timeout: TIMEOUT,
      blocked: null,
    }));
    const order: Order = { names: {}, targets };
    const [node, deno] = await Promise.all(COMMANDS.map(async ({ command }) => {
      const checked = await runScript<Checked>(command, "check_runner.ts", order);
      return new Map(checked.map((one) => [one.name, verdictOf(one)]));
    }));
    this.#made.forEach(({ bytes, cuts, status, isBrotli }, at) => {
      const [one, other] = [node?.get(String(at)), deno?.get(String(at))];
      const expected = status === null ? one : `${status} up: null`;
      if (one !== undefined && one === other && one === expected) return;
      if (status === null && isBrotli && one?.endsWith("broken")) return;
      const told = `in pieces that end at ${cuts.join()}, in base64: ${bytes.toString("base64")}`;
      throw new Error(`Node says "${one}", Deno "${other}", expected "${expected}" of an answer ${told}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#site[Symbol.asyncDispose]();
  }

  #makeUp(): Made {
    const random = this.#random;
    const { bytes, status, isBrotli } = this.#whole();
    if (random.next() < 0.5) return { bytes, cuts: this.#cuts(bytes), status, isBrotli };
    const damaged = this.#damage(bytes);
    return { bytes: damaged, cuts: this.#cuts(damaged), status: null, isBrotli };
  }

  #cuts(bytes: Buffer): number[] {
    const random = this.#random;
    const count = random.pick([0, 0, 1, 2, 5, 20]);
    return Array.from({ length: count }, () => random.between(1, Math.max(1, bytes.length - 1))).sort((a, b) => a - b);
  }

  /** An answer that curl and browsers read. */
  #whole(): Omit<Made, "cuts"> & { status: number } {
    const random = this.#random;
    const eol = random.next() < 0.2 ? "\n" : "\r\n";
    const status = random.pick([200, 200, 200, 203, 404, 500, 599]);
    const { body, codings } = this.#coded(Buffer.from(TEXT));
    const fields = [
      ...this.#fields(),
      ...codings.length > 0
        ? [`${random.pick(["Content-Encoding", "content-encoding"])}: ${codings.join(random.pick([",", ", "]))}`]
        : [],
    ];
    const framed = this.#framed(body, eol, fields);
    const before = random.pick([
      "",
      "",
      `HTTP/1.1 103 Early Hints${eol}Link: </a>${eol}${eol}`,
      `HTTP/1.1 100 Continue${eol}${eol}`,
    ]);
    const version = random.pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    const reason = random.pick([" OK", "", " \u00fc \u0001", "  two  blanks"]);
    const head = `${before}${version} ${status}${reason}${eol}${random.shuffled(fields).join(eol)}${
      fields.length > 0 ? eol : ""
    }${eol}`;
    const isBrotli = codings.some((coding) => coding.toLowerCase() === "br");
    return { bytes: Buffer.concat([Buffer.from(head, "latin1"), framed]), status, isBrotli };
  }

  #fields(): string[] {
    const random = this.#random;
    const some = [
      "Server: a",
      "X-Empty:",
      "Set-Cookie: a=b; Path=/",
      "X-Folded: a\r\n\tb",
      "X Blank: c",
      "Vary:  *  ",
      `X-Long: ${"y".repeat(9000)}`,
      "Date: Sat, 28 Nov 2026 21:41:55 GMT",
    ];
    return some.filter(() => random.next() < 0.3);
  }

  #coded(content: Buffer): { body: Buffer; codings: string[] } {
    const random = this.#random;
    let body = content;
    const codings: string[] = [];
    const count = random.pick([0, 0, 0, 1, 1, 2, 3]);
    for (let n = 0; n < count; n++) {
      const coding = random.pick(Object.keys(ENCODERS) as (keyof typeof ENCODERS)[]);
      // Several members or frames are one body.
      const at = coding === "gzip" || coding === "zstd" ? random.between(0, body.length) : body.length;
      const parts = at === body.length || at === 0 ? [body] : [body.subarray(0, at), body.subarray(at)];
      body = Buffer.concat(parts.map((part) => ENCODERS[coding](part)));
      codings.push(coding === "raw" ? "deflate" : random.pick([coding, coding.toUpperCase()]));
    }
    if (random.next() < 0.1) codings.splice(random.between(0, codings.length), 0, "identity");
    return { body, codings };
  }

  /** The body behind the head. Adds the fields that tell where it ends. */
  #framed(body: Buffer, eol: string, fields: string[]): Buffer {
    const random = this.#random;
    const kind = random.pick(["length", "length", "chunks", "chunks", "end"]);
    if (kind === "end") return body;
    if (kind === "length") {
      fields.push(
        `Content-Length: ${random.pick([String(body.length), `${body.length}, ${body.length}`, `0${body.length}`])}`,
      );
      return random.next() < 0.2 ? Buffer.concat([body, Buffer.from("and more")]) : body;
    }
    fields.push(`Transfer-Encoding: ${random.pick(["chunked", "Chunked", "identity, chunked"])}`);
    if (random.next() < 0.2) fields.push("Content-Length: 3");
    const pieces: Buffer[] = [];
    for (let at = 0; at < body.length;) {
      const size = random.pick([1, 1, 2, 7, body.length]);
      const part = body.subarray(at, at + size);
      const digits = part.length.toString(16);
      const written = random.pick([digits, digits, digits.toUpperCase(), `00${digits}`, `${digits} `, `${digits};a=b`]);
      pieces.push(Buffer.from(`${written}${eol}`), part, Buffer.from(eol));
      at += part.length;
    }
    const trailers = random.next() < 0.2 ? `X-Sum: 1${eol}X-Other: 2${eol}` : "";
    pieces.push(Buffer.from(`${random.pick(["0", "000", "0;e"])}${eol}${trailers}${eol}`));
    return Buffer.concat(pieces);
  }

  /** Damages something. */
  #damage(bytes: Buffer): Buffer {
    const random = this.#random;
    const at = random.between(0, bytes.length - 1);
    const to = Math.min(bytes.length, at + random.between(1, 20));
    const strange = random.pick([
      "\r\n",
      "\n\n",
      "\0",
      ":",
      " ",
      "zz",
      "\r",
      ";",
      "HTTP/1.1 200 OK\r\n\r\n",
      "ffffffffffffffff",
      "-1",
      "\ufeff",
    ]);
    switch (random.between(0, 5)) {
      case 0:
        return bytes.subarray(0, at);
      case 1:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
      case 2:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from(strange), bytes.subarray(at)]);
      case 3:
        return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
      case 4: {
        const changed = Buffer.from(bytes);
        changed[at] = random.between(0, 255);
        return changed;
      }
      default:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.between(0, bytes.length - 1))]);
    }
  }
}

const ENCODERS = {
  gzip: (bytes: Buffer) => gzipSync(bytes),
  deflate: (bytes: Buffer) => deflateSync(bytes),
  raw: (bytes: Buffer) => deflateRawSync(bytes),
  br: (bytes: Buffer) => brotliCompressSync(bytes),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
} as const;

/** Sends an answer piece by piece, and ends the connection as a server does. */
async function send(socket: Socket, { bytes, cuts }: Made): Promise<void> {
  let start = 0;
  for (const end of [...cuts, bytes.length]) {
    if (socket.destroyed) return;
    if (end > start) socket.write(bytes.subarray(start, end));
    start = Math.max(start, end);
    // The piece must go out by itself.
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
}

/**
 * A body may both break off and fail to decode. Either may be said (docs/checks.md): the decoders
 * notice a fault at different bytes.
 */
const BROKEN =
  /^connection was closed within the body$|^the body does not decode as |^bad chunk size$|^a chunk does not end/;

/** The words of a check that a person reads. */
function verdictOf({ metric }: Checked): string {
  const { status_code, is_valid, error, error_detail } = metric;
  const why = error === "body" && BROKEN.test(error_detail ?? "") ? "broken" : error_detail;
  return `${status_code} ${is_valid ? "up" : "down"}: ${error === null ? null : `${error}, ${why}`}`;
}

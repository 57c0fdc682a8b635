import { type Decoder, openDecoder } from "./decoding.ts";
import type { BodyReader, HttpAnswer } from "./exchange.ts";
import { Failure } from "./failure.ts";
import { GrowingBuffer } from "./growing_buffer.ts";
import { transferCodings } from "./head.ts";
import { Pace, type Turns } from "./pace.ts";
import { wait } from "../async/waits.ts";

/** The most bytes of a body that are read, after decompression. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** The part of a body that was read. */
export interface Body {
  readonly bytes: Buffer;
  /** True where the body is longer than MAX_BODY_BYTES. */
  readonly isCut: boolean;
}

/**
 * Reads and decodes the body of an answer, to its end or to MAX_BODY_BYTES, and closes the
 * connection. A body that breaks off or does not decode is a Failure.
 */
export function readBody(answer: HttpAnswer, turns: Turns, signal: AbortSignal): Promise<Body | Failure> {
  return wait(signal, (done) => {
    const collected = new GrowingBuffer();
    const close = () => {
      answer.close();
      if (typeof decoder === "object") decoder.destroy();
    };
    const end = (outcome: Body | Failure) => {
      done(outcome);
      close();
    };
    const fail = (detail: string) => end(new Failure("body", detail));
    const pace = new Pace(answer, turns);
    const decoder = openDecoder(codingsOf(answer), {
      bytes(bytes) {
        if (collected.length > MAX_BODY_BYTES) return;
        collected.append(bytes);
        if (collected.length > MAX_BODY_BYTES) {
          end({ bytes: collected.bytes.subarray(0, MAX_BODY_BYTES), isCut: true });
        }
      },
      end: () => end({ bytes: collected.bytes, isCut: false }),
      fail,
    }, pace);
    if (typeof decoder === "string") fail(decoder);
    // The bytes before a broken connection are judged first, whenever their decoder is done: they
    // came first.
    else answer.flow(readerOf(decoder, end));
    return close;
  });
}

function readerOf(decoder: Decoder, end: (failure: Failure) => void): BodyReader {
  return {
    bytes: (bytes) => decoder.write(bytes),
    end: () => decoder.end(),
    fail: (failure) => decoder.stop(() => end(failure)),
  };
}

/**
 * The codings to undo, in the order in which they were applied: first the content's, then the
 * transfer's.
 */
function codingsOf({ fields }: HttpAnswer): string[] {
  return [...fields.list("content-encoding"), ...transferCodings(fields).filter((coding) => coding !== "chunked")];
}

import { expect, it } from "vitest";
import { TlsRecords } from "../../lib/check/tls_records.ts";

const record = (length: number) =>
  Buffer.concat([Buffer.of(23, 3, 3, length >> 8, length & 0xff), Buffer.alloc(length)]);
const records = (count: number, length: number) => Buffer.concat(Array<Buffer>(count).fill(record(length)));
/** The first limit that pieces of `size` bytes exceed. */
function takeAll(tls: TlsRecords, bytes: Buffer, size = 1000, isAnswered = false): string | null {
  for (let at = 0; at < bytes.length; at += size) {
    const excess = tls.take(bytes.subarray(at, at + size), isAnswered);
    if (excess !== null) return excess;
  }
  return null;
}

const SHORT = "the server's TLS handshake comes in more than 500 records";

it.each([1, 2, 3, 7, 64_000])("TlsRecords counts the records of a handshake in pieces of %i bytes", (size) => {
  expect(takeAll(new TlsRecords(), records(500, 2), size)).toBeNull();
  expect(takeAll(new TlsRecords(), records(501, 2), size)).toBe(SHORT);
});

it("TlsRecords bounds the bytes of a handshake", () => {
  expect(takeAll(new TlsRecords(), records(5, 16_000))).toBeNull();
  expect(takeAll(new TlsRecords(), records(6, 16_000))).toBe("the server's TLS handshake is longer than 80 KiB");
});

it("TlsRecords bounds what comes between the handshake and the answer, which ends with its first byte", () => {
  const tls = new TlsRecords();
  expect(takeAll(tls, records(400, 100))).toBeNull();
  tls.endHandshake();
  expect(takeAll(tls, records(1000, 250))).toBeNull();
  expect(takeAll(tls, records(100, 250))).toBe("the server sends more than 256 KiB in TLS before the answer");
  const answered = new TlsRecords();
  answered.endHandshake();
  expect(takeAll(answered, records(600, 16_000), 64_000, true)).toBeNull();
});

it("TlsRecords bounds the records of a connection, the handshake's among them, however little is in them", () => {
  const tls = new TlsRecords();
  expect(takeAll(tls, records(100, 1))).toBeNull();
  tls.endHandshake();
  expect(takeAll(tls, records(9_900, 0), 1000, true)).toBeNull();
  expect(takeAll(tls, record(0), 1000, true)).toBe("the server sends more than 10000 TLS records");
});

import { generatePrimeSync } from "node:crypto";

/**
 * A private RSA key in PEM that is made at once, whatever its size: each of its two factors is a
 * product of small primes. It protects nobody, but it signs. Verifying its signatures takes as long
 * as with any key of its size, which is some 30 bits below `bits`.
 */
export function oddRsaKey(bits: number, exponent: "usual" | "huge" = "usual"): string {
  for (;;) {
    const factors = [factorOf(bits / 2), factorOf(bits / 2)] as const;
    const [p, q] = [factors[0].product, factors[1].product];
    const order = factors[0].order * factors[1].order;
    const e = exponent === "usual" ? 65537n : p * q - 2n ** BigInt(bits - 8) | 1n;
    const d = inverse(e, order);
    const coefficient = inverse(q, p);
    if (d === null || coefficient === null) continue;
    const numbers = [0n, p * q, e, d, p, q, d % factors[0].order, d % factors[1].order, coefficient];
    const der = element(0x30, Buffer.concat(numbers.map(integer)));
    const lines = der.toString("base64").replace(/.{64}/g, "$&\n");
    return `-----BEGIN RSA PRIVATE KEY-----\n${lines}\n-----END RSA PRIVATE KEY-----\n`;
  }
}

/** A product of primes, and the product of the same primes less one. */
function factorOf(bits: number): { product: bigint; order: bigint } {
  const primes = Array.from({ length: bits / 256 }, () => generatePrimeSync(256, { bigint: true }));
  return {
    product: primes.reduce((product, prime) => product * prime),
    order: primes.reduce((product, prime) => product * (prime - 1n), 1n),
  };
}

function inverse(value: bigint, modulus: bigint): bigint | null {
  let [before, rest, factorBefore, factor] = [modulus, value % modulus, 0n, 1n];
  while (rest !== 0n) {
    const times = before / rest;
    [before, rest, factorBefore, factor] = [rest, before - times * rest, factor, factorBefore - times * factor];
  }
  return before === 1n ? (factorBefore + modulus) % modulus : null;
}

function integer(value: bigint): Buffer {
  const digits = value.toString(16);
  const bytes = Buffer.from(digits.padStart(digits.length + digits.length % 2, "0"), "hex");
  // The first bit is the sign.
  return element(2, (bytes[0] as number) > 0x7f ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

function element(tag: number, contents: Buffer): Buffer {
  const { length } = contents;
  const size = length < 0x80
    ? Buffer.of(length)
    : length < 0x100
    ? Buffer.of(0x81, length)
    : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), size, contents]);
}

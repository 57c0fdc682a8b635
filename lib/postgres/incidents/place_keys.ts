/** Places that are numbered at most. More of them take the longer way. */
const MOST = 500_000;
/** Bytes of all of them, at most. */
const MOST_BYTES = 128 * 1024 * 1024;
/** An odd number whose bits look random: the golden ratio, as a part of 2 to the power of 32. */
const MULTIPLIER = 0x9e3779b1;
/** Bytes of a place, about. */
const TYPICAL = 64;
/** Places for which there is room at first: a power of two. */
const FIRST = 1024;

/**
 * Numbers each pair of an address and a location, as it stands in messages. It is found by its
 * bytes: nearly every check is of a known one, and no text is made for that. All of them lie in a
 * few large pieces of memory, so that a search touches little.
 */
export class PlaceKeys {
  /** By their numbers. */
  readonly addresses: string[] = [];
  readonly locations: (string | null)[] = [];
  /** Number + 1 of the pair that was asked for last; 0: it has none. */
  #last = 0;
  /** Number + 1 of what came behind each the last time: checks come in nearly the same order again. */
  #nexts = new Int32Array(FIRST + 1);
  /** Number + 1 by hash; 0: free. It is at most half full. */
  #table = new Int32Array(2 * FIRST);
  #hashes = new Int32Array(FIRST);
  /** Where the bytes of each begin; those of the last end where the next would begin. */
  #starts = new Int32Array(FIRST + 1);
  #bytes = Buffer.allocUnsafeSlow(FIRST * TYPICAL);

  /**
   * The number of a pair. `places` has where the JSON text of each begins and ends in the document,
   * from `address` and from `location` on. -1: there are too many.
   */
  numberOf(document: Uint8Array, places: Int32Array, address: number, location: number): number {
    const [from, to] = [places[address] as number, places[address + 1] as number];
    const [fromNext, toNext] = [places[location] as number, places[location + 1] as number];
    const guess = (this.#nexts[this.#last] as number) - 1;
    if (guess >= 0 && this.#is(guess, document, from, to, fromNext, toNext)) {
      this.#last = guess + 1;
      return guess;
    }
    const hash = hashOf(document, fromNext, toNext, hashOf(document, from, to, MULTIPLIER));
    const number = this.#find(hash, document, from, to, fromNext, toNext) ??
      this.#add(hash, document.subarray(from, to), document.subarray(fromNext, toNext));
    this.#nexts[this.#last] = number + 1;
    this.#last = number + 1;
    return number;
  }

  #find(
    hash: number,
    document: Uint8Array,
    from: number,
    to: number,
    fromNext: number,
    toNext: number,
  ): number | null {
    const mask = this.#table.length - 1;
    let place = hash & mask;
    for (let found = this.#table[place] as number; found > 0; found = this.#table[place] as number) {
      const number = found - 1;
      if (this.#hashes[number] === hash && this.#is(number, document, from, to, fromNext, toNext)) return number;
      place = place + 1 & mask;
    }
    return null;
  }

  /** True if a number is that of this pair. */
  #is(number: number, document: Uint8Array, from: number, to: number, fromNext: number, toNext: number): boolean {
    const start = this.#starts[number] as number;
    return (this.#starts[number + 1] as number) - start === to - from + toNext - fromNext &&
      this.#holds(start, document, from, to) && this.#holds(start + to - from, document, fromNext, toNext);
  }

  #holds(at: number, document: Uint8Array, start: number, end: number): boolean {
    const bytes = this.#bytes;
    for (let i = start; i < end; i++) if (bytes[at + i - start] !== document[i]) return false;
    return true;
  }

  #add(hash: number, address: Uint8Array, location: Uint8Array): number {
    const number = this.addresses.length;
    const start = this.#starts[number] as number;
    const end = start + address.length + location.length;
    if (number === MOST || end > MOST_BYTES) return -1;
    if (number === this.#hashes.length) this.#grow();
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], 2 * end);
    this.#bytes.set(address, start);
    this.#bytes.set(location, start + address.length);
    this.#starts[number + 1] = end;
    this.#hashes[number] = hash;
    this.addresses.push(JSON.parse(this.#bytes.toString("utf8", start, start + address.length)));
    this.locations.push(JSON.parse(this.#bytes.toString("utf8", start + address.length, end)));
    this.#enter(number);
    return number;
  }

  #enter(number: number): void {
    const hash = this.#hashes[number] as number;
    const mask = this.#table.length - 1;
    let place = hash & mask;
    while (this.#table[place] !== 0) place = place + 1 & mask;
    this.#table[place] = number + 1;
  }

  #grow(): void {
    const [hashes, starts, nexts] = [this.#hashes, this.#starts, this.#nexts];
    this.#hashes = new Int32Array(2 * hashes.length);
    this.#hashes.set(hashes);
    this.#starts = new Int32Array(2 * hashes.length + 1);
    this.#starts.set(starts);
    this.#nexts = new Int32Array(2 * hashes.length + 1);
    this.#nexts.set(nexts);
    this.#table = new Int32Array(4 * hashes.length);
    for (let number = 0; number < this.addresses.length; number++) this.#enter(number);
  }
}

/** A hash that goes on from another one. Four bytes at a time: each step waits for the one before. */
function hashOf(document: Uint8Array, start: number, end: number, before: number): number {
  const byte = (i: number) => document[i] as number;
  let hash = before;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    hash = mixed(hash ^ (byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24));
  }
  for (; i < end; i++) hash = mixed(hash ^ byte(i));
  return hash;
}

/** Multiplication carries bits up only: the shift brings some down. */
function mixed(hash: number): number {
  const product = Math.imul(hash, MULTIPLIER);
  return product ^ product >>> 15;
}

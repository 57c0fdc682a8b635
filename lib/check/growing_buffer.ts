/**
 * Bytes that come in pieces, in one buffer that doubles when it is full. So many small pieces cost
 * no object each.
 */
export class GrowingBuffer {
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** All bytes so far; valid until the next `append`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The first piece is taken without a copy: most answers come in one piece. */
  append(piece: Buffer): void {
    if (this.#length === 0) this.#bytes = piece;
    else {
      const length = this.#length + piece.length;
      if (length > this.#bytes.length) {
        const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.#bytes.length, 4096));
        this.#bytes.copy(larger, 0, 0, this.#length);
        this.#bytes = larger;
      }
      piece.copy(this.#bytes, this.#length);
    }
    this.#length += piece.length;
  }
}

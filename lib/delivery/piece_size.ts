import type { OutgoingMessage } from "../kafka/kafka.ts";

/** Pieces of the full size that must pass in a row before a larger one is tried. */
const PASSES = 16;
/**
 * Bytes beyond which a piece has no limit any more: more than a broker usually takes in a batch.
 */
const ENOUGH = 4 * 1024 * 1024;

/** Bytes of a message as it is sent, before compression. */
export function bytesOfMessage({ key, value }: OutgoingMessage): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}

/**
 * How much goes to the topic at a time. Asking for the topic's limit takes a right of its own, so
 * it is learned. It is halved when a batch was refused, and doubled after many passed.
 */
export class PieceSize {
  #most = Infinity;
  #passed = 0;
  /**
   * The size of the smallest message that was refused by itself. Others as large go alone, so that
   * no piece is split for their sake.
   */
  #tooLarge = Infinity;

  /** Cuts messages into pieces of that size, in their order. */
  cut(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
    const pieces: OutgoingMessage[][] = [];
    let room = 0;
    for (const message of messages) {
      const size = bytesOfMessage(message);
      const isAlone = size >= this.#tooLarge;
      if (pieces.length === 0 || isAlone || size > room) {
        pieces.push([]);
        room = this.#most;
      }
      pieces.at(-1)?.push(message);
      room = isAlone ? 0 : room - size;
    }
    return pieces;
  }

  /** The topic has taken a piece. */
  pass(piece: readonly OutgoingMessage[]): void {
    const isFull = this.#most < Infinity && totalSize(piece) > this.#most / 2;
    if (!isFull || ++this.#passed < PASSES) return;
    this.#passed = 0;
    this.#most = this.#most * 2 > ENOUGH ? Infinity : this.#most * 2;
  }

  /**
   * The topic has refused these messages of one piece, at least two, for their size. Gives them in
   * smaller pieces.
   */
  refuse(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
    this.#passed = 0;
    this.#most = totalSize(messages) / 2;
    return this.cut(messages);
  }

  /**
   * The topic has refused a message by itself. So that message caused the earlier refusals, not the
   * size of the piece.
   */
  refuseAlone(message: OutgoingMessage): void {
    this.#tooLarge = Math.min(this.#tooLarge, bytesOfMessage(message));
    this.#passed = 0;
    this.#most = Infinity;
  }
}

/** Cuts a piece of at least two messages in two. */
export function halves(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
  const middle = Math.ceil(messages.length / 2);
  return [messages.slice(0, middle), messages.slice(middle)];
}

function totalSize(messages: readonly OutgoingMessage[]): number {
  return messages.reduce((total, message) => total + bytesOfMessage(message), 0);
}

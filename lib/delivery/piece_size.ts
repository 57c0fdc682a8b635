import type { OutgoingMessage } from "../kafka/kafka.ts";

/** Pieces of the full size that must pass in a row before a larger one is tried. */
const PASSES = 16;
/** Bytes beyond which the size of a piece is no limit any more: more than a broker takes in a batch, as a rule. */
const ENOUGH = 4 * 1024 * 1024;

/** Bytes of a message as it is sent, before they are compressed. */
export function bytesOfMessage({ key, value }: OutgoingMessage): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}

/**
 * How much goes to the topic at a time. The topic's limit is not asked for, which takes a right of
 * its own, but learned: it is halved where a batch was refused, and doubled where many passed.
 */
export class PieceSize {
  #most = Infinity;
  #passed = 0;
  /**
   * The smallest message that was refused by itself: others as large go alone, so that they do not
   * split what they are in.
   */
  #tooLarge = Infinity;

  /** Messages in their order, in pieces of that size. */
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

  /** It has refused these, of one piece, for their size: at least two. Gives them in smaller pieces. */
  refuse(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
    this.#passed = 0;
    this.#most = totalSize(messages) / 2;
    return this.cut(messages);
  }

  /** It has refused one by itself: that one was to blame for what was refused before, not the size of the piece. */
  refuseAlone(message: OutgoingMessage): void {
    this.#tooLarge = Math.min(this.#tooLarge, bytesOfMessage(message));
    this.#passed = 0;
    this.#most = Infinity;
  }
}

/** Two pieces of a piece of at least two messages. */
export function halves(messages: readonly OutgoingMessage[]): OutgoingMessage[][] {
  const middle = Math.ceil(messages.length / 2);
  return [messages.slice(0, middle), messages.slice(middle)];
}

function totalSize(messages: readonly OutgoingMessage[]): number {
  return messages.reduce((total, message) => total + bytesOfMessage(message), 0);
}

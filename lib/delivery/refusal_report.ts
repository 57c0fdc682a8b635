import type { Refusal } from "../kafka/kafka.ts";

/** Metrics that are told of one by one in a period, and milliseconds of that period. */
const MOST_TOLD = 10;
const PERIOD = 60_000;
/** Characters of an address in a line: some addresses have thousands. */
const ADDRESS_LENGTH = 200;

/** Tells a person what happens to metrics that a topic refuses. */
export class RefusalReport {
  readonly #say: (text: string) => void;
  readonly #now: () => number;
  readonly #said = new Set<string>();
  #since = -Infinity;
  #told = 0;

  /** `now` gives milliseconds of any clock. */
  constructor(say: (text: string) => void, now: () => number = () => performance.now()) {
    this.#say = say;
    this.#now = now;
  }

  /** A batch was too large. Told once. */
  splits({ name }: Refusal): void {
    this.#sayOnce(
      name,
      `The topic takes no batch of metrics that is so large (${name}): they are sent in smaller ones; to send them faster raise ` +
        `the topic's max.message.bytes`,
    );
  }

  /** The time of messages was refused. Told once. */
  retimes({ name }: Refusal): void {
    this.#sayOnce(
      name,
      `The topic does not take the times of the checks for its messages (${name}): it gets those of sending, and the metrics ` +
        `keep theirs; look at this machine's clock and the topic's message.timestamp.before.max.ms and .after.max.ms`,
    );
  }

  /** A text of a metric was cut. */
  shortens(address: string, text: string, { name }: Refusal): void {
    this.#sayOne(`The metric of ${shown(address)} is too large for the topic (${name}): its ${text} was cut`);
  }

  /** A metric was left out. */
  drops(address: string, refusal: Refusal, size: number): void {
    this.#sayOne(
      `The metric of ${shown(address)} is dropped: Kafka refuses it (${described(refusal, size)})${advice(refusal)}`,
    );
  }

  /** The line to say if no metric is taken at all. */
  refusesAll(refusal: Refusal, size: number): string {
    return `Kafka refuses every metric (${described(refusal, size)}): they wait${advice(refusal)}`;
  }

  #sayOnce(what: string, text: string): void {
    if (this.#said.has(what)) return;
    this.#said.add(what);
    this.#say(text);
  }

  /**
   * Says a full line for each of the first metrics of a period. Later it says the number of the
   * others.
   */
  #sayOne(text: string): void {
    const now = this.#now();
    const unsaid = this.#told - MOST_TOLD;
    const isNew = now - this.#since >= PERIOD;
    if (isNew) [this.#since, this.#told] = [now, 0];
    if (++this.#told > MOST_TOLD) return;
    this.#say(isNew && unsaid > 0 ? `${text}; the same with ${unsaid} more before` : text);
  }
}

function shown(address: string): string {
  return address.length > ADDRESS_LENGTH ? `${address.slice(0, ADDRESS_LENGTH).toWellFormed()}...` : address;
}

function described({ name, remedy }: Refusal, size: number): string {
  return remedy === "split" ? `${name}, ${size} bytes before compression` : name;
}

function advice({ remedy }: Refusal): string {
  return remedy === "split" ? "; raise the topic's max.message.bytes" : "; look at the topic's settings";
}

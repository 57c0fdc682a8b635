import type { Listener } from "./kafka.ts";

/** How either library says that certificates are the cause. */
const CERTIFICATES = /certificate|SSL alert|fatal alert/i;

/**
 * Tells a listener of each trouble once, and again only after it worked in between. One trouble is
 * told in any case: a broker that was away is back, and refuses certificates, which a person has to
 * mend.
 */
export class StatusReporter {
  readonly #listener: Listener;
  #said = false;
  #saidCertificates = false;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Something does not work. Says nothing where something already did not. */
  report(what: string): void {
    const isNews = CERTIFICATES.test(what) && !this.#saidCertificates;
    if (this.#said && !isNews) return;
    this.#said = true;
    this.#saidCertificates ||= isNews;
    this.#listener(what, true);
  }

  /**
   * Something is not as it should be, and it works all the same. Says nothing where it does not
   * work.
   */
  remark(what: string): void {
    if (!this.#said) this.#listener(what, false);
  }

  /** It works. */
  settle(what: string): void {
    if (this.#said) this.#listener(what, false);
    this.#said = this.#saidCertificates = false;
  }
}

/** Why no broker answers, for a person; and the end of that. */
export function notAnswering(why: string): string {
  return `Kafka does not answer (${why}): trying again; is KAFKA_BOOTSTRAP_SERVERS (--kafka-bootstrap-servers) right?`;
}
export const ANSWERING = "Kafka answers";

/** Why no messages come. */
export function notGiving(why: string): string {
  return `Kafka gives no messages (${why}): trying again`;
}
export const GIVING = "Kafka gives messages again";

/** Why messages wait. */
export function notTaking(why: string): string {
  return `Kafka does not take messages (${why}): trying again`;
}
export const TAKING = "Kafka takes messages again";

/** Why a producer does not hear from its group; and the end of that. */
export function notInGroup(group: string, why: string): string {
  return `Kafka does not answer for the group ${group} (${why}): trying again`;
}
export function inGroup(group: string): string {
  return `Kafka answers for the group ${group} again`;
}

/** Milliseconds without a confirmation until that is told; nothing else happens then. */
const SLOW_DELIVERY = 10_000;

/**
 * Waits for a confirmation, and tells of one that is slow: a library that tries again says nothing.
 */
export async function reportingIfSlow<T>(confirmation: Promise<T>, status: StatusReporter): Promise<T> {
  const seconds = SLOW_DELIVERY / 1000;
  const tell = () => status.report(notTaking(`no confirmation for ${seconds} s`));
  const timer = setTimeout(tell, SLOW_DELIVERY);
  try {
    return await confirmation;
  } finally {
    clearTimeout(timer);
  }
}

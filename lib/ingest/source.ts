import { randomUUID } from "node:crypto";
import { addAbortListener } from "node:events";
import process from "node:process";
import type { Health } from "../async/health.ts";
import { until } from "../async/waits.ts";
import type { ConsumerSettings } from "../config/settings.ts";
import { describeTopic, kafkaAccess, openHealthily } from "../kafka/access.ts";
import type { KafkaConsumer, Listener } from "../kafka/kafka.ts";
import type { CertificateStore } from "../net/certificate_store.ts";
import type { Store } from "../postgres/store.ts";
import { LineConsumer } from "./line_consumer.ts";

/** Seconds that input is still read after a SIGINT. */
const INPUT_LIMIT = 6;

/** When a program must end; see program.ts. */
interface Stop {
  readonly stop: AbortSignal;
  afterStop(seconds: number): AbortSignal;
}

/** A source of metrics that is ready to open: settings and files have been checked. */
export interface SourcePlan {
  /** A description for a person. */
  readonly description: string;
  /** The certificates for its connections; null if it has none. */
  readonly certificateStore: CertificateStore | null;
  /** True if messages that are not stored can be read again. */
  readonly isLasting: boolean;
  /**
   * Opens the source, and waits for a broker that is away. Null if the program was told to stop
   * first. `health` hears whether the broker can be reached.
   */
  open(listener: Listener, health: Health, program: Stop): Promise<KafkaConsumer | null>;
  /** Called after the last metric is stored. */
  finish(store: Store): Promise<void>;
}

/** The source that the settings name. Throws a `UsageError` if files or client are unusable. */
export async function planSource({ kafka }: ConsumerSettings): Promise<SourcePlan> {
  if (kafka === null) return standardInput();
  const access = await kafkaAccess(kafka);
  const options = { ...access.options, group: kafka.group, start: kafka.start };
  return {
    description: `${describeTopic(access)}, group ${kafka.group}`,
    certificateStore: access.certificateStore,
    isLasting: true,
    async open(listener, health, { stop }) {
      try {
        return await openHealthily((listen) => access.client.openConsumer(options, listen, stop), listener, health);
      } catch (error) {
        if (stop.aborted) return null;
        throw error;
      }
    },
    finish: () => Promise.resolve(),
  };
}

function standardInput(): SourcePlan {
  const topicId = `stdin-${randomUUID()}`;
  return {
    description: "standard input",
    certificateStore: null,
    isLasting: false,
    open: (_listener, _health, program) =>
      Promise.resolve(new LineConsumer(until(process.stdin, endOfInput(program)), topicId)),
    // Every run is new input: nobody would ask for its mark again.
    finish: (store) => store.marks.forget({ topic: "stdin", topicId }),
  };
}

/**
 * The signal at which input ends. Ctrl-C reaches both ends of a pipe: after a SIGINT the other end
 * still has something to say. A person at a terminal has not.
 */
function endOfInput({ stop, afterStop }: Stop): AbortSignal {
  const terminated = new AbortController();
  const onStop = () => (stop.reason === "SIGINT" && !process.stdin.isTTY) || terminated.abort();
  addAbortListener(stop, onStop);
  return AbortSignal.any([terminated.signal, afterStop(INPUT_LIMIT)]);
}

import type { Refusal } from "./kafka.ts";

/**
 * What to do with messages that a broker, or the client's library, did not take. `wait`: send them
 * again as they are. `renew`: the same, under a new producer id. `split`: send them in smaller
 * batches; a message that is alone is too large. `retime`: send them with another time. `drop`:
 * find the message that is refused, and leave it out. `stop`: only a person can mend it.
 */
export type ProduceRemedy = "wait" | "renew" | "stop" | Refusal["remedy"];

/** An error of a produce request, by the name that Kafka's protocol or librdkafka has for it. */
export interface ProduceError {
  readonly name: string;
  readonly remedy: ProduceRemedy;
  /** The rest of what the broker or the library said, for a person. */
  readonly detail: string;
}

/**
 * The errors that a produce request may get:
 * https://kafka.apache.org/protocol.html#protocol_error_codes. The negative ones below -1 are
 * librdkafka's own (`rd_kafka_resp_err_t`). An error that is not here waits, and is told.
 */
export const PRODUCE_ERRORS: Readonly<Record<string, readonly [code: number, remedy: ProduceRemedy]>> = {
  // The broker is about to change, or to come back.
  UNKNOWN_SERVER_ERROR: [-1, "wait"],
  CORRUPT_MESSAGE: [2, "wait"],
  UNKNOWN_TOPIC_OR_PARTITION: [3, "wait"],
  LEADER_NOT_AVAILABLE: [5, "wait"],
  NOT_LEADER_OR_FOLLOWER: [6, "wait"],
  REQUEST_TIMED_OUT: [7, "wait"],
  BROKER_NOT_AVAILABLE: [8, "wait"],
  REPLICA_NOT_AVAILABLE: [9, "wait"],
  NETWORK_EXCEPTION: [13, "wait"],
  COORDINATOR_LOAD_IN_PROGRESS: [14, "wait"],
  COORDINATOR_NOT_AVAILABLE: [15, "wait"],
  NOT_COORDINATOR: [16, "wait"],
  NOT_ENOUGH_REPLICAS: [19, "wait"],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: [20, "wait"],
  INVALID_REQUEST: [42, "wait"],
  CONCURRENT_TRANSACTIONS: [51, "wait"],
  KAFKA_STORAGE_ERROR: [56, "wait"],
  FENCED_LEADER_EPOCH: [74, "wait"],
  UNKNOWN_LEADER_EPOCH: [75, "wait"],
  THROTTLING_QUOTA_EXCEEDED: [89, "wait"],
  UNKNOWN_TOPIC_ID: [100, "wait"],
  INCONSISTENT_TOPIC_ID: [103, "wait"],
  // The broker no longer knows this producer, or knows another one under its id.
  OUT_OF_ORDER_SEQUENCE_NUMBER: [45, "renew"],
  INVALID_PRODUCER_EPOCH: [47, "renew"],
  INVALID_TXN_STATE: [48, "renew"],
  INVALID_PRODUCER_ID_MAPPING: [49, "renew"],
  UNKNOWN_PRODUCER_ID: [59, "renew"],
  PRODUCER_FENCED: [90, "renew"],
  // The messages cannot stay as they are. A broker appends nothing of a batch that it refuses so.
  MESSAGE_TOO_LARGE: [10, "split"],
  RECORD_LIST_TOO_LARGE: [18, "split"],
  INVALID_TIMESTAMP: [32, "retime"],
  POLICY_VIOLATION: [44, "drop"],
  INVALID_RECORD: [87, "drop"],
  // The set-up.
  INVALID_TOPIC_EXCEPTION: [17, "stop"],
  INVALID_REQUIRED_ACKS: [21, "stop"],
  TOPIC_AUTHORIZATION_FAILED: [29, "stop"],
  CLUSTER_AUTHORIZATION_FAILED: [31, "stop"],
  UNSUPPORTED_SASL_MECHANISM: [33, "stop"],
  ILLEGAL_SASL_STATE: [34, "stop"],
  UNSUPPORTED_VERSION: [35, "stop"],
  UNSUPPORTED_FOR_MESSAGE_FORMAT: [43, "stop"],
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: [53, "stop"],
  SECURITY_DISABLED: [54, "stop"],
  SASL_AUTHENTICATION_FAILED: [58, "stop"],
  UNSUPPORTED_COMPRESSION_TYPE: [76, "stop"],
  // librdkafka: its queues, its time, its connections. Another client sends the messages that it
  // gives up.
  _BAD_MSG: [-199, "wait"],
  _BAD_COMPRESSION: [-198, "stop"],
  _DESTROY: [-197, "wait"],
  _TRANSPORT: [-195, "wait"],
  _MSG_TIMED_OUT: [-192, "wait"],
  _UNKNOWN_PARTITION: [-190, "wait"],
  _UNKNOWN_TOPIC: [-188, "stop"],
  _ALL_BROKERS_DOWN: [-187, "wait"],
  _TIMED_OUT: [-185, "wait"],
  _QUEUE_FULL: [-184, "wait"],
  _ISR_INSUFF: [-183, "wait"],
  _STATE: [-172, "wait"],
  _AUTHENTICATION: [-169, "stop"],
  _TIMED_OUT_QUEUE: [-166, "wait"],
  _UNSUPPORTED_FEATURE: [-165, "stop"],
  _RETRY: [-153, "wait"],
  _PURGE_QUEUE: [-152, "wait"],
  _PURGE_INFLIGHT: [-151, "wait"],
  _FATAL: [-150, "renew"],
  _GAPLESS_GUARANTEE: [-148, "renew"],
  _FENCED: [-144, "renew"],
};

/** The broker has this batch already, by its number: the answer to the first request was lost. */
export const DUPLICATE_SEQUENCE_NUMBER = 46;

const BY_CODE = new Map(Object.entries(PRODUCE_ERRORS).map(([name, [code, remedy]]) => [code, { name, remedy }]));

/** An error by its code. An unknown code, or none, waits. */
export function produceError(code: number | undefined, detail: string): ProduceError {
  const known = code === undefined ? undefined : BY_CODE.get(code);
  const name = code === undefined ? "" : `error ${code}`;
  return { ...known ?? { name, remedy: "wait" as const }, detail };
}

/** An error for a person: its name, and the detail where that says more. */
export function describeError({ name, detail }: Pick<ProduceError, "name" | "detail">): string {
  return name === "" || detail === "" || detail.includes(name) ? detail || name : `${name}: ${detail}`;
}

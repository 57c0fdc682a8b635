import type { Compression, Login, Start } from "../config/setting_types.ts";
import type { LiveKeyMaterial } from "../net/tls.ts";

/** How to reach a Kafka cluster and a topic of it. */
export interface KafkaOptions {
  /** `host:port`, one or more. */
  readonly bootstrapServers: readonly string[];
  readonly topic: string;
  /** None: plain TCP. An empty object: TLS with the system's CAs. */
  readonly tls?: LiveKeyMaterial;
  /** None: no login, but for a certificate. */
  readonly sasl?: Login;
}

/** What a producer needs beside how to reach the topic. */
export interface ProducerOptions extends KafkaOptions {
  /** Creates a missing topic with so many partitions; null: the topic must exist. */
  readonly partitions: number | null;
  /** Absent: LZ4. */
  readonly compression?: Compression;
}

/** What a consumer needs beside how to reach the topic. */
export interface ConsumerOptions extends KafkaOptions {
  readonly group: string;
  readonly start: Start;
}

export interface OutgoingMessage {
  readonly key: string;
  readonly value: string;
  /** Milliseconds since 1970; -1: none. */
  readonly timestamp: number;
}

export interface KafkaProducer extends AsyncDisposable {
  /**
   * Sends messages in order, but for those of a batch that is refused. Resolves when every in-sync
   * replica has all of them. Waits without a bound where waiting helps: the client that has sent a
   * message keeps it, and makes no second one of it. Rejects with a `DeliveryError`, which holds
   * the messages that the broker has not confirmed: it refuses them, or the client cannot go on.
   * Rejects with a `KafkaSetupError` where only a person can help. One call at a time.
   */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
}

export interface IncomingMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** The epoch of the leader that wrote it. Absent or null: not known. */
  readonly epoch?: number | null;
  /**
   * From this offset up to the message's own, the log has a hole: no message. The client has seen
   * that in the log itself. Absent: it has seen no hole before this message.
   */
  readonly since?: number;
  /**
   * How many bytes key and value have in the topic, if that is more than `KEPT_BYTES`: the message
   * has only their beginning then.
   */
  readonly keyLength?: number;
  readonly valueLength?: number;
  /**
   * Present where this stands for messages that could not be read: `offset` is that of the last of
   * them.
   */
  readonly unreadable?: Unreadable;
}

/**
 * Bytes of a key, and of a value, that a consumer keeps: as much as the longest document that can
 * be a metric.
 */
export const KEPT_BYTES = 1024 * 1024;

/** Messages of a batch that could not be read. */
export interface Unreadable {
  /** The offset of the first of them. */
  readonly first: number;
  /** For a person. */
  readonly why: string;
}

/**
 * The partitions that the group gave to this consumer. Offsets are those of the log at that time.
 */
export interface Assignment {
  readonly topic: string;
  /**
   * The topic's id as 32 hexadecimal digits, the same from either client; `cluster-id/topic` where
   * the broker has none.
   */
  readonly topicId: string;
  readonly partitions: readonly AssignedPartition[];
  /**
   * Where `--kafka-start` says to begin in ALL partitions of the topic. It counts only for a topic
   * whose name has no mark; any other partition begins at its first message. Absent where the
   * setting says the first message. May reject; the reading is then tried again.
   */
  readonly firstStarts?: () => Promise<Positions>;
}

export interface AssignedPartition {
  readonly partition: number;
  /** The first offset that the log still holds: where a partition without a mark is read from. */
  readonly logStart: number;
  /** The offset that the next message written will get. */
  readonly logEnd: number;
  /** Where the log was cut since it was last read, if the last reading heard that it was. */
  readonly cut?: LogCut;
}

/** Partition → the offset of the message to read next. */
export type Positions = ReadonlyMap<number, number>;

/**
 * A place in the log of a partition, and what stands before it. Two logs with the same epoch before
 * the same offset hold the same messages up to there (KIP-320).
 */
export interface LogPosition {
  /** The offset of the message to read next. */
  readonly offset: number;
  /** The epoch of the leader that wrote the message before it; null where that is not known. */
  readonly epoch: number | null;
}

/** Partition → the place to read from. */
export type LogPositions = ReadonlyMap<number, LogPosition>;

/**
 * A log that a broker has cut below a place that was read. The messages between are gone, and it
 * may hold other ones there now.
 */
export interface LogCut {
  /**
   * The place that was read, and that the log no longer leads to. It says nothing of any other one.
   */
  readonly from: LogPosition;
  /** The place up to which the log is still the same; not below `from` where nobody can say. */
  readonly to: LogPosition;
}

/**
 * One uninterrupted read of one assignment, from given positions. `messages` ends when the group
 * changes the assignment, when the connection is lost beyond the client's own retries, or when the
 * consumer stops; the next reading begins where `FindPositions` says then. Leaving the loop over
 * `messages` early has the same effect: it asks for a new reading.
 */
export interface ConsumerSession {
  readonly assignment: Assignment;
  readonly positions: LogPositions;
  /**
   * They come as they arrive, several at a time: handed over one by one, they would take as long as
   * to decode.
   */
  readonly messages: AsyncIterable<readonly IncomingMessage[]>;
  /** Where the log of each partition ends now, for how much is left to read. */
  readonly logEnds?: () => Promise<Positions>;
  /** True where gaps between offsets mean nothing: lines of a text, without the blank ones. */
  readonly sparse?: boolean;
  /**
   * Asks the brokers once more, in another way than the messages came, whether the log has a hole:
   * no message from offset `from` to `to` (not included). Rejects where they cannot be asked.
   * Absent: there is no other way.
   */
  readonly isHole?: (partition: number, from: number, to: number) => Promise<boolean>;
}

/**
 * Asked for each assignment, before anything is read: where to read each of its partitions from.
 */
export type FindPositions = (assignment: Assignment) => Promise<LogPositions>;

export interface KafkaConsumer extends AsyncDisposable {
  /**
   * Joins the group and gives one reading after the other until `signal` aborts; then the reading
   * under way ends, and so do the readings. Waits, with back-off, for a broker that is away. Throws
   * `KafkaSetupError` for what waiting cannot mend, and whatever `find` throws.
   */
  readings(find: FindPositions, signal: AbortSignal): AsyncIterable<ConsumerSession>;
  /**
   * Tells the group how far it is, as a hint for people and tools: the marks in the database
   * decide. Never throws.
   */
  commit(positions: LogPositions): Promise<void>;
}

/** Which partitions of the topic a member of a group of producers holds, as the group says. */
export interface GroupDivision {
  readonly held: readonly number[];
  /** All partitions of the topic, as the whole group counts them. */
  readonly partitions: number;
  readonly members: readonly GroupPeer[];
  /** Partitions that nobody holds yet: they are on their way from one member to another. */
  readonly free: readonly number[];
  /** Keys that members have named as removed: those that fit. */
  readonly removed: readonly string[];
  /**
   * When the number of partitions last became another one, as far as the members know: milliseconds
   * since 1970, 0 where it never did.
   */
  readonly grownAt: number;
}

/** A producer of a group, as it tells the others. */
export interface GroupPeer {
  readonly name: string;
  /** The digest of its hosts file. */
  readonly digest: string;
}

/** What a member says of itself when it joins. */
export interface GroupIntroduction extends GroupPeer {
  /** Keys that have left its hosts file, of which that is not told yet. */
  readonly removed: readonly string[];
}

/** The state of a membership. */
export interface GroupFigures {
  /** Partitions that this member holds. */
  readonly held: number;
  /** Partitions that it was given since the start. */
  readonly given: number;
  /** Seconds since the group was last heard; null where this program is no member. */
  readonly silence: number | null;
}

/** Hears what the group says. */
export interface GroupListener {
  /** What this member tells the others when it joins. */
  introduce(): GroupIntroduction;
  /**
   * The group has divided the topic anew; null: this member is out, and holds nothing. Resolves when
   * what it holds no longer may go to others.
   */
  divide(division: GroupDivision | null): Promise<void>;
  /**
   * This member is out, and was cut off before. It goes on with what it holds until the group has
   * divided the topic anew.
   */
  goOn(): void;
}

/** A group of producers that divide the partitions of the topic among them. */
export interface ProducerGroup {
  /**
   * Is a member until `stop` aborts, and then leaves. Waits for brokers that are away. Rejects with
   * a `KafkaSetupError` for what waiting cannot mend.
   */
  stay(listener: GroupListener, stop: AbortSignal): Promise<void>;
  /** Asks the group for a new division, as what this member says of itself has changed. */
  introduceAgain(): void;
  /**
   * True where the member may act on what it holds: the group has heard from it lately, or no broker
   * answers at all. Never for what others may hold by now.
   */
  mayAct(): boolean;
  readonly figures: GroupFigures;
  /** The partition of a message with this key, of so many. */
  partitionOf(key: string, partitions: number): number;
  /**
   * The messages of partitions from so many milliseconds before the newest one up to the present
   * end. Rejects when `signal` aborts.
   */
  readTail(
    partitions: readonly number[],
    window: number,
    signal: AbortSignal,
  ): AsyncIterable<readonly IncomingMessage[]>;
}

/**
 * The client of one library. Opening waits for a broker that is away, and rejects when `signal`
 * aborts first.
 */
export interface KafkaClient {
  readonly name: "librdkafka" | "javascript";
  /** The ones that it was built with. */
  readonly compressions: readonly Compression[];
  openProducer(options: ProducerOptions, listener: Listener, signal: AbortSignal): Promise<KafkaProducer>;
  openConsumer(options: ConsumerOptions, listener: Listener, signal: AbortSignal): Promise<KafkaConsumer>;
}

/**
 * Hears what a person wants to know while the client waits or mends itself: one line, without a
 * secret, once per cause. `isTrouble` is false where the line says that it works again.
 */
export type Listener = (event: string, isTrouble: boolean) => void;

/**
 * No waiting mends this: a missing topic, a refused certificate, a missing right. It says what to
 * look at.
 */
export class KafkaSetupError extends Error {
  override name = "KafkaSetupError";
}

/**
 * Why a broker does not take a message as it is, or as one of its batch. It is not in the topic.
 */
export interface Refusal {
  /** The broker's name for it, such as MESSAGE_TOO_LARGE. */
  readonly name: string;
  readonly remedy: "split" | "retime" | "drop";
}

/**
 * Messages that no broker has confirmed. They may be in the topic or not; the `refused` ones are
 * not.
 */
export class DeliveryError extends Error {
  override name = "DeliveryError";
  readonly undelivered: readonly OutgoingMessage[];
  readonly refused: ReadonlyMap<OutgoingMessage, Refusal>;
  constructor(
    message: string,
    undelivered: readonly OutgoingMessage[],
    { refused = new Map(), ...options }: ErrorOptions & { refused?: ReadonlyMap<OutgoingMessage, Refusal> } = {},
  ) {
    super(message, options);
    this.undelivered = undelivered;
    this.refused = refused;
  }
}

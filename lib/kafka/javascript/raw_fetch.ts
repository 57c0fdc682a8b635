import {
  type Broker,
  type CallbackWithPromise,
  type Connection,
  ConnectionPool,
  type fetchV17,
  type Reader,
  readKnownTaggedFields,
  ResponseError,
} from "@platformatic/kafka";
import { readBatches, type RecordBatch } from "./record_batches.ts";

/** Kafka's number of the request Fetch. */
const FETCH = 1;

/**
 * A broker's answer for one partition, as the library has it, except for its batches: only their
 * headers are read.
 */
export interface PartitionAnswer extends Omit<fetchV17.FetchResponsePartition, "records"> {
  /** Always null: it keeps the library from looking for messages. */
  readonly records: null;
  readonly batches: readonly RecordBatch[];
}

export interface FetchAnswer extends Omit<fetchV17.FetchResponse, "responses"> {
  readonly responses: { readonly topicId: string; readonly partitions: PartitionAnswer[] }[];
}

/**
 * Connections on which the library's answers to Fetch are `FetchAnswer`s. The library itself
 * unpacks each answer whole, at once: a message of 600 MB of one letter, which the broker takes for
 * some kilobytes, would end the process.
 */
export class RawFetchConnections extends ConnectionPool {
  override get(broker: Broker, callback: CallbackWithPromise<Connection>): void;
  override get(broker: Broker): Promise<Connection>;
  override get(broker: Broker, callback?: CallbackWithPromise<Connection>): void | Promise<Connection> {
    if (callback === undefined) return super.get(broker).then(withRawFetch);
    super.get(broker, (error, connection) => {
      if (error) callback(error);
      else callback(null, withRawFetch(connection as Connection));
    });
  }
}

/** The library sends a request by this one method. */
function withRawFetch(connection: Connection): Connection {
  const send: Connection["send"] = (key, version, create, parse, ...rest) => {
    connection.send(key, version, create, key === FETCH ? parseAnswer as unknown as typeof parse : parse, ...rest);
  };
  return { send } as Connection;
}

/**
 * Reads an answer to Fetch of any version from 4 to 17 (Kafka's protocol). Throws what the broker
 * says is wrong.
 */
function parseAnswer(_correlation: number, key: number, version: number, reader: Reader): FetchAnswer {
  // From version 12 on lengths are shorter, and fields may be added; from 13 on a topic is named by
  // its id.
  const isFlexible = version >= 12;
  const errors: Record<string, [number, null]> = {};
  const note = (path: string, code: number) => code !== 0 && (errors[path] = [code, null]);
  const throttleTimeMs = reader.readInt32();
  const errorCode = version >= 7 ? reader.readInt16() : 0;
  note("", errorCode);
  const sessionId = version >= 7 ? reader.readInt32() : 0;
  const responses = reader.readArray(
    (topic, i) => ({
      topicId: version >= 13 ? topic.readUUID() : topic.readString(isFlexible),
      partitions: topic.readArray(
        (partition, j) => {
          const answer = parsePartition(partition, version);
          note(`/responses/${i}/partitions/${j}`, answer.errorCode);
          return answer;
        },
        isFlexible,
        false,
      ),
    }),
    isFlexible,
    isFlexible,
  );
  const answer = { throttleTimeMs, errorCode, sessionId, responses, nodeEndpoints: [] };
  if (Object.keys(errors).length > 0) throw new ResponseError(key, version, errors, answer);
  return answer;
}

function parsePartition(reader: Reader, version: number): PartitionAnswer {
  const isFlexible = version >= 12;
  const readAborted = () => ({ producerId: reader.readInt64(), firstOffset: reader.readInt64() });
  const bounds = {
    partitionIndex: reader.readInt32(),
    errorCode: reader.readInt16(),
    highWatermark: reader.readInt64(),
  };
  const answer = {
    ...bounds,
    lastStableOffset: reader.readInt64(),
    logStartOffset: version >= 5 ? reader.readInt64() : -1n,
    abortedTransactions: reader.readNullableArray(readAborted, isFlexible, isFlexible),
    preferredReadReplica: version >= 11 ? reader.readInt32() : -1,
    records: null,
    batches: readBatches(reader.readNullableBytes(isFlexible) ?? Buffer.alloc(0), Number(bounds.highWatermark)),
  };
  if (!isFlexible) return answer;
  const [divergingEpoch, currentLeader] = [{ epoch: -1, endOffset: -1n }, { leaderId: -1, leaderEpoch: -1 }];
  readKnownTaggedFields(reader, {
    0: (field) => Object.assign(divergingEpoch, { epoch: field.readInt32(), endOffset: field.readInt64() }),
    1: (field) => Object.assign(currentLeader, { leaderId: field.readInt32(), leaderEpoch: field.readInt32() }),
  });
  return { ...answer, divergingEpoch, currentLeader };
}

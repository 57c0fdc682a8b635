import type { Database } from "./database.ts";
import { arrayText, ascii, quoteLiteral } from "./pg_text.ts";
import type { TopicIdentity } from "./piece.ts";
import type { QuotedTables } from "./schema.ts";

/** How far a partition is stored. */
export interface Mark {
  /** The offset to read next. */
  readonly offset: number;
  /** The epoch of the leader that wrote the message before it; null where that is not known. */
  readonly epoch: number | null;
}

/** Where a mark stands, and which statement has moved it there. */
export interface MovedMark {
  readonly offset: number;
  /** The name of the statement; null: it had none. */
  readonly statement: string | null;
}

/**
 * The marks: how far each topic partition is stored. A mark belongs to the topic's id and the
 * partition. A topic that was deleted and made again has another id: it gets new marks, and is read
 * from its first message.
 *
 * A mark also counts how often it was skipped: moved by anything but the storing of messages. A
 * consumer may have read on from a mark that was skipped since. Its messages may be those of a log
 * that was cut, at offsets that others have now. So it stores nothing by a mark with another count
 * than that it claimed.
 */
export class Marks {
  readonly #database: Database;
  readonly #tables: QuotedTables;
  readonly #onClaim: () => void;
  /** Topic id and partition → how often the mark was skipped when it was last claimed. */
  readonly #claimed = new Map<string, number>();
  #skips = 0;

  /** `onClaim` is called whenever marks were claimed. */
  constructor(database: Database, tables: QuotedTables, onClaim: () => void = () => {}) {
    this.#database = database;
    this.#tables = tables;
    this.#onClaim = onClaim;
  }

  /** How many rows of the rejected `skip` has written. */
  get skips(): number {
    return this.#skips;
  }

  /**
   * Gives the marks of these partitions. A partition without a mark first gets the offset in
   * `starts`.
   */
  async claim(identity: TopicIdentity, starts: ReadonlyMap<number, number>): Promise<Map<number, Mark>> {
    const partitions = arrayText([...starts.keys()]);
    const offsets = arrayText([...starts.values()]);
    await this.#database.query(claimSql(this.#tables), [identity.topicId, partitions, offsets, identity.topic]);
    const rows = await this.#database.query<ClaimedRow>(marksSql(this.#tables), [identity.topicId, partitions]);
    for (const { partition, skips } of rows) this.#claimed.set(keyOf(identity, partition), Number(skips));
    this.#onClaim();
    return new Map(rows.map(({ partition, mark, epoch }) => {
      return [partition, { offset: Number(mark), epoch: epoch === null ? null : Number(epoch) }];
    }));
  }

  /** Where the marks of these partitions stand now, and what has moved them there. */
  async moved(identity: TopicIdentity, partitions: readonly number[]): Promise<Map<number, MovedMark>> {
    const parameters = [identity.topicId, arrayText(partitions)];
    const rows = await this.#database.query<MovedRow>(movedSql(this.#tables), parameters);
    return new Map(rows.map(({ partition, mark, statement }) => [partition, { offset: Number(mark), statement }]));
  }

  /** How often the mark was skipped when it was claimed; null where it was not. */
  skipsOf(identity: TopicIdentity, partition: number): number | null {
    return this.#claimed.get(keyOf(identity, partition)) ?? null;
  }

  /**
   * True if a topic of this name has a mark. It may be of an earlier topic of the name, or of other
   * partitions.
   */
  async knows({ topic }: TopicIdentity): Promise<boolean> {
    return (await this.#database.query(knownSql(this.#tables), [topic])).length > 0;
  }

  /**
   * Gives the partitions in `starts` their first marks; these must be all that the topic has. Does
   * nothing if a topic of this name has a mark. Of several callers at the same time, one decides
   * for all partitions.
   */
  async claimFirst(identity: TopicIdentity, starts: ReadonlyMap<number, number>): Promise<void> {
    if (starts.size > 0) await this.#database.script(firstClaimScript(this.#tables, identity, starts));
  }

  /**
   * Moves a mark from `from` to `to`, in either direction, and records the reason as one row of the
   * rejected. False if the mark stood elsewhere, or was skipped since it was claimed: nothing is
   * changed then.
   */
  async skip(identity: TopicIdentity, partition: number, from: number, to: Mark, reason: string): Promise<boolean> {
    const { topic, topicId } = identity;
    const skips = this.skipsOf(identity, partition);
    const numbers = [partition, from, to.offset, to.epoch, skips].map((number) => number === null ? null : `${number}`);
    const moved = await this.#database.query(skipSql(this.#tables), [topicId, ...numbers, topic, ascii(reason)]);
    if (moved.length > 0) this.#skips++;
    return moved.length > 0;
  }

  /**
   * True if `skip` has done this already, here or elsewhere: for a `skip` whose answer was lost.
   */
  async hasSkipped({ topicId }: TopicIdentity, partition: number, from: number, reason: string): Promise<boolean> {
    const parameters = [topicId, String(partition), String(from), ascii(reason)];
    const found = await this.#database.query(skippedSql(this.#tables), parameters);
    if (found.length > 0) this.#skips++;
    return found.length > 0;
  }

  /**
   * Deletes the marks of a topic that will not be read again. Everything that was stored of it is
   * on the disk then.
   */
  async forget(identity: TopicIdentity): Promise<void> {
    await this.#database.query(forgetSql(this.#tables), [identity.topicId]);
  }
}

function keyOf({ topicId }: TopicIdentity, partition: number): string {
  return `${partition} ${topicId}`;
}

/**
 * Gives a mark to each partition that has none. $1 topic id, $2 partitions, $3 where to start, $4
 * topic. It is a statement of its own, before the flush: a statement does not see rows that it
 * inserts itself. So the flush could not lock a mark that it had just made.
 */
export function claimSql({ offsets }: QuotedTables): string {
  return `insert into ${offsets} (topic_id, partition, next_offset, topic)
select $1::text, w.p, w.o, $4::text from unnest($2::int[], $3::bigint[]) w(p, o)
order by w.p on conflict do nothing`;
}

/** Gives one row if any topic of the name $1 has a mark, whatever its id. */
export function knownSql({ offsets }: QuotedTables): string {
  return `select 1 as known from ${offsets} where topic = $1::text limit 1`;
}

/** Any number will do, but every consumer must take the same. */
const FIRST_CLAIM_LOCK = 7_236_401_599;

/**
 * Gives all partitions of a topic their first marks, at once, unless a topic of this name has a
 * mark. The lock makes the look and the marks one step: of two consumers that begin together, the
 * first decides for all partitions. It waits for the disk: marks that a crash took back would be
 * made anew, further on. The messages in between would be lost.
 */
export function firstClaimScript(
  { offsets }: QuotedTables,
  identity: TopicIdentity,
  starts: ReadonlyMap<number, number>,
): string {
  const [id, topic] = [quoteLiteral(identity.topicId), quoteLiteral(identity.topic)];
  const [partitions, places] = [starts.keys(), starts.values()].map((values) => quoteLiteral(arrayText([...values])));
  return `set local synchronous_commit = on;
select pg_advisory_xact_lock(${FIRST_CLAIM_LOCK});
insert into ${offsets} (topic_id, partition, next_offset, topic)
select ${id}, w.p, w.o, ${topic} from unnest(${partitions}::int[], ${places}::bigint[]) w(p, o)
where not exists (select from ${offsets} where topic = ${topic}) order by w.p on conflict do nothing`;
}

/** A row of `marksSql`: texts, numbers or bigints, by client. */
interface ClaimedRow {
  readonly partition: number;
  readonly mark: unknown;
  readonly epoch: unknown;
  readonly skips: unknown;
}

/**
 * The marks of the partitions $2 of the topic $1. A mark that was moved by hand, or by an older
 * consumer, has an epoch that belongs to another offset: it does not count.
 */
export function marksSql({ offsets }: QuotedTables): string {
  return `select partition, next_offset as mark, case epoch_at when next_offset then epoch end as epoch, skips from ${offsets}
where topic_id = $1::text and partition = any($2::int[])`;
}

/** A row of `movedSql`: `mark` is a text, a number or a bigint, by client. */
interface MovedRow {
  readonly partition: number;
  readonly mark: unknown;
  readonly statement: string | null;
}

/** The marks of the partitions $2 of the topic $1, and the statements that have moved them last. */
export function movedSql({ offsets }: QuotedTables): string {
  return `select partition, next_offset as mark, statement::text as statement from ${offsets}
where topic_id = $1::text and partition = any($2::int[])`;
}

/**
 * Moves the mark of partition $2 of topic $1 from $3 to $4, with the epoch $5, if it still stands
 * at $3 and was skipped $6 times. Records the reason $8 ($7 topic).
 */
export function skipSql({ offsets, rejected }: QuotedTables): string {
  return `with moved as (
  update ${offsets} set next_offset = $4::text::bigint, epoch = $5::text::int, epoch_at = $4::text::bigint,
    skips = skips + 1, moved_at = now()
  where topic_id = $1::text and partition = $2::text::int and next_offset = $3::text::bigint and skips = $6::text::int
  returning partition
), recorded as (
  insert into ${rejected} (topic, topic_id, partition, "offset", reason)
  select $7::text, $1::text, partition, $3::text::bigint, $8::text from moved
)
select partition from moved`;
}

/**
 * Gives one row if `skipSql` has recorded this already: $1 topic id, $2 partition, $3 from, $4 the
 * reason.
 */
export function skippedSql({ rejected }: QuotedTables): string {
  return `select 1 as skipped from ${rejected}
where topic_id = $1::text and partition = $2::text::int and "offset" = $3::text::bigint and reason = $4::text limit 1`;
}

/**
 * Deletes the marks of topic $1. The commit waits for the disk, and so for everything that was
 * written before it: standard input cannot be read again.
 */
export function forgetSql({ offsets }: QuotedTables): string {
  return `delete from ${offsets}
where topic_id = $1::text and set_config('synchronous_commit', 'on', true) is not null`;
}

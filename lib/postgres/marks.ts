import type { Database } from "./database.ts";
import { arrayText, ascii, quoteLiteral } from "./pg_text.ts";
import type { TopicIdentity } from "./piece.ts";
import type { QuotedTables } from "./schema.ts";

/**
 * The marks: how far each topic partition is stored. A mark belongs to the topic's id and the
 * partition. A topic that was deleted and made again has another id: it gets new marks, and is read
 * from its first message.
 */
export class Marks {
  readonly #database: Database;
  readonly #tables: QuotedTables;
  #skips = 0;

  constructor(database: Database, tables: QuotedTables) {
    this.#database = database;
    this.#tables = tables;
  }

  /** How many rows of the rejected `skip` has written. */
  get skips(): number {
    return this.#skips;
  }

  /**
   * Gives the marks of these partitions: the offset to read next. A partition without a mark first
   * gets the one in `starts`.
   */
  async claim(identity: TopicIdentity, starts: ReadonlyMap<number, number>): Promise<Map<number, number>> {
    const partitions = arrayText([...starts.keys()]);
    const offsets = arrayText([...starts.values()]);
    await this.#database.query(claimSql(this.#tables), [identity.topicId, partitions, offsets, identity.topic]);
    const rows = await this.#database.query<{ partition: number; mark: unknown }>(
      marksSql(this.#tables),
      [identity.topicId, partitions],
    );
    return new Map(rows.map(({ partition, mark }) => [partition, Number(mark)]));
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
   * rejected. False if the mark stood elsewhere: nothing is changed then.
   */
  async skip(identity: TopicIdentity, partition: number, from: number, to: number, reason: string): Promise<boolean> {
    const { topic, topicId } = identity;
    const parameters = [topicId, String(partition), String(from), String(to), topic, ascii(reason)];
    const moved = await this.#database.query(skipSql(this.#tables), parameters);
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

/** The marks of the partitions $2 of the topic $1. */
export function marksSql({ offsets }: QuotedTables): string {
  return `select partition, next_offset as mark from ${offsets}
where topic_id = $1::text and partition = any($2::int[])`;
}

/**
 * Moves the mark of partition $2 of topic $1 from $3 to $4, if it still stands at $3. Records the
 * reason $6 ($5 topic).
 */
export function skipSql({ offsets, rejected }: QuotedTables): string {
  return `with moved as (
  update ${offsets} set next_offset = $4::text::bigint, moved_at = now()
  where topic_id = $1::text and partition = $2::text::int and next_offset = $3::text::bigint
  returning partition
), recorded as (
  insert into ${rejected} (topic, topic_id, partition, "offset", reason)
  select $5::text, $1::text, partition, $3::text::bigint, $6::text from moved
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

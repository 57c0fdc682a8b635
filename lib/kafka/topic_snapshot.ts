/** What the group's present shares were made of, as far as a member knows. */
export interface TopicSnapshot {
  /** The partitions that it shared out as the leader of the group: its knowledge may have been some seconds old. */
  sharedOut: number | null;
  /** The topic's id when this member first looked at it. */
  id: string | null;
  /** The partitions of the whole topic when it first looked at it with the present share. */
  partitions: number | null;
}

export interface DescribedTopic {
  /** The broker's id: another one after the topic was deleted and made again. */
  readonly id: string;
  /** Partitions of the whole topic. */
  readonly partitions: number;
}

/** The topic is another one, or has other partitions, than when the group shared it out: it must do so anew. */
export class OutdatedAssignment extends Error {
  override name = "OutdatedShare";
}

/** What a member that has looked at nothing yet knows. */
export function newTopicSnapshot(): TopicSnapshot {
  return { sharedOut: null, id: null, partitions: null };
}

/** Takes down what the topic is, where that is the first look. */
export function note(snapshot: TopicSnapshot, now: DescribedTopic): void {
  snapshot.id ??= now.id;
  snapshot.partitions ??= now.partitions;
}

/** True where some partition of the topic as it is now is nobody's, or a share holds one that is not there. */
export function isOutdated(share: readonly number[], snapshot: TopicSnapshot, now: DescribedTopic): boolean {
  if (share.some((partition) => partition >= now.partitions)) return true;
  const isSame = (known: number | null) => known === null || known === now.partitions;
  return (snapshot.id ?? now.id) !== now.id || !isSame(snapshot.partitions) || !isSame(snapshot.sharedOut);
}

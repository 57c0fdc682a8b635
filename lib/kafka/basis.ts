/** What the group's present shares were made of, as far as a member knows. */
export interface Basis {
  /** The partitions that it shared out as the leader of the group: its knowledge may have been some seconds old. */
  sharedOut: number | null;
  /** The topic when this member first looked at it with the present share. */
  seen: DescribedTopic | null;
}

export interface DescribedTopic {
  /** The broker's id: another one after the topic was deleted and made again. */
  readonly id: string;
  /** Partitions of the whole topic. */
  readonly partitions: number;
}

/** The topic is another one, or has other partitions, than when the group shared it out: it must do so anew. */
export class OutdatedShare extends Error {
  override name = "OutdatedShare";
}

/** True where some partition of the topic as it is now is nobody's, or a share holds one that is not there. */
export function isOutdated(share: readonly number[], { sharedOut, seen }: Basis, now: DescribedTopic): boolean {
  if (share.some((partition) => partition >= now.partitions) || (sharedOut ?? now.partitions) !== now.partitions) {
    return true;
  }
  return seen !== null && (seen.id !== now.id || seen.partitions !== now.partitions);
}

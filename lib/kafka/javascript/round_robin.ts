import type { GroupPartitionsAssigner, GroupPartitionsAssignments } from "@platformatic/kafka";

/**
 * Divides partitions among the members of a group, as Kafka's own RoundRobinAssignor does: each goes
 * to the next member that has asked for its topic. The library (2.12) hands over the leader's own
 * topics only, and its assigner gives their partitions to whoever is next. So where members have
 * different topics, some partitions would be read by nobody.
 */
export const roundRobin: GroupPartitionsAssigner = (_self, members, _topics, metadata) => {
  const ids = [...members.keys()].toSorted();
  const assignments = ids.map((memberId): GroupPartitionsAssignments => ({ memberId, assignments: new Map() }));
  let turn = 0;
  const topics = new Set([...members.values()].flatMap((member) => member.topics ?? []));
  for (const topic of [...topics].toSorted()) {
    const takes = assignments.map(({ memberId }) => members.get(memberId)?.topics?.includes(topic) === true);
    const count = metadata.topics.get(topic)?.partitionsCount ?? 0;
    for (let partition = 0; partition < count; partition++) {
      while (!takes[turn % ids.length]) turn++;
      const own = assignments[turn++ % ids.length]?.assignments;
      const taken = own?.get(topic);
      if (taken === undefined) own?.set(topic, { topic, partitions: [partition] });
      else taken.partitions.push(partition);
    }
  }
  return assignments;
};

import { addAbortListener } from "node:events";
import { delay } from "../async/waits.ts";
import type { Health } from "../async/health.ts";
import { atOnce, inPieces, type Pieces } from "../async/pieces.ts";
import { pause } from "../async/retry.ts";
import type { Changes, CheckRunner } from "../check/check_runner.ts";
import { count } from "../config/count.ts";
import type { Outbox } from "../delivery/delivery.ts";
import { LastResults } from "../delivery/last_results.ts";
import type { Host } from "../hosts/hosts.ts";
import type { HostsReading } from "../hosts/hosts_file.ts";
import { nextDue } from "../hosts/schedule.ts";
import type { GroupDivision, GroupIntroduction, GroupListener, GroupPeer, ProducerGroup } from "../kafka/kafka.ts";
import type { Log } from "../monitoring/log.ts";
import type { ProducerMonitor } from "../monitoring/producer_monitor.ts";

/** The parts of a producer that its group decides about. */
export interface GroupedParts {
  readonly group: ProducerGroup;
  readonly runner: CheckRunner;
  readonly outbox: Outbox;
  readonly monitor: ProducerMonitor;
  readonly health: Health;
  readonly log: Log;
}

/** What a member of a group is. */
export interface MemberSettings {
  /** The group's name. */
  readonly group: string;
  readonly location: string | null;
  readonly producer: string | null;
  /** Seconds that a check may take. */
  readonly timeout: number;
}

/**
 * Milliseconds that the next member waits for what this one has begun. A check that takes longer is
 * of a due time that nobody makes up for any more.
 */
const RELEASE_LIMIT = 1000;
/** Milliseconds from one look to the next whether that is over. */
const RELEASE_LOOK = 20;
/** Milliseconds for reading what was checked lately. Whoever cannot know it checks all the same. */
const TAIL_LIMIT = 20_000;
/** Milliseconds for reading a log before the group is joined. */
const FIRST_LIMIT = 3000;
/** Milliseconds before the newest message: a session, and clocks that differ. */
const ALLOWANCE = 12_000;
/** Milliseconds of the log that are read at most. */
const LONGEST_WINDOW = 3_600_000;
/**
 * Milliseconds that Kafka's clients may take to notice new partitions. Until then they send results
 * to where these went before. librdkafka looks every 30 s (kafka/librdkafka/native_clients.ts).
 */
const LATE_SORTING = 40_000;
/** Partitions whose hosts are counted one by one in the log, at most. */
const MOST_SIZES = 64;
/** With fewer partitions for each producer, the largest part is far from the smallest. */
const PARTITIONS_EACH = 4;
/** The group's say in the health. */
const DIVISION = "the group's division";

/**
 * The hosts of a producer in a group: those of its file whose metrics fall into partitions that it
 * holds. Of a partition that it gets it first reads which due times have results.
 */
export class GroupedHosts implements GroupListener {
  readonly #parts: GroupedParts;
  readonly #settings: MemberSettings;
  readonly #stop: AbortSignal;
  #reading: HostsReading;
  #byPartition: ReadonlyMap<number, readonly Host[]> = new Map();
  /** How many partitions the last division was of, and when that number last became another one. */
  #partitions: number | undefined;
  #grownAt = 0;
  /** Partitions whose hosts are checked here. */
  readonly #checked = new Set<number>();
  /** Partitions of which it is being read what was checked, each with a sign of that reading. */
  readonly #reads = new Map<number, symbol>();
  #differences = "";
  /** Addresses that have left the file, of which that is not told yet: others may still have them. */
  #removed: ReadonlySet<string> = new Set();
  /** The numbers of partitions and producers that a person was last told of. */
  #toldPartitions = 0;
  #toldHint = "";

  /** `stop` ends the membership. */
  constructor(parts: GroupedParts, settings: MemberSettings, reading: HostsReading, stop: AbortSignal) {
    this.#parts = parts;
    this.#settings = settings;
    this.#reading = reading;
    this.#stop = stop;
    parts.health.note(DIVISION, "the group was not joined yet");
  }

  /**
   * Is a member until `stop` aborts. Then it leaves as soon as nothing is under way that another
   * member could begin again.
   */
  async follow(): Promise<void> {
    const left = new AbortController();
    const leave = async () => {
      await this.#untilReleased(new Set(this.#reading.hosts.map(({ address }) => address)));
      left.abort();
    };
    using _listening = addAbortListener(this.#stop, () => void leave());
    await this.#readOnce();
    await this.#parts.group.stay(this, left.signal);
  }

  /** Checks the hosts of another reading of the file, as far as the group says. */
  async replace(reading: HostsReading): Promise<Changes> {
    const { present, gone } = await inPieces(comparison(this.#reading.hosts, reading.hosts));
    let partitions: number | undefined;
    let byPartition: ReadonlyMap<number, readonly Host[]>;
    // The group may divide meanwhile.
    do {
      partitions = this.#partitions;
      byPartition = await inPieces(this.#sorted(reading.hosts, partitions));
    } while (partitions !== this.#partitions);
    this.#byPartition = byPartition;
    this.#removed = new Set([...this.#removed].filter((address) => !present.has(address)).concat(gone));
    this.#reading = reading;
    const changes = await this.#parts.runner.replace(this.#mine(), true);
    this.#parts.group.introduceAgain();
    return changes;
  }

  introduce(): GroupIntroduction {
    return { name: this.#settings.producer ?? "", digest: this.#reading.digest, removed: [...this.#removed] };
  }

  async divide(division: GroupDivision | null): Promise<void> {
    this.#sortFor(division);
    const held = new Set(division?.held ?? []);
    for (const partition of [...this.#checked]) if (!held.has(partition)) this.#checked.delete(partition);
    for (const partition of [...this.#reads.keys()]) if (!held.has(partition)) this.#reads.delete(partition);
    const gone = this.#apply(() => undefined);
    this.#tell(division);
    this.#tellRemoved(division);
    const gained = [...held].filter((partition) => !this.#checked.has(partition) && !this.#reads.has(partition));
    if (gained.length > 0) void this.#take(gained);
    if (gone.length > 0) await this.#untilReleased(new Set(gone.map(({ address }) => address)));
  }

  /** With another number of partitions, every host may belong to another one. */
  #sortFor(division: GroupDivision | null): void {
    if (division === null) return;
    this.#grownAt = division.grownAt;
    if (division.partitions === this.#partitions) return;
    this.#partitions = division.partitions;
    this.#byPartition = atOnce(this.#sorted(this.#reading.hosts, division.partitions));
    this.#checked.clear();
    this.#reads.clear();
  }

  goOn(): void {
    const text =
      `group ${this.#settings.group}: it counts this producer out, which goes on until the group divides anew`;
    this.#parts.health.note(DIVISION, text);
    this.#parts.log.warn(text);
  }

  /**
   * Reads a log once before it joins. The first time takes several times as long, as code is loaded
   * and compiled. Hosts would wait for that. Whether it can be read does not matter yet.
   */
  async #readOnce(): Promise<void> {
    const signal = AbortSignal.any([this.#stop, AbortSignal.timeout(FIRST_LIMIT)]);
    try {
      const results = new LastResults(this.#settings.location);
      for await (const messages of this.#parts.group.readTail([0], ALLOWANCE, signal)) results.note(messages);
    } catch {
      // The group waits for brokers that are away, and tells of them.
    }
  }

  /** Reads what was checked of the hosts of partitions, and goes on from there. */
  async #take(gained: readonly number[]): Promise<void> {
    const sign = Symbol();
    for (const partition of gained) this.#reads.set(partition, sign);
    const results = await this.#lastResults(gained);
    const kept = gained.filter((partition) => this.#reads.get(partition) === sign);
    for (const partition of kept) {
      this.#reads.delete(partition);
      this.#checked.add(partition);
    }
    if (!this.#stop.aborted) this.#apply((address) => results.lastDue(address));
  }

  async #lastResults(gained: readonly number[]): Promise<LastResults> {
    const { log } = this.#parts;
    const signal = AbortSignal.any([this.#stop, AbortSignal.timeout(TAIL_LIMIT)]);
    for (let attempt = 0;; attempt++) {
      const results = new LastResults(this.#settings.location);
      try {
        await this.#readResults(results, gained, signal);
        return results;
      } catch (error) {
        if (this.#stop.aborted) return results;
        if (signal.aborted) {
          log.warn(`It is not known which checks others have made (${(error as Error).message}): some may come twice`);
          return results;
        }
        await pause(attempt, signal);
      }
    }
  }

  /**
   * Reads the logs of partitions. A host may have had its results in any other one, until partitions
   * were added and for a while longer. If a whole group was gone meanwhile, nobody knows of that.
   */
  async #readResults(results: LastResults, gained: readonly number[], signal: AbortSignal): Promise<void> {
    const hosts = gained.flatMap((partition) => this.#byPartition.get(partition) ?? []);
    const window = windowOf(hosts, this.#settings.timeout);
    const all = Array.from({ length: this.#partitions ?? 0 }, (_, partition) => partition);
    const others = all.filter((partition) => !gained.includes(partition));
    const read = async (partitions: readonly number[]) => {
      const { group } = this.#parts;
      for await (const messages of group.readTail(partitions, window, signal)) results.note(messages);
    };
    if (Date.now() - this.#grownAt < window + LATE_SORTING) return await read(all);
    await read(gained);
    const isKnown = hosts.every(({ address }) => results.lastDue(address) !== undefined);
    if (!isKnown && others.length > 0) await read(others);
  }

  /** Gives the runner the hosts that are this member's now. Gives those that are no longer. */
  #apply(lastDue: (address: string) => number | undefined): readonly Host[] {
    const { runner, monitor } = this.#parts;
    const gone = runner.divide(this.#mine(), lastDue);
    monitor.forget(gone.map(({ address }) => address));
    return gone;
  }

  #mine(): readonly Host[] {
    return [...this.#checked].flatMap((partition) => this.#byPartition.get(partition) ?? []);
  }

  /** Sorts hosts into their partitions; undefined: nobody knows these yet. */
  *#sorted(hosts: readonly Host[], partitions: number | undefined): Pieces<ReadonlyMap<number, readonly Host[]>> {
    const sorted = new Map<number, Host[]>();
    if (partitions === undefined) return sorted;
    for (const host of hosts) {
      const partition = this.#parts.group.partitionOf(host.address, partitions);
      const others = sorted.get(partition);
      if (others === undefined) sorted.set(partition, [host]);
      else others.push(host);
      yield;
    }
    return sorted;
  }

  /** Waits until no check of these hosts is under way and Kafka has all metrics, for a while. */
  async #untilReleased(addresses: ReadonlySet<string>): Promise<void> {
    const { runner, outbox } = this.#parts;
    const late = AbortSignal.timeout(RELEASE_LIMIT);
    while (runner.isChecking(addresses) && !late.aborted) await delay(RELEASE_LOOK, late);
    await delay(RELEASE_LOOK, late);
    const settled = () => outbox.figures.delivered + outbox.figures.dropped;
    const all = settled() + outbox.figures.waiting;
    while (settled() < all && !late.aborted) await delay(RELEASE_LOOK, late);
  }

  /**
   * Gives addresses that have left the file their last metric, once no member has them any more.
   * The one that holds their partition does so, even if they never stood in its own file.
   */
  #tellRemoved(division: GroupDivision | null): void {
    const { hosts, digest } = this.#reading;
    if (division === null || division.members.some((member) => member.digest !== digest)) return;
    const { held, free, partitions, removed } = division;
    const all = this.#removed.union(new Set(removed)).difference(new Set(hosts.map(({ address }) => address)));
    const isIn = (some: readonly number[]) => (address: string) =>
      some.includes(this.#parts.group.partitionOf(address, partitions));
    void this.#parts.runner.tellRemoved([...all].filter(isIn(held)).map((address) => ({ address })));
    // They wait for the member that gets their partition.
    this.#removed = new Set([...all].filter(isIn(free)));
  }

  /** Tells a person who has how much. */
  #tell(division: GroupDivision | null): void {
    const { log, health } = this.#parts;
    const { group } = this.#settings;
    if (division === null) {
      const text = `group ${group}: it counts this producer out, and its hosts are others' now: joining again`;
      health.note(DIVISION, text);
      return log.warn(text);
    }
    health.note(DIVISION, null);
    const { held, partitions, members, free } = division;
    const hosts = held.reduce((sum, partition) => sum + (this.#byPartition.get(partition)?.length ?? 0), 0);
    const mine = held.length === 0 && free.length === 0
      ? "no partition is left for this one, which waits"
      : `this one holds ${held.length} of ${count(partitions, "partition")}, ${hosts} of ${
        count(this.#reading.hosts.length, "host")
      }`;
    log.info(`group ${group}: ${count(members.length, "producer")}, ${mine}`);
    this.#tellOfPartitions(division);
    this.#tellOfFiles(members);
  }

  /** Says how many hosts each partition has, and whether these are too few to make equal parts. */
  #tellOfPartitions({ partitions, members }: GroupDivision): void {
    const { log } = this.#parts;
    const { group } = this.#settings;
    if (partitions !== this.#toldPartitions) {
      this.#toldPartitions = partitions;
      const sizes = Array.from({ length: partitions }, (_, one) => this.#byPartition.get(one)?.length ?? 0);
      const each = partitions > MOST_SIZES ? `${Math.min(...sizes)} to ${Math.max(...sizes)} each` : sizes.join(" ");
      log.info(`group ${group}: the hosts fall into ${count(partitions, "partition")}: ${each}`);
    }
    const wanted = PARTITIONS_EACH * members.length;
    const hint = members.length < 2 || partitions >= wanted
      ? ""
      : `the topic has ${count(partitions, "partition")} for ${members.length} producers: their parts differ much; ` +
        `${wanted} or more would make them about equal`;
    if (hint !== this.#toldHint && hint !== "") log.info(`group ${group}: ${hint}`);
    this.#toldHint = hint;
  }

  /** Warns as long as the members have different hosts files. */
  #tellOfFiles(members: readonly GroupPeer[]): void {
    const { log } = this.#parts;
    const { group } = this.#settings;
    const digests = new Set(members.map(({ digest }) => digest));
    const differences = digests.size < 2
      ? ""
      : members.map(({ name, digest }) => `${name || "one without a name"} has ${digest.slice(0, 12)}`).toSorted().join(
        ", ",
      );
    if (differences === this.#differences) return;
    this.#differences = differences;
    if (differences === "") log.warn(`group ${group}: all producers have the same hosts file again`);
    else log.warn(`group ${group}: the producers have different hosts files: ${differences}`);
  }
}

/** The addresses of one list of hosts, and those that only the one before has. */
function* comparison(
  before: readonly Host[],
  after: readonly Host[],
): Pieces<{ readonly present: ReadonlySet<string>; readonly gone: readonly string[] }> {
  const present = new Set<string>();
  for (const { address } of after) {
    present.add(address);
    yield;
  }
  const gone: string[] = [];
  for (const { address } of before) {
    if (!present.has(address)) gone.push(address);
    yield;
  }
  return { present, gone };
}

/** Milliseconds of the log that show the last results of hosts: twice from one due time to the next. */
function windowOf(hosts: readonly Host[], timeout: number): number {
  const now = Date.now();
  const two = new Map<string, number>();
  for (const { frequency, address } of hosts) {
    if (two.has(frequency.text)) continue;
    const first = nextDue(frequency, address, now);
    two.set(frequency.text, nextDue(frequency, address, nextDue(frequency, address, first)) - first);
  }
  const longest = hosts.reduce((most, { options }) => Math.max(most, options?.timeout ?? 0), timeout);
  return Math.min(Math.max(0, ...two.values()) + longest * 1000 + ALLOWANCE, LONGEST_WINDOW);
}

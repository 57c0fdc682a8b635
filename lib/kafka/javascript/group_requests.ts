import { type API, Base, type Broker, FindCoordinatorKeyTypes, kGetApi } from "@platformatic/kafka";
import { unlessAborted } from "../../async/waits.ts";
import { closedInTime } from "../client_settings.ts";
import type { KafkaOptions } from "../kafka.ts";
import type { TopicDescription } from "../topic.ts";
import { connectionOptions, identifyTopic } from "./connection.ts";
import { leaves } from "./errors.ts";

/**
 * Milliseconds for a connection, for an answer, and for finding the coordinator. A member that is
 * cut off knows it by the second and the last of them, before its session is over.
 */
const CONNECT_LIMIT = 2_500;
const ANSWER_LIMIT = 2_500;
const FIND_LIMIT = 3_500;
/** Milliseconds for an answer that comes when all members have joined. */
const JOIN_LIMIT = 15_000;

/** What a member says of itself when it joins. */
export interface Joining {
  /** Empty at first: the group gives it. */
  readonly memberId: string;
  readonly sessionLimit: number;
  readonly rebalanceLimit: number;
  readonly protocol: string;
  readonly metadata: Buffer;
}

/** The answer to a joining. Only the leader hears of the members. */
export interface Joined {
  readonly generationId: number;
  readonly leader: string;
  readonly memberId: string;
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer }[];
}

/** A member of a group, in one generation of it. */
export interface MemberName {
  readonly memberId: string;
  readonly generationId: number;
}

/**
 * The requests of a member of a group, each made once. Deliberately not the library's own consumer:
 * it joins again by itself, tells nobody when the group was last heard, and hides what the leader
 * says to the others.
 */
export class GroupRequests implements AsyncDisposable {
  readonly #client: Base;
  readonly #topic: string;
  readonly #group: string;
  readonly #coordinator: Broker;

  /** Finds the group's coordinator. Rejects where no broker can name it. */
  static async open(options: KafkaOptions, group: string, signal: AbortSignal): Promise<GroupRequests> {
    const settings = { connectTimeout: CONNECT_LIMIT, requestTimeout: JOIN_LIMIT, retries: 0 };
    const client = new Base({ ...connectionOptions(options), ...settings });
    try {
      return await withLimit(FIND_LIMIT, signal, async () => {
        const { brokers } = await client.metadata({ topics: [], forceUpdate: true });
        const connection = await client.connections.getFirstAvailable([...brokers.values()]);
        const api = await apiOf<FindCoordinatorAnswer>(client, "FindCoordinator");
        const { coordinators: [found] } = await api.async(connection, FindCoordinatorKeyTypes.GROUP, [group]);
        if (found === undefined) throw new Error(`no broker coordinates the group ${group}`);
        return new GroupRequests(client, options.topic, group, { host: found.host, port: found.port });
      });
    } catch (error) {
      await closedInTime(client.close());
      throw error;
    }
  }

  private constructor(client: Base, topic: string, group: string, coordinator: Broker) {
    this.#client = client;
    this.#topic = topic;
    this.#group = group;
    this.#coordinator = coordinator;
  }

  identifyTopic(signal: AbortSignal): Promise<TopicDescription> {
    return withLimit(ANSWER_LIMIT, signal, () => identifyTopic(this.#client, this.#topic));
  }

  /** Waits until all members have joined. */
  async join(joining: Joining, signal: AbortSignal): Promise<Joined> {
    const { memberId, sessionLimit, rebalanceLimit, protocol, metadata } = joining;
    const protocols = [{ name: protocol, metadata }];
    const times = [sessionLimit, rebalanceLimit];
    const ask = (id: string) =>
      this.#ask<Joined>(JOIN_LIMIT, signal, "JoinGroup", ...times, id, null, "consumer", protocols, "");
    try {
      return await ask(memberId);
    } catch (error) {
      // The group gives an id first, and wants to be asked again with it.
      const given = refusalOf(error) === "MEMBER_ID_REQUIRED" ? memberIdIn(error) : null;
      if (given === null) throw error;
      return await ask(given);
    }
  }

  /** Hears what the leader has assigned to this member. The leader gives it for all. */
  async sync(
    { memberId, generationId }: MemberName,
    protocol: string,
    assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[],
    signal: AbortSignal,
  ): Promise<Buffer> {
    const about = [generationId, memberId, null, "consumer", protocol, assignments];
    const answer = await this.#ask<{ readonly assignment: Buffer }>(JOIN_LIMIT, signal, "SyncGroup", ...about);
    return answer.assignment;
  }

  async heartbeat({ memberId, generationId }: MemberName, signal: AbortSignal): Promise<void> {
    await this.#ask(ANSWER_LIMIT, signal, "Heartbeat", generationId, memberId, null);
  }

  async leave(memberId: string, signal: AbortSignal): Promise<void> {
    await this.#ask(ANSWER_LIMIT, signal, "LeaveGroup", [{ memberId }]);
  }

  async #ask<R>(limit: number, signal: AbortSignal, name: string, ...about: readonly unknown[]): Promise<R> {
    return await withLimit(limit, signal, async () => {
      const api = await apiOf<R>(this.#client, name);
      const connection = await this.#client.connections.get(this.#coordinator);
      return await api.async(connection, this.#group, ...about);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closedInTime(this.#client.close());
  }
}

interface FindCoordinatorAnswer {
  readonly coordinators: readonly { readonly host: string; readonly port: number }[];
}

/** The broker's name of what it refuses, such as UNKNOWN_MEMBER_ID; null where it gave no answer. */
export function refusalOf(error: unknown): string | null {
  return leaves(error).find(({ apiId }) => apiId !== undefined)?.apiId ?? null;
}

function memberIdIn(error: unknown): string | null {
  const all = leaves(error) as readonly { readonly memberId?: string }[];
  return all.find(({ memberId }) => memberId !== undefined)?.memberId ?? null;
}

function apiOf<R>(client: Base, name: string): Promise<API<unknown[], R>> {
  const { promise, resolve, reject } = Promise.withResolvers<API<unknown[], R>>();
  client[kGetApi]<unknown[], R>(name, (error, api) => error || api === undefined ? reject(error) : resolve(api));
  return promise;
}

/** Rejects where the work takes longer than `limit` milliseconds, or `signal` aborts. */
async function withLimit<T>(limit: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer for ${limit / 1000} s`)), limit);
  try {
    return await unlessAborted(work(), AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}

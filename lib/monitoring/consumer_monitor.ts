import type { Health } from "../async/health.ts";
import { unlessAborted } from "../async/waits.ts";
import { count } from "../config/count.ts";
import type { ListenAddress } from "../config/setting_types.ts";
import type { StoredBatch, TransferEvents } from "../ingest/transfer.ts";
import type { ConsumerSession, LogPositions } from "../kafka/kafka.ts";
import type { CertificateStore } from "../net/certificate_store.ts";
import type { Site } from "../net/http_port.ts";
import { explain } from "../postgres/database.ts";
import type { HostNow } from "../postgres/host_reader.ts";
import type { CanaryEvents, Counters, SilenceWork, StoreEvents } from "../postgres/store.ts";
import { ConsumerReport } from "./consumer_report.ts";
import type { HostFigures } from "./consumer_telemetry.ts";
import { DoubleChecks } from "./double_checks.ts";
import { FirstRows } from "./first_rows.ts";
import { type IncidentLine, incidentLines, placeLines, silenceLines } from "./incident_report.ts";
import type { Log } from "./log.ts";
import { openProgramPort } from "./program_port.ts";

/** Milliseconds that a broker may take to tell the ends of its logs, for a request at the port. */
const LAG_LIMIT = 2_000;
/** Milliseconds that the database may take to tell of all hosts, for such a request. */
const HOSTS_LIMIT = 5_000;
const PART = "PostgreSQL";
/** Milliseconds. A metric that is older is not new. */
const NEW = 300_000;

/** Tells of stored messages: a person in the log and, if there is a port, Prometheus. */
export interface ConsumerMonitor extends AsyncDisposable {
  readonly events: TransferEvents & StoreEvents;
  /** Tells of these counters from now on. */
  count(counters: () => Counters): void;
  /** Tells of these hosts from now on, where the figures name hosts. */
  readHosts(read: () => Promise<readonly HostNow[]>): void;
  /** Tells of these places from now on: nothing is known from there. */
  readUnknownPlaces(read: () => readonly (string | null)[]): void;
  /** For the look for places whose canaries are all down. */
  readonly canaries: CanaryEvents;
  /** For the look for addresses that nobody checks any more. */
  readonly silence: Omit<SilenceWork, "open">;
}

export interface MonitoredConsumer {
  readonly health: Health;
  /** The certificates for Kafka. */
  readonly certificateStore: CertificateStore | null;
  /** True if the consumer is a member of a consumer group. */
  readonly isMember: boolean;
  /** True if the figures name the hosts. */
  readonly namesHosts: boolean;
  /** What the port answers beside health and figures; null: nothing. */
  readonly site: Site | null;
}

/** Begins to watch. Throws a `UsageError` if it cannot listen at the address. Null: no port. */
export async function monitorConsumer(
  listen: ListenAddress | null,
  { health, certificateStore, isMember, namesHosts, site }: MonitoredConsumer,
  log: Log,
): Promise<ConsumerMonitor> {
  const resources = new AsyncDisposableStack();
  const state = new TransferState();
  const report = resources.use(new ConsumerReport(log, () => state.counters()));
  const first = resources.use(
    new FirstRows(log, async () => {
      return { troubles: health.troubles, isMember, session: state.session, lag: await state.lag() };
    }),
  );
  const doubles = resources.use(new DoubleChecks(log));
  let onBatch = (_: StoredBatch) => {};
  if (listen !== null) {
    // Loaded late, and only for a port: it takes as long as all the rest of the program.
    const { ConsumerTelemetry } = await import("./consumer_telemetry.ts");
    const telemetry = new ConsumerTelemetry(
      async () => {
        const { rows, rejected } = state.counters();
        const { replayed, newest } = state;
        const unknownPlaces = state.readUnknownPlaces();
        return { rows, rejected, replayed, doubles: doubles.total, newest, unknownPlaces, lag: await state.lag() };
      },
      () => certificateStore?.expiresAt ?? null,
      namesHosts ? () => state.hosts() : undefined,
    );
    onBatch = ({ cause, seconds }) => telemetry.flushed(cause, seconds);
    const details = async () => ({ lag: Object.fromEntries(await state.lag()) });
    const statements = { health, metrics: () => telemetry.text(), details };
    resources.use(await openProgramPort("consumer", listen, statements, site));
  }
  return {
    events: {
      ...eventsFor(state, health, log, (batch) => {
        onBatch(batch);
        doubles.see(batch.entries, batch.cause, performance.now());
        first.stored(batch.messages);
      }),
      ...storeEvents(state, report, log),
    },
    count: (counters) => void (state.counters = counters),
    readHosts: (read) => void (state.readHosts = read),
    readUnknownPlaces: (read) => void (state.readUnknownPlaces = read),
    canaries: canaryEvents(log),
    silence: silenceWork(state, log),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The state of a transfer. */
class TransferState {
  counters: () => Counters = () => ({ rows: 0, rejected: 0, missedDropped: 0 });
  readHosts: () => Promise<readonly HostNow[]> = () => Promise.resolve([]);
  readUnknownPlaces: () => readonly (string | null)[] = () => [];
  replayed = 0;
  /** When the newest stored metric was made, in milliseconds since 1970. */
  newest: number | null = null;
  session: ConsumerSession | null = null;
  /** True while a single message takes too long, which is said once. */
  isStuck = false;
  positions: LogPositions = new Map();

  /** Where the logs ended at the last look. */
  #ends: ReadonlyMap<number, number> = new Map();

  /**
   * True if everything is stored that was in the topic when this was asked last. A source that does
   * not tell its end is caught up with if what comes is new.
   */
  async isCaughtUp(): Promise<boolean> {
    const { session, positions } = this;
    if (session === null) return false;
    if (session.logEnds === undefined) return Date.now() - (this.newest ?? 0) < NEW;
    const ends = await unlessAborted(session.logEnds(), AbortSignal.timeout(LAG_LIMIT)).catch(() => null);
    if (ends === null) return false;
    const before = this.#ends;
    this.#ends = ends;
    return [...ends.keys()].every((partition) => {
      const end = before.get(partition);
      return end !== undefined && (positions.get(partition)?.offset ?? -1) >= end;
    });
  }

  /** What is known of the hosts. Empty if the database does not answer in time. */
  async hosts(): Promise<readonly HostFigures[]> {
    try {
      const rows = await unlessAborted(this.readHosts(), AbortSignal.timeout(HOSTS_LIMIT));
      return rows.map(({ address, state, latency, certificate_days_left }) => ({
        address,
        isUp: state === "up" ? true : state === "down" ? false : null,
        isSilent: state === "stale",
        latency,
        certificateDays: certificate_days_left,
      }));
    } catch {
      return [];
    }
  }

  /** Partition → messages that are not stored yet. Empty if the broker does not answer in time. */
  async lag(): Promise<ReadonlyMap<number, number>> {
    if (this.session?.logEnds === undefined) return new Map();
    try {
      const ends = await unlessAborted(this.session.logEnds(), AbortSignal.timeout(LAG_LIMIT));
      return new Map([...ends].map(([partition, end]) => {
        return [partition, Math.max(0, end - (this.positions.get(partition)?.offset ?? end))];
      }));
    } catch {
      return new Map();
    }
  }
}

function eventsFor(
  state: TransferState,
  health: Health,
  log: Log,
  onBatch: (batch: StoredBatch) => void,
): TransferEvents {
  return {
    waiting(error) {
      health.note(PART, explain(error));
      log.warn(`${explain(error)}: trying again`);
    },
    recovered(seconds) {
      health.note(PART, null);
      log.warn(`PostgreSQL answers again, after ${seconds.toFixed(1)} s`);
    },
    began(session) {
      state.session = session;
      state.positions = session.positions;
    },
    stored(batch) {
      state.positions = batch.positions;
      state.isStuck = false;
      if (!Number.isNaN(batch.newest)) state.newest = Math.max(state.newest ?? 0, batch.newest);
      onBatch(batch);
      log.debug(`${count(batch.messages, "message")} stored`);
    },
    replayed: (count) => void (state.replayed += count),
    lost: (what) => log.error(what),
    reopened: (why) => log.warn(`Reading again from the marks: ${why}`),
  };
}

function tellIncidents(log: Log, lines: readonly IncidentLine[]): void {
  for (const { text, isTrouble } of lines) isTrouble ? log.warn(text) : log.info(text);
}

/** What the look for silent addresses asks of a transfer. */
function silenceWork(state: TransferState, log: Log): Omit<SilenceWork, "open"> {
  return {
    isCaughtUp: () => state.isCaughtUp(),
    changed: (opened, closed) => tellIncidents(log, silenceLines(opened, closed)),
    failed: (why) => log.warn(`Nobody can tell which addresses are not checked any more: ${why}`),
  };
}

function canaryEvents(log: Log): CanaryEvents {
  return {
    changed: (unknown, known) => tellIncidents(log, placeLines(unknown, known)),
    absent: (addresses) =>
      log.warn(`No check of ${addresses.join(", ")} was stored: write CANARY as the hosts file has the addresses`),
    failed: (why) => log.warn(`Nobody can tell whether the canaries are up: ${why}`),
  };
}

function storeEvents(state: TransferState, report: ConsumerReport, log: Log): StoreEvents {
  return {
    rejected: (count, reason, table) => report.rejected(count, reason, table),
    ended(messages, seconds, most, error) {
      if (messages === 1 && state.isStuck) return;
      state.isStuck = messages === 1;
      const next = state.isStuck
        ? "it is tried again and again, and nothing behind it is stored: look for a slow trigger on the table"
        : `smaller ones from now on, of up to ${count(most, "message")}: a trigger may be slow, or the server busy`;
      const what = `A statement with ${count(messages, "message")} ended after ${seconds.toFixed(1)} s`;
      log.warn(`${what} (${explain(error)}); ${next}`);
    },
    grown(most) {
      log.warn(`Statements hold up to ${most} messages again`);
    },
    parts: (what, isTrouble) => isTrouble ? log.warn(what) : log.info(what),
    rolledUp: (what, isTrouble) => isTrouble ? log.warn(what) : log.debug(what),
    incidents: (changes) => tellIncidents(log, incidentLines(changes)),
  };
}

import { isRejection } from "../metric.ts";
import { type Database, explain, isMissingPartition, SetupError, sqlFailure } from "./database.ts";
import type { BatchSlice } from "./encoded_batch.ts";
import { rejected } from "./entry.ts";
import { cut, join, type Piece, type Portion, type TopicIdentity } from "./piece.ts";
import { isCancelled, type StoreOutcome, type TableWriter } from "./table_writer.ts";
import type { Tables } from "./tables.ts";
import { isRefusal, ordinaryMetric, takesCopy, takesMetric } from "./trial.ts";

/** Characters of the reason in a row of the rejected. */
const MAX_REASON_LENGTH = 1000;
/** Made-up metrics that are tried to find out whether the table takes any, for one batch. */
const MAX_TRIALS = 3;

const NOTHING: Piece = { ranges: new Map(), entries: [] };

/** Why a message was refused, and where its metric was made. */
interface RefusedRow {
  readonly error: unknown;
  readonly location: string | null;
}

/**
 * A batch of which the database has refused a statement. It is halved until each message at fault
 * is alone: that takes about 2·log2(n) statements for each. Its neighbours are stored, and it is
 * rejected with the reason.
 *
 * It may be the table that is at fault, not the message (docs/promises.md, "Whose fault a refusal
 * is"). So refused messages are held back, and rejected by the statement that stores the next row.
 * If no row follows in the batch, trials show whether the table takes any.
 */
export class RefusedBatch {
  readonly #database: Database;
  readonly #writer: TableWriter;
  readonly #identity: TopicIdentity;
  /**
   * Messages that are held back: those refused since the table last took a row, and those between
   * them. The next row that is stored takes them along.
   */
  #held: Piece = NOTHING;
  #refused: readonly RefusedRow[] = [];

  constructor(database: Database, writer: TableWriter, identity: TopicIdentity) {
    this.#database = database;
    this.#writer = writer;
    this.#identity = identity;
  }

  /**
   * Stores the messages that can be stored, and rejects the others. Throws `SetupError` if it is no
   * message's fault; nothing is rejected then.
   */
  async store({ ranges, slices }: Portion<BatchSlice>, error: unknown): Promise<StoreOutcome> {
    this.#throwIfSetup(error);
    await this.#tryWithoutRows(error);
    const piece = { ranges, entries: slices.flatMap(({ entries }) => entries) };
    // A single message is tried once more: a connection may have been at fault that is gone now.
    const outcome = piece.entries.length > 1 ? await this.#storeHalves(piece) : await this.#storePiece(piece);
    if (outcome === "reopen" || this.#held === NOTHING) return outcome;
    if (!await this.#takesRows()) throw refusesAll(this.#refused, this.#writer.tables);
    return await this.#rejectHeld();
  }

  /**
   * Stores a piece behind the messages that are held back, or as much of it as the database takes.
   */
  async #storePiece(piece: Piece): Promise<StoreOutcome> {
    const portion = this.#writer.encode(join(this.#held, piece));
    if (this.#held !== NOTHING && !hasRows(portion)) {
      this.#held = join(this.#held, piece);
      return "stored";
    }
    try {
      const outcome = await this.#writer.store(this.#identity, portion);
      this.#held = NOTHING;
      this.#refused = [];
      return outcome;
    } catch (error) {
      if (!isRefusal(error) && !isCancelled(error)) throw error;
      if (piece.entries.length > 1) return await this.#storeHalves(piece);
      if (isCancelled(error)) throw error;
      if (this.#writer.current.isRepeat(error)) return await this.#passRepeat(piece);
      return this.#rejectRow(piece, error);
    }
  }

  async #storeHalves(piece: Piece): Promise<StoreOutcome> {
    for (const half of cut(piece, Math.ceil(piece.entries.length / 2))) {
      if (await this.#storePiece(half) === "reopen") return "reopen";
    }
    return "stored";
  }

  /**
   * Stores nothing for a metric that is here already. If a trigger or a part says so, the statement
   * cannot leave it out.
   */
  async #passRepeat({ ranges }: Piece): Promise<StoreOutcome> {
    const passed = { ranges, entries: [] };
    const isHeld = this.#held !== NOTHING;
    if (isHeld) this.#held = join(this.#held, passed);
    const outcome = isHeld ? "stored" : await this.#writer.store(this.#identity, this.#writer.encode(passed));
    if (outcome === "stored") this.#writer.countRepeat();
    return outcome;
  }

  /** Turns a message that is refused by itself into a rejected row, which is held back for now. */
  #rejectRow({ ranges, entries }: Piece, error: unknown): StoreOutcome {
    this.#throwIfSetup(error);
    const [first] = entries;
    if (first === undefined || isRejection(first.content)) throw companionRefuses(error, this.#writer.tables);
    this.#held = join(this.#held, { ranges, entries: [rejected(first, reasonOf(error))] });
    this.#refused = [...this.#refused, { error, location: first.content.location }];
    return "stored";
  }

  /**
   * Stores messages that are all rejected: a refusal of these is not the fault of the table of
   * metrics.
   */
  async #rejectHeld(): Promise<StoreOutcome> {
    try {
      return await this.#writer.store(this.#identity, this.#writer.encode(this.#held));
    } catch (error) {
      throw isRefusal(error) ? companionRefuses(error, this.#writer.tables) : error;
    }
  }

  /** Throws if it is known that no message is at fault, so that it need not be tried. */
  #throwIfSetup(error: unknown): void {
    const failure = sqlFailure(error);
    // Others of the batch may be stored all the same: they have a partition, or a page that is not
    // damaged.
    const isSetup = failure !== null && (isMissingPartition(failure) || /^XX00[12]$/.test(failure.code));
    if (isSetup || this.#writer.current.isUnwrittenColumn(error)) {
      throw new SetupError(explain(error), { cause: error });
    }
  }

  /** Throws if the statement is refused even without any row. */
  async #tryWithoutRows(cause: unknown): Promise<void> {
    try {
      await this.#writer.storeNothing(this.#identity);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const what = "a statement without any row is refused too, so it is no message's fault, and none was rejected";
      throw new SetupError(`${explain(error)}; ${what}`, { cause });
    }
  }

  /** True if the table takes an ordinary metric now, or one that it has taken before. */
  async #takesRows(): Promise<boolean> {
    const { tables, lastStored } = this.#writer;
    const locations = [...new Set(this.#refused.map(({ location }) => location))].slice(0, MAX_TRIALS);
    const metrics = [...locations.map(ordinaryMetric), ...(lastStored === null ? [] : [lastStored])];
    for (const metric of metrics) if (await takesMetric(this.#database, tables, metric)) return true;
    return await takesCopy(this.#database, tables);
  }
}

function hasRows({ slices }: Portion<BatchSlice>): boolean {
  return slices.some(({ sorted }) => sorted.metrics.length > 0);
}

function reasonOf(error: unknown): string {
  const failure = sqlFailure(error);
  const detail = failure?.detail == null ? "" : ` (${failure.detail})`;
  const reason = `the database refuses the row: ${failure?.message ?? String(error)}${detail}`;
  // A cut may split a character, and its rest could not be stored.
  return reason.slice(0, MAX_REASON_LENGTH).toWellFormed();
}

function companionRefuses(error: unknown, { offsets, rejected }: Tables): SetupError {
  return new SetupError(`${offsets} and ${rejected} must take what is written to them: ${explain(error)}`, {
    cause: error,
  });
}

/** Nothing shows that the table takes any metric. */
function refusesAll(refused: readonly RefusedRow[], { main }: Tables): SetupError {
  const [first] = refused;
  const count = refused.length === 1 ? "the metric that was to be stored" : `each of ${refused.length} metrics`;
  return new SetupError(
    `${main} refuses ${count}, and one made up for a trial: ${explain(first?.error)}; nothing was rejected. ` +
      `Look for what refuses rows: triggers, constraints, a policy of row-level security, the check option of a view`,
    { cause: first?.error },
  );
}

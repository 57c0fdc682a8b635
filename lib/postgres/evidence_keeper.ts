import { count } from "../config/count.ts";
import { cutoffOf, type Keep, keepText } from "../config/keep.ts";
import { deleteOldEvidence } from "./old_rows.ts";
import type { QuotedTables } from "./schema.ts";
import { DailyWarnings, sweepAgain, type SweepingWork } from "./sweeping.ts";

/** Deletes evidence that is older than `keep`, until the work's signal aborts. Never rejects. */
export async function letEvidenceGo(
  work: SweepingWork,
  tables: Pick<QuotedTables, "evidence">,
  keep: Keep,
): Promise<void> {
  if (keep === "all") return;
  const { evidence } = tables;
  const warnings = new DailyWarnings();
  await sweepAgain(
    work,
    async (database) => {
      const gone = await deleteOldEvidence(database, tables, cutoffOf(keep, Date.now()), work.signal);
      if (gone > 0) work.tell(`${count(gone, "row")} of ${evidence} deleted: ${keepText(keep)} are kept`, false);
      return true;
    },
    (why) => warnings.tell(work, "failure", `Old rows of ${evidence} could not go: ${why}`),
  );
}

import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take longest, below `tests/`. */
export const LONGEST: readonly string[] = [
  "programs/alone.test.ts",
  "postgres/query.test.ts",
  "programs/kafka.test.ts",
  "check/check.test.ts",
  "programs/spool.test.ts",
  "programs/sasl.test.ts",
  "postgres/tables.test.ts",
  "docs_commands.test.ts",
  "postgres/store.test.ts",
  "programs/memory.test.ts",
  "programs/secrets.test.ts",
  "programs/consumer_outages.test.ts",
  "postgres/refusals.test.ts",
  "programs/refused.test.ts",
  "programs/restore.test.ts",
  "postgres/incidents/incidents_random.test.ts",
  "postgres/retention.test.ts",
  "delivery/spool_damage.test.ts",
  "kafka/log.test.ts",
  "postgres/embedded.test.ts",
  "programs/group.test.ts",
  "programs/page.test.ts",
  "programs/canary.test.ts",
  "programs/tls.test.ts",
  "programs/rotation.test.ts",
];

/**
 * Vitest's own order, by the time that each file took, behind the files that take longest. A clone
 * that has not run the tests yet knows no times: one of these would be left alone at the end.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(`/tests/${name}`));
      return found === -1 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

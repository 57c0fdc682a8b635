/**
 * Settings or files that are wrong, and nothing was started: ends a program with exit code 2, each
 * problem on its line.
 */
export class UsageError extends Error {
  override name = "UsageError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** The results of all; or one `UsageError` with the problems of all, so that a person hears of everything at once. */
export async function allUsable<T extends readonly unknown[]>(
  ...work: { readonly [K in keyof T]: Promise<T[K]> }
): Promise<T> {
  const results = await Promise.allSettled(work);
  const reasons = results.flatMap((result) => result.status === "rejected" ? [result.reason as unknown] : []);
  const surprise = reasons.find((reason) => !(reason instanceof UsageError));
  if (surprise !== undefined) throw surprise;
  if (reasons.length > 0) throw new UsageError((reasons as UsageError[]).flatMap(({ problems }) => problems));
  return await Promise.all(work) as unknown as T;
}

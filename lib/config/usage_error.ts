/**
 * Wrong settings or files, before anything was started. It ends a program with exit code 2, each
 * problem on a line of its own.
 */
export class UsageError extends Error {
  override name = "UsageError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/**
 * The results of all work. Or one `UsageError` with all problems, so that a person hears of
 * everything at once.
 */
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

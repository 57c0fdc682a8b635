/** The values of a source that gives several at a time, one by one. */
export async function* each<T>(source: AsyncIterable<readonly T[]>): AsyncGenerator<T, void> {
  for await (const values of source) yield* values;
}

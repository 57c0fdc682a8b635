// Resolves the names that standard input asks for, a JSON document a line. Prints a line for each.
// The tests run this under Deno.
import { stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import type { LookupAddress } from "node:dns";
import { NoAddress, type Resolver, type ResolverOptions, systemResolver } from "../../lib/net/resolver.ts";

/** A name to resolve, or one to give up. */
export type LookupOrder =
  | { readonly id: number; readonly name: string; readonly options: ResolverOptions }
  | { readonly id: number; readonly givenUp: string };

/** The outcome for a name. */
export interface LookedUp {
  readonly id: number;
  readonly addresses?: readonly LookupAddress[];
  /** The reason why it has no address. */
  readonly reason?: string;
  /** The error with which `resolve` rejected. */
  readonly error?: string;
}

/** All lookups with the same options share one: it counts turns, and remembers the files. */
const resolvers = new Map<string, Resolver>();
const aborters = new Map<number, AbortController>();

function aborterOf(id: number): AbortController {
  const aborter = aborters.get(id) ?? new AbortController();
  aborters.set(id, aborter);
  return aborter;
}

function resolverOf(options: ResolverOptions): Resolver {
  const key = JSON.stringify(options);
  const resolver = resolvers.get(key) ?? systemResolver(options);
  resolvers.set(key, resolver);
  return resolver;
}

async function lookUp(name: string, options: ResolverOptions, signal: AbortSignal): Promise<Omit<LookedUp, "id">> {
  try {
    const found = await resolverOf(options).resolve(name, signal);
    return found instanceof NoAddress ? { reason: found.reason } : { addresses: found };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

for await (const line of createInterface({ input: stdin })) {
  const order = JSON.parse(line) as LookupOrder;
  if ("givenUp" in order) aborterOf(order.id).abort(new Error(order.givenUp));
  else {
    const { id, name, options } = order;
    void lookUp(name, options, aborterOf(id).signal).then((found) => {
      stdout.write(`${JSON.stringify({ id, ...found } satisfies LookedUp)}\n`);
    });
  }
}

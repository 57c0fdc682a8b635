import type { QuotedTables } from "./schema.ts";

/**
 * Takes the lease $1, for some time, for the holder $2, or keeps it, if `condition` holds. Gives no
 * row if another one has it. Whoever does not take it again in time is taken for dead.
 */
export function leaseSql({ leases }: Pick<QuotedTables, "leases">, time: string, condition = "true"): string {
  return `insert into ${leases} as l (what, holder, held_until)
select $1::text, $2::text::uuid, now() + interval '${time}'
where ${condition}
on conflict (what) do update set holder = excluded.holder, held_until = excluded.held_until
where l.holder = excluded.holder or l.held_until < now()
returning what`;
}

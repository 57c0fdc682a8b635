import { VIEWS } from "../../lib/postgres/views.ts";

/**
 * SQL that drops the views over a table, by its quoted name. A column's type cannot be changed
 * under a view.
 */
export function dropViews(main: string): string {
  return VIEWS.map((view) => `drop view if exists ${main.replace(/"$/, `_${view}"`)}; `).join("");
}

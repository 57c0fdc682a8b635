import { type HttpTarget, parseTargets } from "../../lib/config/notify_targets.ts";

/** The one target that a text names. */
export function httpTarget(text: string): HttpTarget {
  const [target] = parseTargets(text, false).targets;
  if (target === undefined || target.kind === "smtp") throw new TypeError(`${text} is no HTTP target`);
  return target;
}

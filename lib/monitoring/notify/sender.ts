import type { NotifyTarget } from "../../config/notify_targets.ts";
import type { NotificationMessage } from "../../postgres/store.ts";
import { type NotifyRequest, requestsFor } from "./http_requests.ts";
import { sendMail } from "./mail.ts";

/** Milliseconds that a target may take for a request, and for all of a message: less than a lease. */
const REQUEST_LIMIT = 10_000;
const MESSAGE_LIMIT = 30_000;

/**
 * Sends a message to a target. Rejects if that is not known to have accepted it; the reason holds
 * no secret. `page` is the address of the page, for links.
 */
export async function sendMessage(
  target: NotifyTarget,
  message: NotificationMessage,
  { page, stop }: { readonly page: string | null; readonly stop: AbortSignal },
): Promise<void> {
  const end = AbortSignal.any([AbortSignal.timeout(MESSAGE_LIMIT), stop]);
  if (target.kind === "smtp") return await sendMail(target, message, { page, end });
  for (const request of requestsFor(target, message, { page, now: new Date() })) await post(request, end);
}

async function post({ url, headers, body }: NotifyRequest, end: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([AbortSignal.timeout(REQUEST_LIMIT), end]);
  let answer: Response;
  try {
    answer = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal: limit });
  } catch (error) {
    // The message of a failed fetch may quote the URL, which is a secret.
    throw new Error(limit.aborted ? "no answer in time" : `it cannot be reached (${codeOf(error)})`);
  }
  // What else it says is of no interest, however it ends.
  await answer.body?.cancel().catch(() => {});
  if (!answer.ok) throw new Error(`it answers with status ${answer.status}`);
}

/** The code of what lies beneath a failure, such as ECONNREFUSED. */
function codeOf(error: unknown): string {
  for (let e = error; e instanceof Error; e = e.cause) {
    const { code } = e as NodeJS.ErrnoException;
    if (typeof code === "string" && /^[A-Z_0-9]+$/.test(code)) return code;
  }
  return "no connection";
}

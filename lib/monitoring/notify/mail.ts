import { unlessAborted } from "../../async/waits.ts";
import type { MailTarget } from "../../config/notify_targets.ts";
import type { NotificationMessage } from "../../postgres/store.ts";
import { messageText } from "./message_text.ts";

/** Milliseconds for a connection, for the greeting, and without a word. */
const PATIENCE = 10_000;

/** Hosts that no network lies before. */
const LOOPBACK = /^(localhost|127\..*|::1)$/i;

/** Mails a message. Rejects if the server is not known to have taken it; the reason holds no secret. */
export async function sendMail(
  { host, port, isTls, login, to, from }: MailTarget,
  { id, notifications }: NotificationMessage,
  { page, end }: { readonly page: string | null; readonly end: AbortSignal },
): Promise<void> {
  // Loaded late: most consumers send no mail.
  const { createTransport } = await import("nodemailer");
  const isLocal = LOOPBACK.test(host);
  const transport = createTransport({
    host,
    port,
    secure: isTls,
    // A password goes to no server in the clear, unless that is this machine.
    requireTLS: !isTls && login !== null && !isLocal,
    ignoreTLS: !isTls && isLocal,
    ...login === null ? {} : { auth: { user: login.user, pass: login.password } },
    connectionTimeout: PATIENCE,
    greetingTimeout: PATIENCE,
    socketTimeout: PATIENCE,
    // The texts are a site's words: nothing in them names a file or a page to fetch.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const { title, lines } = messageText(notifications, page);
  const mail = {
    from,
    to,
    subject: title,
    text: `${lines.join("\n")}\n`,
    messageId: `<${id}@host-checker>`,
    headers: { "Idempotency-Key": id, "Auto-Submitted": "auto-generated" },
  };
  try {
    await unlessAborted(transport.sendMail(mail), end);
  } catch (error) {
    if (end.aborted) throw new Error("no answer in time");
    const { code, responseCode } = error as { readonly code?: unknown; readonly responseCode?: unknown };
    const what = [code, responseCode].filter((part) => part !== undefined).join(" ");
    throw new Error(`the mail server is away, or refuses it (${what === "" ? "no reason given" : what})`);
  } finally {
    transport.close();
  }
}

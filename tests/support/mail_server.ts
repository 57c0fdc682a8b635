import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";

/** A mail that a server took. */
export interface ReceivedMail {
  readonly login: string | null;
  readonly to: readonly string[];
  readonly text: string;
}

/** A mail server. It refuses whoever is called nobody. */
export interface MailServer extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly ReceivedMail[];
  /** Logins that were tried, as `user:password`. */
  readonly logins: readonly string[];
}

/** The key and the certificate of a server, both PEM, and whether it speaks TLS from the first byte on. */
export interface MailTls {
  readonly key: string;
  readonly cert: string;
  readonly secure: boolean;
}

/** Opens a mail server on all of this machine's addresses; `tls` null: without TLS. */
export async function openMailServer(tls: MailTls | null = null): Promise<MailServer> {
  const mails: ReceivedMail[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    ...tls ?? { allowInsecureAuth: true, disabledCommands: ["STARTTLS"] },
    disableReverseLookup: true,
    onAuth({ username, password }, _, done) {
      logins.push(`${username}:${password}`);
      done(null, { user: username });
    },
    onRcptTo({ address }, _, done) {
      done(address.startsWith("nobody@") ? Object.assign(new Error("no such user"), { responseCode: 550 }) : null);
    },
    onData(stream, { user, envelope }, done) {
      let text = "";
      stream.on("data", (chunk: Uint8Array) => text += Buffer.from(chunk).toString());
      stream.on("end", () => {
        mails.push({ login: user ?? null, to: envelope.rcptTo.map(({ address }) => address), text });
        done();
      });
    },
  });
  server.on("error", () => {});
  server.listen(0, "0.0.0.0");
  await once(server.server, "listening");
  return {
    port: (server.server.address() as AddressInfo).port,
    mails,
    logins,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** What a person reads in a mail whose text is quoted-printable (RFC 2045, section 6.7) or ASCII. */
export function textOf(mail: string): string {
  const ascii = mail.replaceAll("=\r\n", "");
  const bytes = ascii.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}

import { get } from "node:http";
import { writeHostAndPort } from "../config/host_and_port.ts";
import type { ListenAddress } from "../config/setting_types.ts";
import { listenSetting, type ProgramName } from "../config/settings.ts";

/** Milliseconds that a program may take to say that it is well. */
const ANSWER_LIMIT = 3_000;

/**
 * Addresses to listen at that stand for every address of the machine, and the address to ask
 * instead.
 */
const EVERYWHERE: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/** Characters of an answer that are looked at. The answers of the programs are shorter. */
const LONGEST_ANSWER = 100;

/**
 * The answer of a program that works. It names the program, since another program may have its
 * port.
 */
export function healthText(program: ProgramName): string {
  return `${program}: ok\n`;
}

/**
 * Asks the program that listens at `address` whether it works. Null where it works, else why not,
 * for a person. Never throws.
 */
export async function askHealth({ host, port }: ListenAddress, program: ProgramName): Promise<string | null> {
  const asked = EVERYWHERE[host] ?? host;
  const url = `http://${writeHostAndPort(asked, port)}/healthz`;
  try {
    const { status, body } = await answerOf(url);
    if (status === 200 && body === healthText(program)) return null;
    const [other] = PROGRAMS.filter((other) => body === healthText(other));
    if (status !== 200) return `${url} answers with ${status}`;
    return `${url} is answered by ${
      other === undefined ? "another program" : `the ${other}`
    }, not by the ${program}: ` +
      `each needs an address of its own (${listenSetting(program)})`;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `${url} does not answer (${code ?? message})`;
  }
}

const PROGRAMS: readonly ProgramName[] = ["producer", "consumer"];

/** Not by `fetch`, whose errors differ between the runtimes. */
function answerOf(url: string): Promise<{ readonly status: number | undefined; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      let body = "";
      const done = () => resolve({ status: response.statusCode, body });
      response.setEncoding("utf8").on("error", reject).on("end", done).on("data", (text: string) => {
        body += text;
        if (body.length <= LONGEST_ANSWER) return;
        done();
        request.destroy();
      });
    });
    const late = () => request.destroy(new Error(`nothing within ${ANSWER_LIMIT / 1000} s`));
    const timer = setTimeout(late, ANSWER_LIMIT);
    request.on("error", reject).on("close", () => clearTimeout(timer));
  });
}

import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { saslPrep } from "../../lib/config/saslprep.ts";
import { skipped } from "../support/kafka.ts";
import type { LoggedIn } from "../support/login_runner.ts";
import { PASSWORDS } from "../support/passwords.ts";
import { ownPostgresMissing, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { COMMANDS, runScript } from "../support/runtimes.ts";

// A password must open a server, in whatever form it was typed or stored. SASLprep is compared with
// PostgreSQL's own code.

describe("saslPrep", () => {
  // RFC 4013, section 3.
  it.each([
    ["I\u00adX", "IX"],
    ["user", "user"],
    ["USER", "USER"],
    ["\u00aa", "a"],
    ["\u2168", "IX"],
  ])("makes of %j what RFC 4013 does: %j", (text, prepared) => {
    expect(saslPrep(text)).toBe(prepared);
  });

  it.each(["\u0007", "\u06271", "", "\u00ad", "🔑", "\ue000", "a\u0627", "\ud800"])("leaves %j as it is", (text) => {
    expect(saslPrep(text)).toBe(text);
  });

  it("makes the same of a text whichever way it was typed", () => {
    expect(saslPrep("cafe\u0301")).toBe(saslPrep("caf\u00e9"));
    expect(saslPrep("a\u00a0b")).toBe("a b");
  });
});

const canRun = ownPostgresMissing === null || skipped(ownPostgresMissing);

describe.runIf(canRun)("PostgreSQL's password", () => {
  let postgres: TestPostgres;
  const roles = PASSWORDS.map(([, password], at) => ({ role: `role_${at}`, password }));

  beforeAll(async () => {
    postgres = await startPostgres({ own: true });
    await postgres.requirePassword("all");
    for (const { role, password } of roles) await createRole(role, password);
  }, 60_000);
  afterAll(async () => {
    await postgres?.[Symbol.asyncDispose]();
  });

  const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;
  const createRole = (role: string, password: string) =>
    postgres.sql.unsafe(`create role ${role} login password ${quoted(password)}`);

  /** Logs in with each of the passwords. Gives the user that the server sees, or its refusal. */
  async function logIn(command: readonly string[], logins: readonly { role: string; password: string }[]) {
    const settings = logins.map(({ role, password }) => ({ ...postgres.settings, user: role, password }));
    return await runScript<LoggedIn>(command, "login_runner.ts", settings);
  }

  describe.each(COMMANDS)("under $runtime", ({ missing, command }) => {
    const canTry = missing === null || skipped(missing);

    it.runIf(canTry)("opens a role that has it, whatever characters it is of", async () => {
      const opened = await logIn(command, roles);
      expect(opened).toEqual(roles.map(({ role }) => ({ user: role, explanation: "" })));
    }, 60_000);

    it.runIf(canTry)(
      "opens a role whose password is the same one typed in another way, and no other role",
      async () => {
        await postgres.sql.unsafe("create role nine login password 'IX'; create role cafe login password 'caf\u00e9'");
        const opened = await logIn(command, [
          { role: "nine", password: "Ⅸ" },
          { role: "nine", password: "I\u00adX" },
          { role: "cafe", password: "cafe\u0301" },
          { role: "nine", password: "IX🔑" },
        ]);
        await postgres.sql.unsafe("drop role nine; drop role cafe");
        expect(opened.map(({ user }) => user)).toEqual(["nine", "nine", "cafe", null]);
        expect(opened.at(-1)?.explanation).toContain('password authentication failed for user "nine"');
      },
      60_000,
    );

    it.runIf(canTry)("goes as it is where the server asks for MD5 or for the password itself", async () => {
      const [{ hba_file: path }] = await postgres.sql`show hba_file` as unknown as [{ hba_file: string }];
      const before = readFileSync(path, "utf8");
      await postgres.sql.unsafe(
        `set password_encryption = md5; create role digest login password 'Ⅸ'; reset password_encryption`,
      );
      await postgres.sql.unsafe(`create role clear login password 'Ⅸ'`);
      writeFileSync(path, `host all digest all md5\nhost all clear all password\n${before}`);
      await postgres.sql`select pg_reload_conf()`;
      const opened = await logIn(command, [{ role: "digest", password: "Ⅸ" }, { role: "clear", password: "Ⅸ" }]);
      writeFileSync(path, before);
      await postgres.sql.unsafe("select pg_reload_conf(); drop role digest; drop role clear");
      expect(opened.map(({ user, explanation }) => user ?? explanation)).toEqual(["digest", "clear"]);
    }, 60_000);
  });

  it("is prepared as the server itself prepares it, for texts of random characters", async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const passwords = Array.from({ length: 400 }, (_, at) => randomText(seed, at)).filter((text) => text !== "");
    const wrong: string[] = [];
    for (const password of passwords) {
      await postgres.sql.unsafe(`create role random login password ${quoted(password)}`);
      const [row] = await postgres.sql`select rolpassword from pg_authid where rolname = 'random'`;
      await postgres.sql`drop role random`;
      if (!opens(saslPrep(password), String(row?.rolpassword))) wrong.push(JSON.stringify(password));
    }
    expect(wrong).toEqual([]);
  }, 60_000);
});

/**
 * True where the password fits `SCRAM-SHA-256$4096:salt$stored:server` (RFC 5803, as PostgreSQL
 * writes it).
 */
function opens(password: string, verifier: string): boolean {
  const [, rounds, salt = "", stored] = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):/.exec(verifier) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(rounds), 32, "sha256");
  const key = createHmac("sha256", salted).update("Client Key").digest();
  return createHash("sha256").update(key).digest("base64") === stored;
}

/** One to four characters, from the parts of Unicode that SASLprep changes. */
function randomText(seed: number, at: number): string {
  const bytes = createHash("sha256").update(`${seed}/${at}`).digest();
  const parts = [[0x20, 0x250], [0x300, 0x370], [0x590, 0x780], [0x1e00, 0x2200], [0x2e80, 0x3400], [0xf900, 0x10000], [
    0x1d100,
    0x1d800,
  ]];
  return Array.from({ length: 1 + (bytes[0] as number) % 4 }, (_, character) => {
    const [from = 0, to = 0] = parts[bytes.readUInt8(1 + character * 4) % parts.length] ?? [];
    return String.fromCodePoint(from + bytes.readUInt16BE(2 + character * 4) % (to - from));
  }).join("").replaceAll("\\", "").trim();
}

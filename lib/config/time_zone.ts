import { readFileSync, realpathSync, statSync } from "node:fs";

/**
 * Where systems keep the file of their own time zone, its name (Debian), and the files of all
 * zones.
 */
const LOCAL = "/etc/localtime";
const LOCAL_NAME = "/etc/timezone";
const ALL = "/usr/share/zoneinfo";
/** A time zone's file has some 3 KB. */
const MOST_BYTES = 64 * 1024;

const REMEDY = "write a name such as Europe/Berlin or UTC";

/**
 * Reads a TZ as tzset(3) does, except for rules that are written out. TZ is an IANA name, or the
 * path of a time zone's file. A colon may stand in front. Gives the IANA name. Throws a SyntaxError
 * that says what to write instead.
 */
export function parseTimeZone(text: string): string {
  const name = text.replace(/^:/, "");
  if (name === "") return systemTimeZone();
  if (!name.startsWith("/")) {
    const known = knownZone(name.replace(/^posix\//, ""));
    if (known !== null) return known;
    throw new SyntaxError(`no such time zone is known here: ${REMEDY}`);
  }
  const zone = zoneOfFile(name);
  if (zone === null) throw new SyntaxError(`that is no file of a time zone that is known here: ${REMEDY}`);
  return zone;
}

/** The zone of the system. Where TZ is empty, the runtimes do not know it. */
export function systemTimeZone(): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone as string | undefined;
  if (name !== undefined && name !== "Etc/Unknown") return name;
  return zoneOfFile(LOCAL) ?? "UTC";
}

/** The IANA name as the runtime writes it; null where it does not know the name. */
function knownZone(name: string): string | null {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}

/**
 * The zone of a file, by the name of the file that it links to. Where it is a copy, by the name of
 * the original.
 */
function zoneOfFile(path: string): string | null {
  const [, name] = /\/zoneinfo\/(?:posix\/)?(.+)$/.exec(resolved(path) ?? "") ?? [];
  const linked = name === undefined ? null : knownZone(name);
  if (linked !== null) return linked;
  const content = read(path);
  if (content?.subarray(0, 4).toString() !== "TZif") return null;
  const isCopyOf = (zone: string) => read(`${ALL}/${zone}`)?.equals(content) === true;
  const likely = read(LOCAL_NAME)?.toString().trim() ?? "";
  const zone = [likely, "UTC", ...Intl.supportedValuesOf("timeZone")].find((zone) => zone !== "" && isCopyOf(zone));
  return zone === undefined ? null : knownZone(zone);
}

function resolved(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

function read(path: string): Buffer | null {
  try {
    const stat = statSync(path);
    return stat.isFile() && stat.size <= MOST_BYTES ? readFileSync(path) : null;
  } catch {
    return null;
  }
}

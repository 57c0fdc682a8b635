import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import type { Ended, ProgramName } from "./programs.ts";

/** A folder or file of the machine, which a container sees at `target`. */
export interface Bind {
  readonly source: string;
  readonly target: string;
  readonly isReadOnly: boolean;
}

export interface ContainerOptions {
  /** The folder that .ci/images has filled. */
  readonly images: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly binds?: readonly Bind[];
  readonly args?: readonly string[];
  readonly input?: string;
}

/** A program in its image's file system. Disposing of it kills it, if it still runs. */
export interface Container extends AsyncDisposable {
  readonly ended: Promise<Ended>;
  /** Sends a signal to the program, which is process 1 there. */
  kill(signal: NodeJS.Signals): void;
}

/** How an image starts its program. */
export interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir: string;
}

export function imageConfig(images: string, name: ProgramName): ImageConfig {
  return JSON.parse(readFileSync(join(images, `${name}.json`), "utf8")).OCIv1.config as ImageConfig;
}

/**
 * Does the work of an engine: a mount namespace and a process namespace, only the image's files,
 * all of them read-only, no further rights. $1 is the root, $2 the user, $3 the folder to work in.
 * Then come the mounts (source, target, and ro or rw), and --, and the command.
 */
const CONTAIN = `
  root=$1 user=$2 folder=$3; shift 3
  mount --bind "$root" "$root"
  while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; mount -o "remount,bind,$3" "$root$2"; shift 3; done
  shift
  mount -o remount,bind,ro "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/tmp"
  exec setpriv --no-new-privs unshare --root "$root" --wd "$folder" --setgid "\${user#*:}" --setuid "\${user%:*}" -- "$@"`;

/** Starts an image's program as compose.yaml does. Needs root. */
export function startContainer(name: ProgramName, options: ContainerOptions): Container {
  const root = join(options.images, name);
  const { User, Entrypoint, Cmd = [], WorkingDir } = imageConfig(options.images, name);
  const network = ["/etc/hosts", "/etc/resolv.conf"].map((path) => {
    return { source: path, target: path, isReadOnly: true };
  });
  const binds = [...network, ...options.binds ?? []].filter(({ source }) => existsSync(source));
  for (const { source, target } of binds) placeFor(source, join(root, target));
  const mounts = binds.flatMap(({ source, target, isReadOnly }) => [source, target, isReadOnly ? "ro" : "rw"]);
  const command = [...Entrypoint, ...options.args ?? Cmd];
  const contain = [CONTAIN, "sh", root, User, WorkingDir, ...mounts, "--", ...command];
  const child = spawn("unshare", ["--mount", "--pid", "--fork", "sh", "-c", ...contain], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...options.env },
  });
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const ended = (async (): Promise<Ended> => {
    const closed = new Promise<readonly [number | null, string | null]>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve([code, signal]));
    });
    const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    return { code, signal, stdout, stderr };
  })();
  const kill = (signal: NodeJS.Signals) => {
    const [inside = ""] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").split(" ");
    if (inside !== "") process.kill(Number(inside), signal);
  };
  return {
    ended,
    kill,
    async [Symbol.asyncDispose]() {
      // The program itself, not `unshare`: when a child changes its user, the kernel no longer ends
      // it together with its parent.
      if (child.exitCode === null) kill("SIGKILL");
      await ended.catch(() => {});
    },
  };
}

/** A mount needs a file or folder to be mounted on. */
function placeFor(source: string, target: string): void {
  if (existsSync(target)) return;
  mkdirSync(statSync(source).isDirectory() ? target : dirname(target), { recursive: true });
  if (!existsSync(target)) writeFileSync(target, "");
}

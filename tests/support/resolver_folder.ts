import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FILES = { hosts: "hosts", resolver: "resolv.conf", sources: "nsswitch.conf" } as const;
type Kind = keyof typeof FILES;

/** The files of a machine in /etc. Disposing of it removes them. */
export interface NamesFolder extends Disposable {
  readonly paths: Readonly<Record<Kind, string>>;
}

/** Files with these texts. All other files have ordinary contents. */
export function namesFolder(texts: Partial<Readonly<Record<Kind, string>>>): NamesFolder {
  const folder = mkdtempSync(join(tmpdir(), "names-"));
  const all: Readonly<Record<Kind, string>> = {
    hosts: "127.0.0.1 localhost\n",
    resolver: "nameserver 127.0.0.1\n",
    sources: "hosts: files dns\n",
    ...texts,
  };
  const paths = Object.fromEntries(Object.entries(FILES).map(([kind, name]) => [kind, join(folder, name)]));
  for (const [kind, text] of Object.entries(all)) writeFileSync(paths[kind] as string, text);
  return {
    paths: paths as NamesFolder["paths"],
    [Symbol.dispose]() {
      rmSync(folder, { recursive: true });
    },
  };
}

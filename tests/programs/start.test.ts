import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runtimeTooOld } from "../../lib/program/start.js";
import { bundle } from "../../tools/bundle/bundle.ts";
import { cloneProject } from "../support/clone.ts";
import { eventually } from "../support/eventually.ts";
import { answer, openSite } from "../support/site.ts";

// The messages for a Node that is too old, and for a project without npm ci. A script's program
// also ends together with npm.

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NEEDED = "Node 24 or newer is needed, or Deno 2.9 or newer";
const BOTH = ": npm ci brings both along, for npm run and in node_modules/.bin\n";

/**
 * The machine's own Node, where it is too old for the programs. npm's scripts put a newer one first
 * in the PATH.
 */
const old = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "node")).find((node) => {
  if (!existsSync(node)) return false;
  const [, major = "24"] = /^v(\d+)/.exec(spawnSync(node, ["--version"], { encoding: "utf8" }).stdout) ?? [];
  return Number(major) < 24;
});
if (old === undefined) console.warn("No Node below 24 is on the PATH: what an old one is told is not tried here");

/** A clone in which nobody has run npm ci yet. */
const clone = cloneProject();
rmSync(join(clone.folder, "node_modules"));
const place = mkdtempSync(join(tmpdir(), "test-start-"));
afterAll(() => {
  clone[Symbol.dispose]();
  rmSync(place, { recursive: true, force: true });
});

/** Runs a command there, as a person would whose PATH begins with the folder of `node`. */
function tried(node: string, command: string, ...args: string[]) {
  const env = { HOME: process.env.HOME, PATH: `${dirname(node)}:${process.env.PATH}` };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: clone.folder, env, encoding: "utf8" });
  return { status, stdout, stderr };
}

it.each([
  [{ node: "24.0.0" }, null],
  [{ node: "26.1.0" }, null],
  [{ node: "23.11.0" }, `This is Node 23.11.0; ${NEEDED}`],
  [{ node: "4.9.1" }, `This is Node 4.9.1; ${NEEDED}`],
  [{ node: "24.3.0", deno: "2.9.0" }, null],
  [{ node: "24.3.0", deno: "3.0.0" }, null],
  [{ node: "24.3.0", deno: "2.8.3" }, `This is Deno 2.8.3; ${NEEDED}`],
  [{ node: "20.11.1", deno: "1.46.0" }, `This is Deno 1.46.0; ${NEEDED}`],
  [{ node: "24.3.0", bun: "1.3.0" }, `This is Bun 1.3.0; ${NEEDED}`],
])("of the versions %j it is said: %s", (versions, said) => {
  expect(runtimeTooOld(versions)).toBe(said);
});

describe("keepNurserySmall", () => {
  /** Says how many MB new objects have at most, where many of them must wait a while. */
  const program = `
    import { getHeapSpaceStatistics } from "node:v8";
    import { keepNurserySmall } from ${JSON.stringify(new URL("../../lib/program/start.js", import.meta.url).href)};
    const [small] = process.argv.slice(2);
    if (small === "small") keepNurserySmall();
    const kept = [];
    for (let n = 0; n < 2_000_000; n++) kept[n % 200_000] = { n };
    const sizes = getHeapSpaceStatistics().filter(({ space_name }) => space_name === "new_space");
    console.log(Math.ceil(sizes[0].physical_space_size / 1024 ** 2));
  `;
  const sizeWith = (size: string) => {
    const file = join(place, "nursery.mjs");
    writeFileSync(file, program);
    return Number(execFileSync(process.execPath, [file, size], { encoding: "utf8" }));
  };

  it("keeps Node from growing the memory for new objects", () => {
    expect(sizeWith("as it comes")).toBeGreaterThan(8);
    expect(sizeWith("small")).toBeLessThanOrEqual(4);
  });
});

describe("growHeapSlowly", () => {
  /** Says how many MB the process has at most, where 100 MB are in use and all is replaced again and again. */
  const program = `
    import process from "node:process";
    import { growHeapSlowly } from ${JSON.stringify(new URL("../../lib/program/start.js", import.meta.url).href)};
    const [pace] = process.argv.slice(2);
    if (pace === "slow") growHeapSlowly();
    const kept = [];
    let most = 0;
    for (let n = 0; n < 10_000; n++) {
      const bytes = Buffer.alloc(5000, 120);
      kept[n % 500] = { bytes, texts: Array.from({ length: 500 }, (_, i) => bytes.toString("latin1", i, i + 200)) };
      if (n % 100 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    console.log(Math.ceil(most / 1024 ** 2));
  `;
  const sizeWith = (pace: string) => {
    const file = join(place, "heap.mjs");
    writeFileSync(file, program);
    return Number(execFileSync(process.execPath, [file, pace], { encoding: "utf8" }));
  };

  it("has what is no longer used collected before the process is as large", () => {
    expect(sizeWith("slow")).toBeLessThan(0.9 * sizeWith("as it comes"));
  });
});

describe("keepCompiled", () => {
  const folder = join(clone.folder, ".cache", "compiled");
  const started = (env: Readonly<Record<string, string>> = {}) => {
    rmSync(join(clone.folder, ".cache"), { recursive: true, force: true });
    mkdirSync(dirname(folder));
    if (env.BLOCKED !== undefined) writeFileSync(folder, "");
    const options = { cwd: clone.folder, env: { PATH: process.env.PATH, ...env }, encoding: "utf8" } as const;
    const { status } = spawnSync(process.execPath, ["--experimental-strip-types", "consumer.ts"], options);
    return { status, files: existsSync(folder) && env.BLOCKED === undefined ? globSync("**/*", { cwd: folder }) : [] };
  };

  it("keeps what Node has made of the sources for the next start, beside the program", () => {
    expect(started()).toEqual({ status: 2, files: expect.arrayContaining([expect.stringMatching(/./)]) });
  });

  it("keeps nothing where the folder cannot be written to, and the program starts all the same", () => {
    expect(started({ BLOCKED: "yes" })).toEqual({ status: 2, files: [] });
  });

  it("leaves the choice to a person", () => {
    const own = join(place, "own");
    expect(started({ NODE_COMPILE_CACHE: own })).toEqual({ status: 2, files: [] });
    expect(globSync("**/*", { cwd: own })).not.toEqual([]);
  });
});

describe("before npm ci", () => {
  const missing = {
    status: 2,
    stdout: "",
    stderr: expect.stringMatching(/^The package \S+ is not installed: run npm ci first \(Deno needs no such step\)\n$/),
  };

  it.each(["producer", "consumer"])("%s.ts says so in one line", (name) => {
    expect(tried(process.execPath, process.execPath, "--experimental-strip-types", `${name}.ts`)).toEqual(missing);
  });

  it("npm's scripts say so in one line", () => {
    expect(tried(process.execPath, "npm", "run", "-s", "producer", "--", "hosts.txt")).toEqual(missing);
    expect(tried(process.execPath, "npm", "run", "-s", "bundle")).toEqual(missing);
    expect(tried(process.execPath, "npm", "-s", "test")).toEqual(missing);
  });

  const scripts = ["producer", "consumer", "demo", "kafka", "bundle", "test"];
  it.runIf(old !== undefined).each(scripts)("npm run %s under an old Node says what is needed", (name) => {
    const { status, stdout, stderr } = tried(old as string, "npm", "run", "-s", name);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr.replace(/Node \d\S+;/, "Node X;")).toBe(`This is Node X; ${NEEDED}${BOTH}`);
  });
});

it("npm says nothing of engines, which newer runtimes meet that it brings along itself", () => {
  // Whoever runs the tests by npm may have told that npm how much to say.
  const env = { ...process.env, npm_config_loglevel: undefined };
  const level = execFileSync("npm", ["config", "get", "loglevel"], { cwd: clone.folder, encoding: "utf8", env });
  expect(level).toBe("error\n");
});

describe("a bundle", () => {
  beforeAll(() => bundle(place));

  it("imports builtin modules only that any Node has, so that an old one comes to say that it is too old", () => {
    for (const name of ["producer", "consumer"]) {
      const imported = readFileSync(join(place, `${name}.js`), "utf8").matchAll(/\bfrom\s*"([^"]+)"/g);
      expect([...imported].map(([, id]) => id).toSorted()).toEqual(["node:module", "node:process", "node:v8"]);
    }
  });

  it("of the producer keeps the memory for new objects small before anything is loaded", () => {
    const flags = readFileSync(join(place, "producer.js"), "utf8").match(
      /--semi-space-growth-factor=1|PRODUCER_LISTEN/g,
    );
    expect(flags?.[0]).toBe("--semi-space-growth-factor=1");
    const unbundled = readFileSync(new URL("../../producer.ts", import.meta.url), "utf8");
    expect(unbundled).toMatch(/^keepNurserySmall\(\);\nawait start/m);
  });

  it.runIf(old !== undefined).each(["producer", "consumer"])("%s.js says in one line what is needed", (name) => {
    writeFileSync(join(place, "package.json"), '{"type":"module"}');
    const { status, stdout, stderr } = tried(old as string, old as string, join(place, `${name}.js`), "hosts.txt");
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr.replace(/Node \d\S+;/, "Node X;")).toBe(`This is Node X; ${NEEDED}\n`);
  });
});

describe("npm's scripts", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };

  it.each(Object.entries(scripts).filter(([name]) => name !== "test"))(
    "%s leaves no shell between npm and its last program",
    (_, command) => {
      expect(command.split("&&").at(-1)?.trim()).toMatch(/^(?:[A-Z_]+=\S+ )?exec /);
    },
  );

  it("Ctrl-C at a terminal, of which npm sends a copy, ends no check that is under way", async () => {
    await using site = await openSite((socket) =>
      void setTimeout(() => socket.end(answer("200 OK", {}, "fine")), 1500)
    );
    writeFileSync(join(place, "slow.txt"), `http://127.0.0.1:${site.port}/ 1h\n`);
    const npm = spawn("npm", ["run", "-s", "producer", "--", "--stdout", join(place, "slow.txt")], {
      cwd: ROOT,
      detached: true,
    });
    const output = { said: "", printed: "" };
    npm.stderr.setEncoding("utf8").on("data", (text: string) => output.said += text);
    npm.stdout.setEncoding("utf8").on("data", (text: string) => output.printed += text);
    const closed = new Promise<number | null>((resolve) => npm.once("close", resolve));
    await eventually(() => site.requests.length > 0, () => `nothing is checked:\n${output.said}`);
    process.kill(-(npm.pid as number), "SIGINT");
    expect(await closed, output.said).toBe(0);
    expect(JSON.parse(output.printed)).toMatchObject({ status_code: 200, is_valid: true });
  });

  // A shell that got the signal would end, and nobody would then end the program.
  it.each(["SIGTERM", "SIGINT"] as const)("%s to npm drains the producer, and none is left", async (signal) => {
    writeFileSync(join(place, "hosts.txt"), "http://127.0.0.1:1/ 1h\n");
    const npm = spawn("npm", ["run", "-s", "producer", "--", "--stdout", join(place, "hosts.txt")], { cwd: ROOT });
    let said = "";
    npm.stderr.setEncoding("utf8").on("data", (text: string) => said += text);
    const closed = new Promise<number | null>((resolve) => npm.once("close", resolve));
    await eventually(() => said.includes("the first check is due"), () => `the producer is not started:\n${said}`);
    npm.kill(signal);
    // The pipes close when no process holds them any more: the producer too has ended.
    expect(await closed, said).toBe(0);
    expect(said).toContain(`${signal}: finishing what is under way`);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../../tools/bundle/bundle.ts";
import { run, type Runtime, RUNTIMES } from "../support/programs.ts";
import { denoMissing } from "../support/runtimes.ts";

// `--from FILE` as a user calls it, from the sources and in a bundle.

const folder = mkdtempSync(join(tmpdir(), "test-from-program-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const runtimes = RUNTIMES.filter((runtime) => runtime === "node" || denoMissing === null);
const SECRET = "s3cret-token";
const CONFIG = `endpoints:
  - name: shop
    url: https://shop.example/
    headers: { X-Api-Key: ${SECRET} }
    conditions: ["[STATUS] == 200", "[BODY].a == 1"]
`;
const MOVED = `# 1 host of PATH (Gatus). A comment tells what has no counterpart here.
#
# Needed before the start:
#   HOSTS_SHOP_X_API_KEY: the value of the header X-Api-Key of "shop"

# shop
# no counterpart: [BODY].a == 1
https://shop.example/ 1m
| header X-Api-Key: \${HOSTS_SHOP_X_API_KEY}
| status 200
| timeout 10s
| label name=shop
`;

describe.each(runtimes)("the producer under %s", (runtime: Runtime) => {
  const alone = join(folder, `bundle-${runtime}`);
  beforeAll(() => bundle(alone));

  it.each([["from the sources", {}], ["in a bundle", { bundle: alone }]])(
    "%s, makes a hosts file that --check takes once its variables are set",
    async (_, options) => {
      const [given, moved] = [join(folder, `${runtime}.yaml`), join(folder, `${runtime}.txt`)];
      writeFileSync(given, CONFIG);
      const from = await run(runtime, "producer", ["--from", given], options);
      expect(from).toMatchObject({ code: 0, stderr: "" });
      expect(from.stdout.replace(given, "PATH")).toBe(MOVED);
      writeFileSync(moved, from.stdout);
      const unset = await run(runtime, "producer", ["--check", moved], options);
      expect(unset).toMatchObject({ code: 2, stderr: expect.stringContaining("HOSTS_SHOP_X_API_KEY is not set") });
      const set = await run(runtime, "producer", ["--check", moved], {
        ...options,
        env: { HOSTS_SHOP_X_API_KEY: SECRET },
      });
      expect(set).toMatchObject({ code: 0, stdout: expect.stringContaining("  | header X-Api-Key: …\n") });
    },
  );

  it("reads standard input, and says what is wrong with it, in 2 and without its content", async () => {
    const good = await run(runtime, "producer", ["--from", "-"], { input: CONFIG });
    expect(good).toMatchObject({ code: 0, stderr: "", stdout: MOVED.replace("PATH", "standard input") });
    const bad = await run(runtime, "producer", ["--from", "-"], { input: `endpoints: [${SECRET}` });
    expect(bad).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("standard input:1:25: is no YAML"),
    });
    expect(bad.stderr).not.toContain(SECRET);
  });
});

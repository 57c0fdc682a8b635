import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { freePort } from "../tools/free_ports.ts";
import { expandPromql, readDashboard } from "./support/dashboards.ts";
import { newEmbedded } from "./support/embedded.ts";
import { type ProgramName, start } from "./support/programs.ts";
import { canRunPromtool, promtool } from "./support/promtool.ts";
import { refusedPort } from "./support/site.ts";

// Prometheus' own checker reads the programs' pages, the rules, and the queries of the dashboard.

/** The checker's output is not compared. It is shown where the exit code is wrong. */
const FINE = { code: 0, said: expect.any(String) };
const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

describe.runIf(canRunPromtool())("promtool", () => {
  const folder = mkdtempSync(join(tmpdir(), "test-prometheus-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The page of a program once it holds `text`. */
  async function pageOf(program: ProgramName, args: readonly string[], input: string, text: string): Promise<string> {
    const listen = `127.0.0.1:${await freePort()}`;
    await using running = start("node", program, [...args, "--listen", listen]);
    running.write(input);
    const get = () => fetch(`http://${listen}/metrics`).then((response) => response.text()).catch(() => "");
    await expect.poll(get, { timeout: 55_000 }).toContain(text);
    return await get();
  }

  it("finds nothing to say against the page of the producer", async () => {
    const hosts = join(folder, "hosts.txt");
    writeFileSync(hosts, `http://127.0.0.1:${await refusedPort()} 1s\n`);
    const page = await pageOf("producer", ["--stdout", hosts], "", 'host_checker_checks_total{result="down"');
    expect(promtool(["check", "metrics"], page)).toEqual({ code: 0, said: "" });
  });

  it("finds nothing to say against the page of the consumer", async () => {
    const metric = '{"address":"a","status_code":200,"latency":0.1,"is_valid":true}\n';
    const args = ["--stdin", "--embedded", await newEmbedded(join(folder, "data")), "--metrics-hosts"];
    const page = await pageOf("consumer", args, metric, 'host_checker_host_up{address="a"} 1\n');
    expect(page).toContain("host_checker_rows_total 1\n");
    expect(page).toContain('host_checker_host_latency_seconds{address="a"} 0.1\n');
    expect(page).not.toContain("host_checker_host_certificate_left_seconds{");
    expect(promtool(["check", "metrics"], page)).toEqual({ code: 0, said: "" });
  });

  it("takes the example of a configuration and the rules", () => {
    expect(promtool(["check", "config", path("deploy/prometheus/prometheus.yml")])).toEqual(FINE);
    expect(promtool(["check", "rules", path("deploy/prometheus/alerts.yml")])).toEqual(FINE);
  });

  it("sees each alert fire where it should, and none where all is well", () => {
    expect(promtool(["test", "rules", path("tests/support/alerts_test.yml")])).toEqual(FINE);
  });

  it("takes every expression of the dashboard", () => {
    const expressions = readDashboard("programs").panels.flatMap(({ targets }) => targets.map(({ expr = "" }) => expr));
    const rules = expressions.map((expr, index) => ({ record: `panel:${index}`, expr: expandPromql(expr) }));
    const file = join(folder, "rules.yml");
    // JSON is YAML too.
    writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
    expect(promtool(["check", "rules", file])).toEqual(FINE);
  });
});

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { LogLevel } from "../../lib/config/setting_types.ts";
import { ConsumerReport } from "../../lib/monitoring/consumer_report.ts";
import { Log, type LogFormat } from "../../lib/monitoring/log.ts";
import { ProducerReport } from "../../lib/monitoring/producer_report.ts";
import { metricWith } from "../support/metrics.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function logged(level: LogLevel): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const format: LogFormat = ({ level: of, message }) => `${of} ${message}`;
  return { log: new Log("producer", level, format, (line) => void lines.push(line)), lines };
}

const down = (n: number) => metricWith({ address: `https://h${n}.example`, error: "dns", is_valid: false });

it("ProducerReport says at once who goes down and comes back, and what happened once a minute", () => {
  const { log, lines } = logged("INFO");
  const progress = { delivered: 3, waiting: 1 };
  using report = new ProducerReport(log, () => progress);
  report.see(down(1));
  report.see(metricWith({ address: "https://h1.example", checked_at: "2026-01-31T12:00:05.004Z" }));
  report.see(metricWith({ error: "missed", is_valid: false }));
  report.see(metricWith({ status_code: 500 }));
  vi.advanceTimersByTime(60_000);
  progress.delivered = 10;
  vi.advanceTimersByTime(60_000);
  expect(lines).toEqual([
    "WARN https://h1.example is down: dns",
    "WARN https://h1.example is up again, after 5 s",
    "WARN https://a.example is down: status 500",
    "INFO last minute: 3 checks, 1 up, 2 down (1 dns, 1 status 500), 1 missed; 1 host down; 3 metrics delivered, 1 waiting",
    "INFO last minute: 0 checks, 0 up, 0 down; 1 host down; 7 metrics delivered, 1 waiting",
  ]);
});

it("ProducerReport does not fill the log where everything goes down at once", () => {
  const { log, lines } = logged("INFO");
  using report = new ProducerReport(log, () => ({ delivered: 0, waiting: 0 }));
  for (let n = 0; n < 1000; n++) report.see(down(n));
  expect(lines).toHaveLength(50);
  vi.advanceTimersByTime(60_000);
  expect(lines[50]).toContain("1000 hosts down; 950 more changes of hosts;");
});

it("ProducerReport says each check only at DEBUG", () => {
  const { log, lines } = logged("DEBUG");
  using report = new ProducerReport(log, () => ({ delivered: 0, waiting: 0 }));
  report.see(metricWith());
  report.see(metricWith({ address: "https://b.example", status_code: null, error: "dns", is_valid: false }));
  expect(lines.filter((line) => line.startsWith("DEBUG"))).toEqual([
    "DEBUG https://a.example: up status 200 in 0.100 s",
    "DEBUG https://b.example: down in 0.100 s (dns)",
  ]);
});

it("ConsumerReport says once a minute what was stored since the last time", () => {
  const { log, lines } = logged("INFO");
  let [rows, rejected] = [10, 1];
  using _report = new ConsumerReport(log, () => ({ rows, rejected }));
  vi.advanceTimersByTime(60_000);
  [rows, rejected] = [11, 1];
  vi.advanceTimersByTime(60_000);
  expect(lines).toEqual([
    "INFO last minute: 10 metrics stored or known already, 1 rejected",
    "INFO last minute: 1 metric stored or known already, 0 rejected",
  ]);
});

it("ConsumerReport says rejections at once, then once a minute: how many, why the first, and where they are", () => {
  const { log, lines } = logged("WARN");
  const report = new ConsumerReport(log, () => ({ rows: 0, rejected: 0 }));
  report.rejected(1, "no\nteapots", `"m_rejected"`);
  expect(lines).toEqual([`WARN 1 message rejected, no teapots; see "m_rejected"`]);
  report.rejected(2, "no JSON", `"m_rejected"`);
  report.rejected(3, "something else", `"m_rejected"`);
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(60_000);
  expect(lines.slice(1)).toEqual([`WARN 5 messages rejected, the first because: no JSON; see "m_rejected"`]);
  report.rejected(1, "x".repeat(1000), `"m_rejected"`);
  expect(lines).toHaveLength(2);
  vi.advanceTimersByTime(60_000);
  expect(lines.slice(2)).toEqual([`WARN 1 message rejected, ${"x".repeat(300)}…; see "m_rejected"`]);
  vi.advanceTimersByTime(60_000);
  report.rejected(1, "later", `"m_rejected"`);
  expect(lines).toHaveLength(4);
  report.rejected(1, "last", `"m_rejected"`);
  report[Symbol.dispose]();
  expect(lines[4]).toBe(`WARN 1 message rejected, last; see "m_rejected"`);
});

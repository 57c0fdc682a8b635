import { describe, expect, it } from "vitest";
import { parseTargets } from "../../lib/config/notify_targets.ts";

const only = (text: string) => {
  const { targets, problems } = parseTargets(text, false);
  expect(problems).toEqual([]);
  expect(targets).toHaveLength(1);
  return targets[0];
};

describe("parseTargets", () => {
  it.each([
    ["https://hooks.example/a?b=c", { kind: "webhook", url: "https://hooks.example/a?b=c", authorization: null }],
    ["http://127.0.0.1:8080", { kind: "webhook", url: "http://127.0.0.1:8080/" }],
    ["slack+https://hooks.slack.example/T/B/x", { kind: "slack", url: "https://hooks.slack.example/T/B/x" }],
    ["Teams+HTTPS://teams.example/x", { kind: "teams", url: "https://teams.example/x" }],
    ["ntfy+http://ntfy.example/topic", { kind: "ntfy", url: "http://ntfy.example/topic" }],
    ["ntfy+https://:tk_1@ntfy.example/topic", { url: "https://ntfy.example/topic", authorization: "Bearer tk_1" }],
    ["https://me:p%40ss@hooks.example/", { url: "https://hooks.example/", authorization: "Basic bWU6cEBzcw==" }],
    ["pagerduty:R0UTINGKEY", { kind: "pagerduty", url: "https://events.pagerduty.com/v2/enqueue", key: "R0UTINGKEY" }],
    ["pagerduty+https://R0UTINGKEY@events.eu.pagerduty.com/v2/enqueue", {
      kind: "pagerduty",
      url: "https://events.eu.pagerduty.com/v2/enqueue",
      key: "R0UTINGKEY",
    }],
    ["alertmanager+http://127.0.0.1:9093", { kind: "alertmanager", url: "http://127.0.0.1:9093/api/v2/alerts" }],
    ["alertmanager+https://a.example/am/", { kind: "alertmanager", url: "https://a.example/am/api/v2/alerts" }],
    ["smtp://mail.example?to=a@b.example", {
      kind: "smtp",
      host: "mail.example",
      port: 587,
      isTls: false,
      login: null,
      to: "a@b.example",
      from: "a@b.example",
    }],
    ["smtps://me%40b.example:p%20w@[::1]/?to=a@b.example", {
      host: "::1",
      port: 465,
      isTls: true,
      login: { user: "me@b.example", password: "p w" },
      from: "me@b.example",
    }],
    ["smtp://mail.example:25?to=a@b.example&from=x@y.example", { port: 25, from: "x@y.example" }],
  ])("reads %s", (text, expected) => {
    expect(only(text)).toMatchObject(expected);
  });

  it.each([
    ["hooks.example/secret", "write a URL that begins with http:, https:, "],
    ["ftp://secret@hooks.example", "write a URL that begins with http:, https:, "],
    ["discord+https://hooks.example/secret", "write a URL that begins with http:, https:, "],
    ["https:secret", "write a whole URL, such as https://hooks.example/path"],
    ["slack+https:///secret", "write a whole URL, such as https://hooks.example/path"],
    ["pagerduty:", "write pagerduty: and the integration key behind it"],
    ["pagerduty:not-a-secret", "write pagerduty: and the integration key behind it"],
    ["smtp://me:secret@mail.example", "write smtp://host:587?to=somebody@example.org, "],
    ["smtp://me:secret@mail.example?to=nobody", "write smtp://host:587?to=somebody@example.org, "],
    ["smtp://me:secret@mail.example?to=a@b.example&from=secret", "write a mail address behind from="],
    ["smtp://me:secret@mail.example?to=a@b.example&cc=secret", "behind ? write to= and from= only"],
  ])("refuses %s, and quotes nothing of it", (text, problem) => {
    const { targets, problems } = parseTargets(`https://good.example ${text}`, false);
    expect(targets).toHaveLength(1);
    expect(problems).toEqual([expect.stringMatching(/^target 2: /)]);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).not.toContain("secret");
  });

  it("reads a file one a line, with comments, and a variable split by blanks", () => {
    const file = "# ours\nhttps://a.example\r\n\n  https://b.example\n";
    expect(parseTargets(file, true).targets.map((target) => target.kind)).toEqual(["webhook", "webhook"]);
    expect(parseTargets(" https://a.example\thttps://b.example ", false).targets).toHaveLength(2);
    expect(parseTargets("", false)).toEqual({ targets: [], problems: [] });
  });

  it("makes a target of each recipient of a mail", () => {
    const text = "smtp://mail.example?to=a@b.example,c@d.example&to=e@f.example smtp://mail.example?to=c@d.example";
    const { targets, problems } = parseTargets(text, false);
    expect(targets).toMatchObject([{ to: "a@b.example" }, { to: "c@d.example" }, { to: "e@f.example" }]);
    expect(new Set(targets.map(({ name }) => name)).size).toBe(3);
    expect(problems).toEqual(["target 2: it is the same as target 1: leave out one of them"]);
  });

  it("refuses a target that is there twice: it would be told twice", () => {
    expect(parseTargets("https://a.example https://b.example https://a.example", false).problems).toEqual([
      "target 3: it is the same as target 1: leave out one of them",
    ]);
  });

  it("gives each a name without its secret, which tells two apart that differ in nothing else", () => {
    const { targets } = parseTargets(
      "https://h.example/secret1 https://h.example/secret2 pagerduty:secret3x https://u:secret4@h.example/",
      false,
    );
    const names = targets.map(({ name }) => name);
    expect(new Set(names).size).toBe(4);
    expect(names.filter((name) => /secret/.test(name))).toEqual([]);
    expect(names[0]).toMatch(/^webhook h\.example #[0-9a-f]{6}$/);
  });
});

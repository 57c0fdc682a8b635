import { expect, it } from "vitest";
import { Fields, type Head } from "../../lib/check/answer_parser.ts";
import { redirectOf } from "../../lib/check/redirect.ts";
import { Failure } from "../../lib/check/failure.ts";

const from = new URL("https://a.example:8443/shop/?q=1");

function answerWith(status: number, location: string | null): Head {
  const fields = new Fields();
  if (location !== null) fields.add("Location", location);
  return { status, line: `HTTP/1.1 ${status}`, fields };
}

it.each([
  ["/fine", "https://a.example:8443/fine"],
  ["fine?a=b", "https://a.example:8443/shop/fine?a=b"],
  ["//b.example/fine", "https://b.example/fine"],
  ["http://b.example", "http://b.example/"],
  ["http://0x7f.1/", "http://127.0.0.1/"],
  ["http://017700000001:0/", "http://127.0.0.1:0/"],
  ["http://%31%32%37.1/", "http://127.0.0.1/"],
  ["http://b.example./", "http://b.example./"],
  ["http://xn--grn-IOA.example/", "http://xn--grn-ioa.example/"],
  ["https://user:secret@b.example/", "https://b.example/"],
  [Buffer.from("/grün").toString("latin1"), "https://a.example:8443/gr%C3%BCn"],
  ["/gr\xfcn?\xfc", "https://a.example:8443/gr%FCn?%FC"],
  [Buffer.from("http://grün.example/").toString("latin1"), "http://xn--grn-ioa.example/"],
])("redirectOf follows %j", (location, expected) => {
  expect(String(redirectOf(answerWith(302, location), from))).toBe(expected);
});

it.each([301, 302, 303, 307, 308])("redirectOf takes %i for a redirect", (status) => {
  expect(redirectOf(answerWith(status, "/"), from)).toBeInstanceOf(URL);
});

it.each([200, 201, 300, 304, 305, 306, 309])("redirectOf takes %i for an answer", (status) => {
  expect(redirectOf(answerWith(status, "/"), from)).toBeNull();
});

it.each([null, ""])("redirectOf takes a redirect with the Location %j for an answer", (location) => {
  expect(redirectOf(answerWith(302, location), from)).toBeNull();
});

it.each([
  ["http://gr\xfcn.example/", "the redirect's address is no URL"],
  ["http://user:secret@[/", "the redirect's address is no URL"],
  ["http://user:secret@xn--a/", "the redirect's address is no URL"],
  ["http://xn--n-t.secret/", "the redirect's address is no URL"],
  ["http://XN--zzzzzzzz.secret/", "the redirect's address is no URL"],
  ["http://[fe80::1%25secret]/", "the redirect's address is no URL"],
  ["http://a.secret:65536/", "the redirect's address is no URL"],
  ["http://secret%00/", "the redirect's address is no URL"],
  ["http://256.1.1.1/", "the redirect's address is no URL"],
  ["http://a..secret/", "the redirect's address has a name that no host can have"],
  ["http://.secret/", "the redirect's address has a name that no host can have"],
  ["http://secret../", "the redirect's address has a name that no host can have"],
  ["http://a*secret/", "the redirect's address has a name that no host can have"],
  ["ftp://user:secret@b.example/", "the redirect leads to a ftp: address, not to http: or https:"],
  ["javascript:secret()", "the redirect leads to a javascript: address, not to http: or https:"],
])("redirectOf refuses %s without quoting it", (location, detail) => {
  expect(redirectOf(answerWith(302, location), from)).toEqual(new Failure("redirect", detail));
});

import { expect, it } from "vitest";
import { isPrivateAddress, literalAddress } from "../../lib/net/ip_address.ts";

it.each([
  ["0.0.0.0", "0.255.255.255", "unspecified, this network"],
  ["10.0.0.0", "10.255.255.255", "private"],
  ["100.64.0.0", "100.127.255.255", "shared"],
  ["127.0.0.1", "127.255.255.255", "loopback"],
  ["169.254.0.0", "169.254.169.254", "link-local, metadata"],
  ["172.16.0.0", "172.31.255.255", "private"],
  ["192.0.0.0", "192.0.0.192", "protocol assignments, metadata"],
  ["192.0.2.0", "192.0.2.255", "documentation"],
  ["192.88.99.0", "192.88.99.255", "6to4 relays"],
  ["192.168.0.0", "192.168.255.255", "private"],
  ["198.18.0.0", "198.19.255.255", "benchmarks"],
  ["198.51.100.0", "203.0.113.255", "documentation"],
  ["224.0.0.1", "239.255.255.255", "multicast"],
  ["240.0.0.0", "255.255.255.255", "reserved, broadcast"],
  ["168.63.129.16", "168.63.129.16", "Azure's own"],
  ["::", "::1", "unspecified, loopback"],
  ["::7f00:1", "::808:808", "IPv4-compatible"],
  ["::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "mapped"],
  ["64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "translated"],
  ["64:ff9b:1::1", "64:ff9b:1:ffff::", "translated within a site"],
  ["100::", "100::ffff", "to be discarded"],
  ["2001::1", "2001:1ff:ffff::", "Teredo, protocol assignments"],
  ["2001:db8::", "2001:db8:ffff::1", "documentation"],
  ["2002:7f00:1::", "2002:c0a8:101:1::1", "6to4 of private"],
  ["3fff::", "3fff:fff::1", "documentation"],
  ["fc00::", "fd00:ec2::254", "unique local, metadata"],
  ["fe80::1", "fe80::1%eth0", "link-local"],
  ["fec0::1", "feff::1", "site-local"],
  ["ff02::1", "ff0e::1", "multicast"],
])("isPrivateAddress is true of %s and %s: %s", (first, last) => {
  expect([isPrivateAddress(first), isPrivateAddress(last)]).toEqual([true, true]);
});

it.each([
  ...["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"],
  ...["169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.20.0.0"],
  ...["203.0.114.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "3ffe::1"],
  ...["::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
])("isPrivateAddress is false of %s", (address) => {
  expect(isPrivateAddress(address)).toBe(false);
});

it.each([
  ["127.0.0.1", { address: "127.0.0.1", family: 4 }],
  ["[::1]", { address: "::1", family: 6 }],
  ["localhost", undefined],
  ["1.2.3.4.example", undefined],
])("literalAddress reads %s", (hostname, expected) => {
  expect(literalAddress(hostname)).toEqual(expected);
});

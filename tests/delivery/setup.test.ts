import { expect, it } from "vitest";
import { groupId } from "../../lib/delivery/setup.ts";

it("groupId is another one for each name, topic and place", () => {
  expect(groupId("shop", "metrics", null)).toBe("host-checker-producers.metrics.shop");
  expect(groupId("shop", "metrics", "Berlin")).toBe("host-checker-producers.metrics.shop.Berlin");
  expect(groupId("shop", "other", "Berlin")).not.toBe(groupId("shop", "metrics", "Berlin"));
});

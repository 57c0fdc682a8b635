import { answers } from "./answers.ts";
import { certificates } from "./certificates.ts";
import { hosts } from "./hosts.ts";
import { messages } from "./messages.ts";
import { servers } from "./servers.ts";
import { spool } from "./spool.ts";
import type { Target } from "./target.ts";

/** All targets. A new one is a line here. */
export const TARGETS: readonly Target[] = [answers, certificates, hosts, messages, servers, spool];

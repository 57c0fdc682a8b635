// Matches one large page, and prints the outcome. Then nothing is left to do, and the process ends
// by itself.
import { stdout } from "node:process";
import { openMatcher } from "../../lib/check/matching.ts";
import { compilePattern } from "../../lib/hosts/pattern.ts";

const page = { bytes: new TextEncoder().encode("x".repeat(1024 * 1024)), contentType: null };
const isMatch = await openMatcher().matches(compilePattern("x$"), page, 60, new AbortController().signal);
stdout.write(`${isMatch}\n`);

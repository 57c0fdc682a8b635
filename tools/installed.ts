// Ends at once if npm ci has been run: node tools/start.js tools/installed.ts. Otherwise it throws,
// and start.js says what is missing. npm test begins with it: its first program is Deno, which the
// shell would miss in words of its own.
import.meta.resolve("vitest");

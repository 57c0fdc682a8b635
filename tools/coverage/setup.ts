// Runs in every process that Vitest starts for a file of tests.
import { takeCoverage } from "node:v8";
import { afterAll } from "vitest";

// Vitest ends its processes before they could write their coverage themselves.
afterAll(() => takeCoverage());

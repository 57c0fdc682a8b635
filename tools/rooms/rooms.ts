// Draws the picture in the README's "Reading the code" from the imports: npm run rooms.
import { writeFileSync } from "node:fs";
import { PICTURE, picture } from "./picture.ts";

writeFileSync(new URL(`../../${PICTURE}`, import.meta.url), picture());

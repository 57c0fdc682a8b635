// Loaded before a program (`node --import`): its clock goes CLOCK_SKEW milliseconds before the
// machine's.
import process from "node:process";

const skew = Number(process.env.CLOCK_SKEW ?? 0);
const RightDate = Date;

class SkewedDate extends RightDate {
  constructor(...parts: readonly unknown[]) {
    super(...(parts.length === 0 ? [SkewedDate.now()] : parts) as [number]);
  }

  static override now(): number {
    return RightDate.now() + skew;
  }
}

globalThis.Date = SkewedDate as DateConstructor;

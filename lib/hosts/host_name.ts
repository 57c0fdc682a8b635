/**
 * Invisible characters: format characters, fillers and the like (Unicode,
 * Default_Ignorable_Code_Point), control characters, odd blanks.
 */
const INVISIBLE = /[\p{Cf}\p{Cc}\p{Z}\p{Default_Ignorable_Code_Point}]/u;
/** As above, without the joiners and variation selectors, which belong into words and emoji. */
const INVISIBLE_IN_PATH = /(?![\u200c\u200d\ufe00-\ufe0f])[\p{Cf}\p{Cc}\p{Z}]/u;

/**
 * The first invisible character of an address, as `U+200B`; null where there is none. `host` is the
 * part up to the path.
 */
export function invisibleIn(host: string, rest: string): string | null {
  const [sign] = INVISIBLE.exec(host) ?? INVISIBLE_IN_PATH.exec(rest) ?? [];
  if (sign === undefined) return null;
  return `U+${sign.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}`;
}

/**
 * Labels of letters, digits, dashes and underscores (which RFC 1123 does not have, but sites do);
 * or an IPv6 address. A URL allows more, which no name server knows.
 */
const HOST_NAME = /^(?:\[[0-9a-f:.]+\]|(?:[a-z0-9_-]+\.)*[a-z0-9_-]+\.?)$/i;

/**
 * Why no host can have the name of a URL; null where one can. `punycode`: a label begins with
 * `xn--` and is no punycode of a name (RFC 5891, section 5.4). Deno's URL refuses such a label,
 * Node's does not. The decoded name must lead back to the same label.
 */
export function nameFault(hostname: string): "punycode" | "signs" | null {
  const labels = hostname.toLowerCase().split(".");
  if (!labels.every((label) => !label.startsWith("xn--") || isSound(label))) return "punycode";
  return HOST_NAME.test(hostname) ? null : "signs";
}

function isSound(label: string): boolean {
  const name = decodePunycode(label.slice("xn--".length));
  // The label is in lower case already, and so is the result.
  if (name === null || !/[^\0-\x7f]/.test(name) || INVISIBLE.test(name)) return false;
  return URL.parse(`https://${name}/`)?.hostname === label;
}

/** Parameters of punycode (RFC 3492, section 5). */
const [BASE, T_MIN, T_MAX, SKEW, DAMP, BIAS, FIRST] = [36, 1, 26, 38, 700, 72, 128];
const LAST = 0x10ffff;

/**
 * The name that a label without its `xn--` stands for (RFC 3492, section 6.2); null where it stands
 * for none.
 */
export function decodePunycode(text: string): string | null {
  const dash = text.lastIndexOf("-");
  const signs = [...text.slice(0, Math.max(0, dash))].map((sign) => sign.codePointAt(0) as number);
  if (signs.some((sign) => sign >= FIRST)) return null;
  let [sign, index, bias] = [FIRST, 0, BIAS];
  for (let place = dash + 1; place < text.length;) {
    const before = index;
    let weight = 1;
    for (let k = BASE;; k += BASE) {
      const digit = digitOf(text[place++]);
      index += digit * weight;
      if (Number.isNaN(digit) || index > Number.MAX_SAFE_INTEGER / BASE) return null;
      const threshold = Math.min(T_MAX, Math.max(T_MIN, k - bias));
      if (digit < threshold) break;
      weight *= BASE - threshold;
    }
    const length = signs.length + 1;
    bias = adapted(index - before, length, before === 0);
    sign += Math.floor(index / length);
    index %= length;
    if (sign > LAST || (sign >= 0xd800 && sign <= 0xdfff)) return null;
    signs.splice(index++, 0, sign);
  }
  return String.fromCodePoint(...signs);
}

function digitOf(sign: string | undefined): number {
  if (sign === undefined) return NaN;
  if (/[a-z]/.test(sign)) return sign.charCodeAt(0) - 97;
  return /\d/.test(sign) ? Number(sign) + 26 : NaN;
}

function adapted(delta: number, length: number, isFirst: boolean): number {
  let rest = Math.floor(delta / (isFirst ? DAMP : 2));
  rest += Math.floor(rest / length);
  let bias = 0;
  for (; rest > (BASE - T_MIN) * T_MAX / 2; bias += BASE) rest = Math.floor(rest / (BASE - T_MIN));
  return bias + Math.floor((BASE - T_MIN + 1) * rest / (rest + SKEW));
}

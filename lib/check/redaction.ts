import type { Host } from "../hosts/hosts.ts";

/** Shorter texts cannot be told from others, and protect nothing. */
const SHORTEST = 4;
/** Stands in the place of a secret. */
const MASK = "…";
/** Names of values that are secrets, in a body that stands in the hosts file itself. */
const SECRET_NAME = /pass|pwd|secret|token|key|auth|cred|session|sign|otp|pin/i;

/**
 * Takes the secrets of a host out of what its site answers: a site may send back what it was sent.
 * Secrets are the values of variables and files in its options, those of its headers but the open
 * ones, the secret values in its body, and its user and password.
 */
export class Redaction {
  /** The secrets in all forms in which a page may show them, the longest first. */
  readonly #forms: readonly string[];

  constructor({ authorization, options }: Pick<Host, "authorization" | "options">) {
    const headers = options?.headers.filter(({ isOpen }) => !isOpen).flatMap(({ value }) => partsOf(value)) ?? [];
    const login = authorization === null ? [] : partsOf(authorization);
    const all = [...options?.secrets ?? [], ...headers, ...login, ...secretsInBody(options?.body ?? null)];
    const forms = all.map((secret) => secret.trim()).filter((secret) => secret.length >= SHORTEST).flatMap(formsOf);
    this.#forms = [...new Set(forms)].toSorted((a, b) => b.length - a.length);
  }

  /** The text without the secrets. */
  of(text: string): string {
    return this.#forms.reduce((rest, form) => rest.includes(form) ? rest.replaceAll(form, () => MASK) : rest, text);
  }

  /** As `of`, for the beginning of a text, at whose end a secret may be cut off. */
  ofBeginning(text: string): string {
    const rest = this.of(text);
    const cut = Math.max(0, ...this.#forms.map((form) => overlap(rest, form)));
    return cut === 0 ? rest : `${rest.slice(0, -cut)}${MASK}`;
  }
}

/**
 * Bytes that the longest secret of a host has at most, in any of its forms: in a URL a character has
 * nine signs, or 18 where it was taken for Latin-1, and each of them two bytes in UTF-16.
 */
export function longestSecret({ authorization, options }: Pick<Host, "authorization" | "options">): number {
  const texts = [authorization ?? "", options?.body ?? "", ...options?.secrets ?? []];
  const headers = options?.headers.map(({ value }) => value) ?? [];
  return 36 * Math.max(...[...texts, ...headers].map(({ length }) => length));
}

/** Characters of the text's end that are the beginning of a secret. */
function overlap(text: string, secret: string): number {
  for (let length = Math.min(secret.length - 1, text.length); length >= SHORTEST; length--) {
    if (text.endsWith(secret.slice(0, length))) return length;
  }
  return 0;
}

/** A header's value, and what in it may be a secret by itself. */
function partsOf(value: string): readonly string[] {
  const [, scheme = "", credentials = ""] = /^(\S+)[ \t]+(\S.*)$/s.exec(value) ?? [];
  const values = value.split(/[;,]/).map((part) => part.slice(part.indexOf("=") + 1));
  if (scheme.toLowerCase() !== "basic") return [value, credentials, ...values];
  const login = Buffer.from(credentials, "base64").toString("utf8");
  return [value, credentials, login, login.slice(login.indexOf(":") + 1)];
}

/** The secret values in a body of JSON or of a form. A body of another form is one by itself. */
function secretsInBody(body: string | null): readonly string[] {
  if (body === null) return [];
  try {
    return [body, ...secretsInJson(JSON.parse(body), false)];
  } catch {
    const fields = [...new URLSearchParams(body)];
    return [body, ...fields.filter(([name]) => SECRET_NAME.test(name)).map(([, value]) => value)];
  }
}

/** How deep a body is looked into. */
const DEEPEST = 100;

function secretsInJson(value: unknown, isSecret: boolean, depth = 0): readonly string[] {
  if (typeof value !== "object" || value === null) return isSecret && value !== null ? [String(value)] : [];
  if (depth === DEEPEST) return [];
  return Object.entries(value).flatMap(([name, inside]) =>
    secretsInJson(inside, isSecret || SECRET_NAME.test(name), depth + 1)
  );
}

const HTML: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/**
 * A text as pages write it: as it is, in JSON, in HTML, in a URL, in a form, and in base64. A site may
 * have taken its bytes for Latin-1.
 */
function formsOf(secret: string): readonly string[] {
  const latin1 = Buffer.from(secret).toString("latin1");
  return latin1 === secret ? writtenForms(secret) : [...writtenForms(secret), ...writtenForms(latin1)];
}

function writtenForms(secret: string): readonly string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const ascii = json.replaceAll(/[^ -~]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const html = secret.replaceAll(/[&<>"']/g, (sign) => HTML[sign] ?? sign);
  const url = encodeURIComponent(secret.toWellFormed());
  const base64 = Buffer.from(secret).toString("base64");
  return [
    ...[secret, json, ascii, json.replaceAll("/", "\\/"), html, html.replaceAll("&#39;", "&#039;"), url],
    // In a URL, the name of a host and the scheme are in lower case.
    ...[
      secret.toLowerCase(),
      url.replaceAll("%20", "+"),
      base64,
      base64.replace(/=+$/, ""),
      Buffer.from(secret).toString("base64url"),
    ],
  ].filter((form) => form.length >= SHORTEST);
}

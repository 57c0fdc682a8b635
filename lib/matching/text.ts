/** A body's text, in the charset that the Content-Type names, else (or where it is not known) UTF-8. */
export function textOf(bytes: Uint8Array, contentType: string | null): string {
  return decoderOf(contentType ?? "").decode(bytes);
}

function decoderOf(contentType: string): TextDecoder {
  const label = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(label);
  } catch {
    return new TextDecoder();
  }
}

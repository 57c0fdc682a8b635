/** A host and its port, as `HOST:PORT` names them. */
export interface HostAndPort {
  /** An IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
}

const FORM = /^(?:([^\s:/@[\]]+)|\[([0-9a-fA-F:.]+)\]):(\d{1,5})$/;
const LAST_PORT = 65_535;

/** Reads `HOST:PORT`, with an IPv6 address in brackets; null where the text is something else. */
export function parseHostAndPort(text: string): HostAndPort | null {
  const [, name, ipv6, digits] = FORM.exec(text) ?? [];
  const [host, port] = [name ?? ipv6, Number(digits)];
  return host === undefined || port > LAST_PORT ? null : { host, port };
}

/** Writes `HOST:PORT`, with an IPv6 address in brackets. */
export function writeHostAndPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The host as sockets take it: a URL writes an IPv6 address in brackets. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

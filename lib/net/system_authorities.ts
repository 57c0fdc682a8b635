import { getCACertificates } from "node:tls";

/**
 * The authorities that this machine trusts, as PEM text. They are the system's, and those that the
 * runtime brings or was told of (NODE_EXTRA_CA_CERTS). By itself Node trusts only the list that it
 * was built with.
 */
export function systemAuthorities(): string {
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])].join("\n");
}

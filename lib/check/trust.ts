import type { HostTls } from "../hosts/host_options.ts";
import { CertificateJudge } from "./judgement.ts";
import { type Authorities, authoritiesIn } from "./paths.ts";
import { checkContext, type Trust } from "./secure.ts";

/** A context and a judge cost more than the rest of a check, and some ten KB. */
const MOST_KEPT = 500;

/** What each host trusts. One store serves all checks of a thread. */
export class TrustStore {
  /** What hosts without options of their own trust. */
  readonly usual: Trust;
  readonly #own = new Map<string, Pick<Trust, "context" | "certificates">>();

  constructor(authorities: Authorities) {
    this.usual = {
      context: checkContext({}),
      certificates: new CertificateJudge(authorities),
      name: null,
      isVerified: true,
    };
  }

  /**
   * What a host with these options trusts. Its name and its client's certificate are for the host
   * itself, and not for another one to which it redirects (`isOwnHost` is false).
   */
  of(tls: HostTls | null, isOwnHost: boolean): Trust {
    if (tls === null) return this.usual;
    const { name, isVerified } = tls;
    return { ...this.#contextOf(tls, isOwnHost), name: isOwnHost ? name : null, isVerified };
  }

  #contextOf({ ca, cert, key, id }: HostTls, isOwnHost: boolean): Pick<Trust, "context" | "certificates"> {
    const hasClient = isOwnHost && cert !== null && key !== null;
    if (!hasClient && ca === null) return this.usual;
    const known = `${hasClient} ${id}`;
    let own = this.#own.get(known);
    if (own === undefined) {
      own = {
        context: checkContext({ ...ca !== null && { ca }, ...hasClient && { cert, key } }),
        certificates: ca === null ? this.usual.certificates : new CertificateJudge(authoritiesIn(ca), true),
      };
    }
    // A Map keeps the order in which things were put in: the first was not used for longest.
    this.#own.delete(known);
    this.#own.set(known, own);
    if (this.#own.size > MOST_KEPT) this.#own.delete(this.#own.keys().next().value as string);
    return own;
  }
}

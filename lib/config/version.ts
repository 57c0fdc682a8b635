/** The version of both programs. They run in places without package.json too. */
export const VERSION = "0.1.0";

/** The name by which sites see the checks (RFC 9110, section 10.1.5). */
export const USER_AGENT = `host-checker/${VERSION}`;

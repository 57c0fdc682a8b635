/** The version of both programs; package.json is not beside them everywhere they run. */
export const VERSION = "0.1.0";

/** How checks present themselves to the sites (RFC 9110, section 10.1.5). */
export const USER_AGENT = `host-checker/${VERSION}`;

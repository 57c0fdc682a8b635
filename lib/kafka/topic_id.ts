/** A topic's id in the two halves that librdkafka gives. */
export interface IdHalves {
  readonly mostSignificantBits: bigint;
  readonly leastSignificantBits: bigint;
}

/**
 * The id of a topic as 32 hexadecimal digits, from either form in which a client tells it: UUID
 * text, or two signed halves. Both must give the same, else a group of both clients would store
 * everything twice. Null for the id of a broker without topic ids (Kafka before 2.8), which is all
 * zeros, and for text that is no UUID.
 */
export function topicIdHex(id: string | IdHalves): string | null {
  const digits = typeof id === "string" ? id.replaceAll("-", "").toLowerCase() : halvesToHex(id);
  return /^[0-9a-f]{32}$/.test(digits) && !/^0+$/.test(digits) ? digits : null;
}

function halvesToHex({ mostSignificantBits, leastSignificantBits }: IdHalves): string {
  return [mostSignificantBits, leastSignificantBits]
    .map((half) => BigInt.asUintN(64, half).toString(16).padStart(16, "0"))
    .join("");
}

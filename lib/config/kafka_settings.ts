import type { OptionName } from "./options.ts";
import type { SettingsReader } from "./reader.ts";
import type { ClientChoice, Login } from "./setting_types.ts";

/** How to reach a Kafka topic. */
export interface KafkaSettings {
  readonly bootstrapServers: readonly string[];
  readonly topic: string;
  readonly client: ClientChoice;
  /** Where it is enabled without a CA file, the system's CAs are trusted. */
  readonly ssl: {
    readonly enabled: boolean;
    readonly caFile: string | null;
    readonly keyFile: string | null;
    readonly certFile: string | null;
    /** The password of the key. */
    readonly keyPassword: string | null;
    /** The file of that password, which is read again together with the others. */
    readonly keyPasswordFile: string | null;
  };
  /** Null: there is no login, except by a certificate. */
  readonly sasl: Login | null;
}

/**
 * Reads the settings of Kafka; null where one is missing or wrong. Without `isNeeded` none is
 * required.
 */
export function readKafka(reader: SettingsReader, isNeeded: boolean): KafkaSettings | null {
  const read = <N extends "bootstrapServers" | "topic">(name: N, remedy: string) =>
    isNeeded ? reader.required(name, remedy) : reader.optional(name);
  const servers = read("bootstrapServers", "write the brokers, such as localhost:9092");
  const topic = read("topic", "write the name of the topic");
  const [client, ssl, sasl] = [reader.optional("kafkaClient"), readKafkaSsl(reader), readKafkaSasl(reader)];
  if (servers === null || topic === null || client === null) return null;
  return { bootstrapServers: servers, topic, client, ssl, sasl };
}

function readKafkaSsl(reader: SettingsReader): KafkaSettings["ssl"] {
  const caFile = reader.optional("kafkaSslCaFile");
  const keyFile = reader.optional("kafkaSslKeyFile");
  const certFile = reader.optional("kafkaSslCertFile");
  const keyPassword = reader.secret("kafkaSslKeyPassword", "kafkaSslKeyPasswordFile");
  const keyPasswordFile = reader.optional("kafkaSslKeyPasswordFile");
  const isWanted = reader.optional("kafkaSsl");
  if (keyFile !== null && certFile === null) reader.missing("kafkaSslCertFile", "a key needs its certificate");
  if (certFile !== null && keyFile === null) reader.missing("kafkaSslKeyFile", "a certificate needs its key");
  if (keyFile === null && certFile === null && (keyPassword ?? keyPasswordFile) !== null) {
    reader.missing("kafkaSslKeyFile", "a password for a key needs the key");
  }
  const enabled = isWanted ?? caFile !== null;
  if (!enabled && reader.originOf("kafkaSsl") === null && (keyFile !== null || certFile !== null)) {
    reader.problems.push(
      "a key and a certificate for Kafka need TLS: add --kafka-ssl-ca-file (KAFKA_SSL_CA_FILE), or set --kafka-ssl (KAFKA_SSL) to true",
    );
  }
  return { enabled, caFile, keyFile, certFile, keyPassword, keyPasswordFile };
}

/** All three parts of a login, or none. */
function readKafkaSasl(reader: SettingsReader): Login | null {
  const mechanism = reader.optional("kafkaSaslMechanism");
  const username = reader.optional("kafkaSaslUsername");
  const password = reader.secret("kafkaSaslPassword", "kafkaSaslPasswordFile");
  const given = SASL_OPTIONS.filter((name) => reader.originOf(name) !== null);
  if (given.length === 0) return null;
  if (!given.includes("kafkaSaslMechanism")) {
    reader.missing("kafkaSaslMechanism", "write plain, scram-sha-256 or scram-sha-512");
  }
  if (!given.includes("kafkaSaslUsername")) reader.missing("kafkaSaslUsername", "write the name to log in with");
  if (!given.includes("kafkaSaslPassword") && !given.includes("kafkaSaslPasswordFile")) {
    reader.missing("kafkaSaslPassword", "set it, or name a file in --kafka-sasl-password-file");
  }
  return mechanism === null || username === null || password === null ? null : { mechanism, username, password };
}

const SASL_OPTIONS = [
  "kafkaSaslMechanism",
  "kafkaSaslUsername",
  "kafkaSaslPassword",
  "kafkaSaslPasswordFile",
] as const satisfies readonly OptionName[];

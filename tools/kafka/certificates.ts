import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Files in PEM form. */
export interface Certificates {
  /** The authority that signed everyone else's certificate. */
  readonly caFile: string;
  /** The private key of a client, and its certificate. */
  readonly keyFile: string;
  readonly certFile: string;
}

/** Days: the authority lives long, so that a client's files stay good; the others are made anew often enough. */
const CA_DAYS = 3650;
const CERTIFICATE_DAYS = 825;

/**
 * The authority and the client's files in `directory`; made where they are missing, else kept, so
 * that clients need no new ones.
 */
export async function makeCertificates(directory: string): Promise<Certificates> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const caFile = join(directory, "ssl_ca_file.pem");
  const keyFile = join(directory, "ssl_key_file.key");
  const certFile = join(directory, "ssl_cert_file.cert");
  if (!existsSync(caFile)) await makeAuthority(directory, caFile);
  if (!existsSync(certFile)) await makeSigned(directory, "client", "extendedKeyUsage=clientAuth", keyFile, certFile);
  return { caFile, keyFile, certFile };
}

/**
 * A key and a certificate for a server called `names`, in one file, as the broker wants them. Gives the file's name.
 * `days`: 0 makes one that has expired when it is used.
 */
export async function makeServerStore(
  directory: string,
  file: string,
  names: readonly string[],
  days = CERTIFICATE_DAYS,
): Promise<string> {
  const base = join(directory, file);
  const extensions = `subjectAltName=${names.join(",")}\nextendedKeyUsage=serverAuth,clientAuth`;
  await makeSigned(directory, file, extensions, `${base}.key`, `${base}.cert`, days);
  const store = `${base}.pem`;
  await writeFile(store, await readFile(`${base}.key`, "utf8") + await readFile(`${base}.cert`, "utf8"), {
    mode: 0o600,
  });
  return store;
}

async function makeAuthority(directory: string, caFile: string): Promise<void> {
  const key = join(directory, "ca.key");
  const config = join(directory, "ca.conf");
  const extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
  const names = "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ca\n[dn]\nCN=host-checker local CA\n";
  await writeFile(config, `${names}[ca]\n${extensions}\nsubjectKeyIdentifier=hash\n`);
  await makeKey(key);
  await openssl(
    "req",
    "-x509",
    "-new",
    "-sha256",
    "-days",
    String(CA_DAYS),
    "-config",
    config,
    "-key",
    key,
    "-out",
    caFile,
  );
}

async function makeSigned(
  directory: string,
  name: string,
  extensions: string,
  keyFile: string,
  certFile: string,
  days = CERTIFICATE_DAYS,
): Promise<void> {
  const [request, config] = [join(directory, `${name}.csr`), join(directory, `${name}.conf`)];
  await writeFile(config, `basicConstraints=CA:FALSE\n${extensions}\n`);
  await makeKey(keyFile);
  await openssl("req", "-new", "-sha256", "-key", keyFile, "-subj", `/CN=host-checker ${name}`, "-out", request);
  const signing = ["-CA", join(directory, "ssl_ca_file.pem"), "-CAkey", join(directory, "ca.key")];
  const rest = ["-days", String(days), "-sha256", "-set_serial", `0x${crypto.randomUUID().replaceAll("-", "")}`];
  await openssl("x509", "-req", "-in", request, ...signing, ...rest, "-extfile", config, "-out", `${certFile}.new`);
  // Last, and at once: a certificate that is there has its key.
  await rename(`${certFile}.new`, certFile);
}

/** PKCS#8, the only form that the broker reads. */
async function makeKey(file: string): Promise<void> {
  await openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file);
}

/**
 * Runs the openssl command; its own words are in the error where it fails. Also for certificates
 * that only a test wants.
 */
export async function openssl(...args: string[]): Promise<void> {
  await run("openssl", args);
}

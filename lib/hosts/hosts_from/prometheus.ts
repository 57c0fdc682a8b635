import { hide } from "../address.ts";
import { otherProber, type ProbeManner, probeManner } from "./blackbox_modules.ts";
import { durationOf, type ForeignFile, type ForeignHost, plainHost } from "./foreign_file.ts";
import { isUnset, listOf, objectOf, type PlainObject, scalarText, textsOf } from "./plain_values.ts";

/** Targets that belong together, with their labels: an element of a list of targets. */
interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: PlainObject;
}

/** Reads the files that a path with a star names. Null where none can be read. */
export type ReadTargets = (pattern: string) => readonly unknown[] | null;

/** Milliseconds, where a configuration says nothing. */
const USUAL_INTERVAL = 60_000;

/** True for a list of targets, as file_sd_configs name it. */
export function isTargetList(document: unknown): document is readonly unknown[] {
  return Array.isArray(document) && document.some((group) => Array.isArray(objectOf(group)["targets"]));
}

/** The content of a list of targets. */
export function readTargetList(document: readonly unknown[], modules: PlainObject): ForeignFile {
  const hosts: ForeignHost[] = [];
  const remarks = ["a list of targets says no interval: one minute is written"];
  for (const group of groupsOf(document)) {
    const module = scalarText(group.labels["__param_module"]);
    const why = module === "" ? null : otherProber(module, modules);
    if (why !== null) remarks.push(...group.targets.map((target) => `${nameOf(target)}: ${why}, no web site`));
    else hosts.push(...group.targets.map((target) => hostOf(target, group, USUAL_INTERVAL, mannerOf(module, modules))));
  }
  return { program: "Prometheus", hosts, remarks };
}

function groupsOf(value: unknown): readonly TargetGroup[] {
  return listOf(value).map(objectOf).map(({ targets, labels }) => ({
    targets: textsOf(targets),
    labels: objectOf(labels),
  }));
}

function mannerOf(module: string, modules: PlainObject): ProbeManner {
  return module === "" ? probeManner("http_2xx", {}) : probeManner(module, modules);
}

/** The patterns of the files with targets that a configuration names. */
export function targetFiles(document: unknown): readonly string[] {
  return jobsOf(document).filter(isProbe).flatMap((job) => filesOf(job));
}

function jobsOf(document: unknown): readonly PlainObject[] {
  return listOf(objectOf(document)["scrape_configs"]).map(objectOf);
}

function filesOf(job: PlainObject): readonly string[] {
  return listOf(job["file_sd_configs"]).flatMap((config) => textsOf(objectOf(config)["files"]));
}

/** A job whose targets go to the blackbox_exporter, which asks them. Others have a path of their own. */
function isProbe(job: PlainObject): boolean {
  const path = scalarText(job["metrics_path"]);
  if (path !== "") return /\/probe$/.test(path);
  return paramOf(job, "module").length > 0 || rulesFor(job, "__param_target").length > 0;
}

function paramOf(job: PlainObject, name: string): readonly string[] {
  return textsOf(objectOf(job["params"])[name]);
}

/** The rules that set a label. */
function rulesFor(job: PlainObject, label: string): readonly PlainObject[] {
  return listOf(job["relabel_configs"]).map(objectOf).filter((rule) => scalarText(rule["target_label"]) === label);
}

/** The content of a configuration of Prometheus. Null where it is none. */
export function readPrometheus(document: unknown, modules: PlainObject, readTargets: ReadTargets): ForeignFile | null {
  if (!Array.isArray(objectOf(document)["scrape_configs"])) return null;
  const usual = objectOf(objectOf(document)["global"]);
  const hosts: ForeignHost[] = [];
  const remarks: string[] = [];
  for (const job of jobsOf(document)) {
    const name = scalarText(job["job_name"]) || "a job without a name";
    if (!isProbe(job)) {
      remarks.push(`job ${name}: Prometheus asks its targets for figures, no site is probed`);
      continue;
    }
    const groups = [...groupsOf(job["static_configs"])];
    for (const pattern of filesOf(job)) {
      const documents = readTargets(pattern);
      if (documents === null) remarks.push(`job ${name}: its targets in ${pattern}, where nothing can be read here`);
      groups.push(...(documents ?? []).flatMap(groupsOf));
    }
    remarks.push(...lacksOf(job).map((lack) => `job ${name}: ${lack}`));
    for (const { labels, ...group } of groups) {
      const targets = askedFor(job, group.targets);
      const own = moduleOf(job, labels);
      const why = own === "" ? null : otherProber(own, modules);
      if (why !== null) remarks.push(...targets.map((target) => `job ${name}: ${nameOf(target)}: ${why}, no web site`));
      if (why !== null) continue;
      const manner = limited(mannerOf(own, modules), secondsOf(job["scrape_timeout"] ?? usual["scrape_timeout"]));
      const interval = durationOf(scalarText(job["scrape_interval"] ?? usual["scrape_interval"])) || USUAL_INTERVAL;
      const named = { targets, labels: { job: name, ...labels } };
      hosts.push(...targets.map((target) => hostOf(target, named, interval, manner)));
    }
  }
  return { program: "Prometheus", hosts, remarks };
}

function secondsOf(value: unknown): number | null {
  const milliseconds = durationOf(scalarText(value));
  return milliseconds === null ? null : milliseconds / 1000;
}

/** The blackbox_exporter gives up when its module says so, or when Prometheus does. */
function limited(manner: ProbeManner, seconds: number | null): ProbeManner {
  if (seconds === null) return manner;
  return { ...manner, timeout: Math.min(manner.timeout ?? Infinity, seconds) };
}

/** The sites of a job: those of its parameters, where its own targets are exporters that ask them. */
function askedFor(job: PlainObject, targets: readonly string[]): readonly string[] {
  const named = paramOf(job, "target");
  return named.length > 0 && rewritingRules(job).length === 0 ? named : targets.map((one) => relabelled(one, job));
}

/** The module of targets with these labels, of which a rule may name one. */
function moduleOf(job: PlainObject, labels: PlainObject): string {
  const rule = rulesFor(job, "__param_module").find(isPlain);
  const label = textsOf(rule?.["source_labels"]).join();
  const [usual = ""] = paramOf(job, "module");
  return scalarText(labels["__param_module"]) || scalarText(labels[label]) || usual;
}

/** The rules that make another target of an address. */
function rewritingRules(job: PlainObject): readonly PlainObject[] {
  return rulesFor(job, "__param_target").filter(({ source_labels: sources }) =>
    textsOf(sources).join() === "__address__"
  );
}

/** True for a rule that takes a label as it is. */
function isPlain({ regex, replacement }: PlainObject): boolean {
  return isUnset(regex) && isUnset(replacement);
}

/** A target behind the rules that put something around it. */
function relabelled(target: string, job: PlainObject): string {
  const rule = rewritingRules(job).find(({ replacement, regex }) => !isUnset(replacement) && isUnset(regex));
  const replacement = rule === undefined ? "$1" : scalarText(rule["replacement"]);
  return replacement.replaceAll(/\$(?:1|\{1\})/g, () => target);
}

const USUAL_PORT = "9115";

function lacksOf(job: PlainObject): readonly string[] {
  const others = Object.keys(job).filter((key) => /_sd_configs$/.test(key) && key !== "file_sd_configs");
  const hasRules = rewritingRules(job).some(({ regex }) => !isUnset(regex));
  const namesModule = rulesFor(job, "__param_module").some((rule) => !isPlain(rule));
  const [usual = "http_2xx"] = paramOf(job, "module");
  const exporters = rulesFor(job, "__address__").map(({ replacement }) => scalarText(replacement));
  const foreign = exporters.filter((address) => (/:(\d+)$/.exec(address)?.[1] ?? USUAL_PORT) !== USUAL_PORT);
  return [
    ...others.map((key) => `${key}: the targets are found while it runs`),
    ...hasRules ? ["a regex of relabel_configs: the targets are written as they are"] : [],
    ...namesModule ? [`a regex of relabel_configs, which names the module: ${usual} is taken`] : [],
    ...foreign.map((address) =>
      `it goes to ${address}: is that a blackbox_exporter, which usually has the port ${USUAL_PORT}?`
    ),
  ];
}

/** A target without what may be a secret. */
function nameOf(target: string): string {
  return hide(target).replace(/[?#].*$/s, "");
}

function hostOf(target: string, { labels }: TargetGroup, interval: number, manner: ProbeManner): ForeignHost {
  // As the blackbox_exporter does.
  const url = /^\w+:\/\//.test(target) ? target : `http://${target}`;
  return {
    ...plainHost(nameOf(target), url, interval),
    ...manner,
    labels: Object.entries(labels).filter(([label]) => !label.startsWith("__")).map(([label, value]) =>
      [label, scalarText(value)] as const
    ),
  };
}

/** The rows of the tree and the text of the status bar, made from a repository's state. Free of VS Code's API. */

import { isActive, type Conflict, type Job, type Model } from "./state";

export interface Row {
  id: string;
  label: string;
  description?: string;
  icon?: string;
  color?: string;
  context: string;
  aria: string;
  tooltip?: string;
  children?: Row[];
  collapsed?: boolean;
  jobId?: string;
  conflictId?: string;
  path?: string;
}

export const nameOf = (job: { label: string; title: string }): string => `${job.label} · ${job.title}`;

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** `8s`, `2m 10s`, `1h 05m`; steps of five seconds while it counts. */
export function duration(from: string | null, to: string | null, now: number): string {
  if (!from) {
    return "";
  }
  const exact = Math.max(0, ((to ? Date.parse(to) : now) - Date.parse(from)) / 1000);
  const seconds = Math.floor(to ? exact : exact - (exact % 5));
  if (seconds < 60) {
    return `${seconds}s`;
  }
  const pad = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}m ${pad(seconds % 60)}s` : `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
}

export function lines(ranges: { start: number; end: number }[]): string {
  const named = ranges.map(({ start, end }) => (start === end ? `${start}` : `${start}-${end}`)).join(", ");
  const one = ranges.length === 1 && ranges[0]?.start === ranges[0]?.end;
  return ranges.length === 0 ? "" : `${one ? "line" : "lines"} ${named}`;
}

const listed = (names: string[]): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1] ?? ""}`;

/** What happened to a file, in few words. */
export function conflictText(conflict: Conflict): string {
  const labels = (...roles: string[]): string =>
    listed(conflict.jobs.filter((job) => roles.length === 0 || roles.includes(job.role)).map((job) => job.label));
  switch (conflict.kind) {
    case "lost-update":
      return `${labels("overwrote")} overwrote lines of ${labels("lost")}`;
    case "edit-and-delete":
      return `${labels("deleted")} deleted this file; ${labels("changed")} changed it`;
    case "user-edit":
      return `you and ${labels("changed")} changed the same lines`;
    case "same-file-edit":
      return `${labels()} changed different parts`;
    case "reported-only":
      return `${labels()} both report a change`;
    default:
      return `${labels("changed")} changed the same lines`;
  }
}

export const needsPerson = (conflict: Conflict): boolean => conflict.severity !== "information";

export function failedOrStalled(job: Job): boolean {
  const left = job.status === "cancelled" && job.touchedFiles.length > 0;
  return left || job.status === "failed" || job.status === "interrupted" || (isActive(job) && job.stalled);
}

const ICONS: Record<Job["status"], [string, string?]> = {
  queued: ["clock"],
  starting: ["loading~spin"],
  running: ["loading~spin"],
  stopping: ["loading~spin"],
  done: ["pass"],
  failed: ["error", "testing.iconFailed"],
  cancelled: ["circle-slash"],
  interrupted: ["debug-disconnect"],
};

/** Everything about one repository, groups first. `cleared`: ended jobs that the person does not want to see. */
export function rows(model: Model, cleared: ReadonlySet<string>, now: number): Row[] {
  const jobs = model.jobs.filter((job) => isActive(job) || !cleared.has(job.jobId));
  const attention = jobs.filter(failedOrStalled);
  const rest = jobs.filter((job) => !failedOrStalled(job));
  const row = (job: Job): Row => jobRow(job, model, now);
  const done = rest.filter((job) => !isActive(job)).reverse();
  return [
    group("attention", "Needs attention", [...model.conflicts.map(conflictRow), ...attention.map(row)]),
    group("running", "Running", rest.filter((job) => isActive(job) && job.status !== "queued").map(row)),
    group("queued", "Queued", rest.filter((job) => job.status === "queued").map(row)),
    group("done", "Done", done.map(row), done.length > 5),
  ].filter((one) => one.children?.length);
}

function group(id: string, name: string, children: Row[], collapsed = false): Row {
  const label = `${name} (${children.length})`;
  return { id: `group:${id}`, label, context: `group.${id}`, aria: label, children, collapsed };
}

function conflictRow(conflict: Conflict): Row {
  const { conflictId, path } = conflict;
  const text = conflictText(conflict) + (conflict.live ? " so far" : "");
  return {
    id: `conflict:${conflictId}`,
    label: path,
    description: text,
    icon: needsPerson(conflict) ? "git-merge" : "info",
    color: needsPerson(conflict) ? "editorWarning.foreground" : undefined,
    context: `conflict.${conflict.kind}${conflict.jobs.filter(stored).length > 1 ? ".versions" : ""}`,
    aria: `${path}, conflict, ${text}`,
    conflictId,
    path,
    collapsed: true,
    children: conflict.jobs.map((job) => ({
      id: `conflict:${conflictId}:${job.jobId}`,
      label: nameOf(job),
      description: lines(job.ranges) || job.role,
      icon: "git-commit",
      context: `conflict.version${stored(job) ? ".stored" : ""}`,
      aria: `${job.label}, ${job.title}, ${job.role}, ${lines(job.ranges)}`,
      conflictId,
      path,
      jobId: job.jobId,
    })),
  };
}

export const stored = (job: { attribution: string }): boolean => job.attribution === "seen";

/** What a worker's row says behind its name. */
export function jobText(job: Job, model: Model, now: number): string {
  const files = job.touchedFiles.length ? count(job.touchedFiles.length, "file") : "";
  const time = duration(job.startedAt, job.finishedAt, now);
  const join = (...parts: (string | false | null | undefined)[]): string => parts.filter(Boolean).join(" · ");
  switch (job.status) {
    case "queued": {
      const slot = model.limits?.[job.access];
      const full = slot && slot.running >= slot.limit;
      return full ? `waiting for a ${job.access} slot (${slot.running} of ${slot.limit} in use)` : "waiting";
    }
    case "starting":
      return "starting";
    case "running":
      return join(job.stalled ? "no activity" : job.activity, time, files);
    case "stopping":
      return "stopping…";
    case "failed":
      return join(`failed${job.exitCode ? `, exit ${job.exitCode}` : ""}`, job.error?.message, time, files);
    case "cancelled":
      return files ? `cancelled, ${files} changed` : "cancelled";
    case "interrupted":
      return join("interrupted by a restart", files);
    default: {
      const thousands = Math.round(((job.usage?.inputTokens ?? 0) + (job.usage?.outputTokens ?? 0)) / 1000);
      const what = job.access === "read" ? "read only" : files || "no files";
      return join(time, what, thousands > 0 && `${thousands}k tokens`);
    }
  }
}

function jobRow(job: Job, model: Model, now: number): Row {
  const text = jobText(job, model, now);
  const stalled = isActive(job) && job.stalled;
  const [icon, color] = stalled ? ["watch", "editorWarning.foreground"] : ICONS[job.status];
  const files = job.touchedFiles;
  return {
    id: `job:${job.jobId}`,
    label: nameOf(job),
    description: text,
    icon,
    color,
    context: `worker.${job.status}.${job.access}${files.length ? ".files" : ""}`,
    aria: `${job.label}, ${job.title}, ${stalled ? "stalled" : job.status}, ${text}`,
    tooltip: [nameOf(job), `${job.status}, ${job.sandbox}`, job.error?.message, job.error?.hint]
      .filter(Boolean)
      .join("\n"),
    jobId: job.jobId,
    collapsed: true,
    children: files.length ? files.map((file) => fileRow(job, file, model)) : undefined,
  };
}

function fileRow(job: Job, file: Job["touchedFiles"][number], model: Model): Row {
  const conflict = model.conflicts.find((one) => one.path === file.path);
  const others = conflict?.jobs.filter((one) => one.jobId !== job.jobId).map((one) => one.label) ?? [];
  const attribution = stored(file) ? "" : file.attribution;
  const also = others.length ? `also changed by ${listed(others)}` : "";
  const description = [file.change === "modified" ? "" : file.change, attribution, also].filter(Boolean).join(", ");
  return {
    id: `file:${job.jobId}:${file.path}`,
    label: file.path,
    description,
    context: "worker.file",
    aria: `${file.path}, ${file.change} by ${job.label}, ${description}`,
    jobId: job.jobId,
    path: file.path,
  };
}

export interface Totals {
  running: number;
  queued: number;
  done: number;
  conflicts: number;
  attention: number;
}

export function totals(models: Model[], cleared: ReadonlySet<string>): Totals {
  const jobs = models.flatMap((model) => model.jobs).filter((job) => isActive(job) || !cleared.has(job.jobId));
  const conflicts = models.flatMap((model) => model.conflicts).filter(needsPerson).length;
  return {
    running: jobs.filter((job) => isActive(job) && job.status !== "queued").length,
    queued: jobs.filter((job) => job.status === "queued").length,
    done: jobs.filter((job) => job.status === "done").length,
    conflicts,
    attention: conflicts + jobs.filter(failedOrStalled).length,
  };
}

/** The status bar's text, and whether it warns; undefined: there is nothing to say. */
export function statusText(sum: Totals, quiet: boolean): { text: string; aria: string; warn: boolean } | undefined {
  const parts = [sum.running ? `${sum.running} running` : "", sum.queued ? `${sum.queued} queued` : ""].filter(Boolean);
  const trouble = sum.conflicts ? count(sum.conflicts, "conflict") : "";
  const attention = sum.attention > sum.conflicts ? `${sum.attention - sum.conflicts} need attention` : "";
  const problems = [trouble, attention].filter(Boolean);
  const all = [...parts, ...problems];
  if (all.length === 0) {
    return sum.done && !quiet
      ? { text: `$(check) Codex: ${sum.done} done`, aria: `Codex workers: ${sum.done} done`, warn: false }
      : undefined;
  }
  const icon = problems.length ? "$(warning)" : "$(sync~spin)";
  return { text: `${icon} Codex: ${all.join(", ")}`, aria: `Codex workers: ${all.join(", ")}`, warn: problems.length > 0 };
}

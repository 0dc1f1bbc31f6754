/** What the server tells of one repository: the full picture once, then only what changed. Free of VS Code's API. */

export type Status = "queued" | "starting" | "running" | "stopping" | "done" | "failed" | "cancelled" | "interrupted";

export interface TouchedFile {
  path: string;
  change: "added" | "modified" | "deleted" | "renamed" | "mode";
  attribution: "seen" | "ambiguous" | "reported";
}

export interface Job {
  jobId: string;
  label: string;
  runId: string | null;
  title: string;
  status: Status;
  sandbox: string;
  access: "read" | "write";
  exitCode: number | null;
  startedAt: string | null;
  finishedAt: string | null;
  activity: string | null;
  stalled: boolean;
  queuePosition: number | null;
  usage: { inputTokens: number; outputTokens: number } | null;
  error: { kind: string; message: string; hint: string } | null;
  modifiedFiles: string[] | null;
  touchedFiles: TouchedFile[];
}

export interface ConflictJob {
  jobId: string;
  label: string;
  title: string;
  attribution: TouchedFile["attribution"];
  ranges: { start: number; end: number }[];
  role: "changed" | "lost" | "overwrote" | "deleted" | "elsewhere";
}

export interface Conflict {
  conflictId: string;
  path: string;
  kind: string;
  severity: "error" | "warning" | "information";
  confirmed: boolean;
  live: boolean;
  mergeable: boolean;
  jobs: ConflictJob[];
}

export interface Slot {
  limit: number;
  running: number;
  queued: number;
}

export interface Run {
  runId: string;
  head: string | null;
  recordedAt: string;
}

export interface Full {
  jobs: Job[];
  run: Run | null;
  limits: { read: Slot; write: Slot };
  conflicts: Conflict[];
}

interface Item {
  kind: string;
  id: string;
  conflictKind?: string;
}

export interface StateMessage {
  seq: number;
  full?: Full;
  changed?: Item[];
  removed?: Item[];
}

const ACTIVE: ReadonlySet<Status> = new Set(["queued", "starting", "running", "stopping"]);
const WORST_FIRST = ["error", "warning", "information"];

export const isActive = (job: Job): boolean => ACTIVE.has(job.status);

/** One repository's picture. */
export class Model {
  private readonly jobsById = new Map<string, Job>();
  private readonly conflictsById = new Map<string, Conflict>();
  private seq = -1;
  run: Run | null = null;
  limits: Full["limits"] | undefined;

  get jobs(): Job[] {
    return [...this.jobsById.values()];
  }

  /** Worst first. */
  get conflicts(): Conflict[] {
    const rank = (one: Conflict): number => WORST_FIRST.indexOf(one.severity);
    return [...this.conflictsById.values()].sort((a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path));
  }

  job(id: string): Job | undefined {
    return this.jobsById.get(id);
  }

  conflict(id: string): Conflict | undefined {
    return this.conflictsById.get(id);
  }

  /** Takes a notification. False: one before it was missed, so the full state must be asked for. */
  take(message: StateMessage): boolean {
    if (message.full) {
      this.replace(message.full);
    } else if (message.seq !== this.seq + 1) {
      return false;
    }
    this.seq = message.seq;
    for (const item of message.removed ?? []) {
      this.remove(item);
    }
    for (const item of message.changed ?? []) {
      this.change(item);
    }
    return true;
  }

  private replace(full: Full): void {
    this.jobsById.clear();
    this.conflictsById.clear();
    full.jobs.forEach((job) => this.jobsById.set(job.jobId, job));
    full.conflicts.forEach((one) => this.conflictsById.set(one.conflictId, one));
    this.run = full.run;
    this.limits = full.limits;
  }

  private change(item: Item): void {
    if (item.kind === "job") {
      this.jobsById.set(item.id, item as unknown as Job);
    } else if (item.kind === "conflict") {
      this.conflictsById.set(item.id, { ...(item as unknown as Conflict), kind: item.conflictKind ?? "" });
    } else if (item.kind === "run") {
      this.run = item as unknown as Run;
    } else if (item.kind === "limits") {
      this.limits = item as unknown as Full["limits"];
    }
  }

  private remove(item: Item): void {
    if (item.kind === "job") {
      this.jobsById.delete(item.id);
    } else if (item.kind === "conflict") {
      this.conflictsById.delete(item.id);
    } else if (item.kind === "run" && this.run?.runId === item.id) {
      this.run = null;
    }
  }
}

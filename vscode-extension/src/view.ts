/** What the server draws of one repository: the full picture once, then only what changed. Free of VS Code's API. */

export type Target = Record<string, unknown>;

export interface Row {
  id: string;
  label: string;
  description?: string;
  context: string;
  aria: string;
  target?: Target;
  children?: string[];
  /** The children are asked for when the row is expanded. */
  lazy?: boolean;
  collapsed?: boolean;
  since?: string;
  icon?: string;
  color?: string;
  path?: string;
  tooltip?: string;
  command?: string;
}

export interface Mark {
  id: string;
  badge: string;
  tooltip: string;
  conflict?: boolean;
}

const COUNTS = [
  "running",
  "queued",
  "done",
  "conflicts",
  "notes",
  "attention",
  "ended",
  "changedFiles",
  "snapshots",
] as const;

export type Counts = Record<(typeof COUNTS)[number], number>;

export interface Summary {
  roots: string[];
  counts: Counts;
  message: string | null;
  badge: { value: number; tooltip: string } | null;
  menu: string;
  baseline: boolean;
  setup: "noCodex" | "notLoggedIn" | null;
}

interface Item {
  kind: string;
  id: string;
}

export interface StateMessage {
  seq: number;
  full?: { rows?: Row[]; marks?: Mark[]; summary?: Summary };
  changed?: Item[];
  removed?: Item[];
}

/** What a message did to the picture. */
export interface Change {
  /** Rows were added, removed or moved; otherwise `rows` are all that look different. */
  structure: boolean;
  rows: string[];
  marks: boolean;
}

export const EMPTY: Summary = {
  roots: [],
  counts: { running: 0, queued: 0, done: 0, conflicts: 0, notes: 0, attention: 0, ended: 0, changedFiles: 0, snapshots: 0 },
  message: null,
  badge: null,
  menu: "",
  baseline: false,
  setup: null,
};

export const EVERYTHING: Change = { structure: true, rows: [], marks: true };

/** One repository's picture. */
export class View {
  readonly rows = new Map<string, Row>();
  readonly marks = new Map<string, Mark>();
  summary = EMPTY;
  private seq = -1;

  /** Takes a notification. Undefined: one before it was missed, so the full state must be asked for. */
  take({ seq, full, changed = [], removed = [] }: StateMessage): Change | undefined {
    if (full) {
      this.clear();
      full.rows?.forEach((row) => this.rows.set(row.id, row));
      full.marks?.forEach((mark) => this.marks.set(mark.id, mark));
      this.summary = full.summary ?? EMPTY;
    } else if (seq !== this.seq + 1) {
      return undefined;
    }
    this.seq = seq;
    const change: Change = full ? { ...EVERYTHING } : { structure: false, rows: [], marks: false };
    for (const { kind, id } of removed) {
      const gone = kind === "row" ? this.rows.delete(id) : kind === "mark" && this.marks.delete(id);
      change.structure ||= gone && kind === "row";
      change.marks ||= gone && kind === "mark";
    }
    for (const item of changed) {
      this.change(item, change);
    }
    return change;
  }

  /** The server has gone, and what it said with it. */
  clear(): Change {
    this.rows.clear();
    this.marks.clear();
    this.summary = EMPTY;
    return EVERYTHING;
  }

  children(ids: string[]): Row[] {
    return ids.map((id) => this.rows.get(id)).filter((row) => row !== undefined);
  }

  private change(item: Item, change: Change): void {
    if (item.kind === "row") {
      const row = item as unknown as Row;
      change.structure ||= !same(this.rows.get(row.id)?.children, row.children) || !this.rows.has(row.id);
      change.rows.push(row.id);
      this.rows.set(row.id, row);
    } else if (item.kind === "mark") {
      change.marks = true;
      this.marks.set(item.id, item as unknown as Mark);
    } else if (item.kind === "summary") {
      const summary = item as unknown as Summary;
      change.structure ||= !same(this.summary.roots, summary.roots);
      this.summary = summary;
    }
  }
}

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Several repositories in one status bar and one badge; what only makes sense for one is left out. */
export function merged(all: Summary[]): Omit<Summary, "roots"> {
  const counts = { ...EMPTY.counts };
  COUNTS.forEach((name) => (counts[name] = all.reduce((sum, one) => sum + one.counts[name], 0)));
  const badges = all.map((one) => one.badge).filter((one) => one !== null);
  const value = badges.reduce((sum, one) => sum + one.value, 0);
  return {
    counts,
    message: (all.length === 1 && all[0]?.message) || null,
    badge: badges.length ? { value, tooltip: badges.map((one) => one.tooltip).join("\n") } : null,
    menu: all.map((one) => one.menu).filter(Boolean).join("\n\n"),
    baseline: all.some((one) => one.baseline),
    setup: all.find((one) => one.setup)?.setup ?? null,
  };
}

/** `45s`, `2m`, `1h 05m`: steps of five seconds, then minutes. */
export function elapsed(since: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes === 0) {
    return `${seconds - (seconds % 5)}s`;
  }
  return minutes < 60 ? `${minutes}m` : `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, "0")}m`;
}

export const timed = (text: string, since: string | undefined, now: number): string =>
  since === undefined ? text : text.replace("{elapsed}", elapsed(since, now));

/** The status bar's text, and whether it warns; undefined: there is nothing to say. */
export function statusText(sum: Counts, quiet: boolean): { text: string; warn: boolean } | undefined {
  const others = sum.attention - sum.conflicts;
  const problems = [
    sum.conflicts > 0 && `${sum.conflicts} conflict${sum.conflicts === 1 ? "" : "s"}`,
    others > 0 && `${others} need${others === 1 ? "s" : ""} attention`,
  ].filter(Boolean);
  const work = [sum.running > 0 && `${sum.running} running`, sum.queued > 0 && `${sum.queued} queued`].filter(Boolean);
  const all = [...work, ...problems].join(", ");
  if (all) {
    return { text: `${problems.length ? "$(warning)" : "$(sync~spin)"} Codex: ${all}`, warn: problems.length > 0 };
  }
  return sum.done && !quiet ? { text: `$(check) Codex: ${sum.done} done`, warn: false } : undefined;
}

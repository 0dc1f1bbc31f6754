/** What the server draws of one repository: the full picture once, then only what changed. Free of VS Code's API. */

import { isDeepStrictEqual } from "node:util";
import { EMPTY, type Counts, type Mark, type Row, type StateMessage, type Status, type Summary } from "./protocol";

/** What a message did to the picture. */
export interface Change {
  /** Rows stand elsewhere than before, or everything is new; otherwise `rows` are all that look different. */
  structure: boolean;
  rows: string[];
  marks: boolean;
}

export const EVERYTHING: Change = { structure: true, rows: [], marks: true };

/** One repository's picture. */
export class View {
  readonly rows = new Map<string, Row>();
  readonly marks = new Map<string, Mark>();
  summary = EMPTY;
  private seq = -1;

  /** Takes a notification. Undefined: one before it was missed, so the full state must be asked for. */
  take({ seq, full, changed = [], removed = [] }: StateMessage): Change | undefined {
    if (!full && seq !== this.seq + 1) {
      return undefined;
    }
    this.seq = seq;
    const change: Change = full ? this.clear() : { structure: false, rows: [], marks: false };
    full?.rows.forEach((row) => this.rows.set(row.id, row));
    full?.marks.forEach((mark) => this.marks.set(mark.id, mark));
    this.summary = full?.summary ?? this.summary;
    const known = new Set(this.rows.keys());
    for (const { kind, id } of removed) {
      if (kind === "row") {
        this.rows.delete(id);
      }
      change.marks ||= kind === "mark" && this.marks.delete(id);
    }
    for (const item of changed) {
      if (item.kind === "row") {
        // A parent that is drawn anew has its children asked for, so new ones and gone ones need no more than that.
        const before = this.rows.get(item.id)?.children ?? [];
        change.structure ||= item.children?.some((id) => known.has(id) && !before.includes(id)) ?? false;
        change.rows.push(item.id);
        this.rows.set(item.id, item);
      } else if (item.kind === "mark") {
        change.marks = true;
        this.marks.set(item.id, item);
      } else if (item.kind === "summary") {
        change.structure ||= !isDeepStrictEqual(this.summary.roots, item.roots);
        this.summary = item;
      }
    }
    return change;
  }

  /** The server has gone, and what it said with it. */
  clear(): Change {
    this.rows.clear();
    this.marks.clear();
    this.summary = EMPTY;
    return { ...EVERYTHING };
  }

  children(ids: string[]): Row[] {
    return ids.map((id) => this.rows.get(id)).filter((row) => row !== undefined);
  }
}

/** What the commands of a window depend on, over all its repositories. */
export function merged(all: Summary[]): Pick<Summary, "counts" | "baseline" | "setup"> {
  const counts = { ...EMPTY.counts };
  for (const name of Object.keys(counts) as (keyof Counts)[]) {
    counts[name] = all.reduce((sum, one) => sum + one.counts[name], 0);
  }
  return { counts, baseline: all.some((one) => one.baseline), setup: all.find((one) => one.setup)?.setup ?? null };
}

/** Of a repository whose server was up and has ended. */
const STOPPED: Status = { icon: "stop-circle", text: "stopped", level: 1 };

/** The status bar's one text for all repositories; the worst of them decides about the icon and the warning. */
export function statusOf(
  all: { name: string; running: boolean; view: View }[],
): { icon: string; text: string; warns: boolean } | undefined {
  const told = all.flatMap(({ name, running, view: { summary } }) => {
    const status = running ? summary.status : STOPPED;
    return status ? [{ name, ...status }] : [];
  });
  const [worst] = [...told].sort((one, other) => other.level - one.level);
  const texts = told.map(({ name, text }) => (all.length > 1 ? `${name}: ${text}` : text));
  return worst && { icon: worst.icon, text: `Codex: ${texts.join("; ")}`, warns: worst.level === 2 };
}

/**
 * What the server and its client tell each other. Written by `python -m scripts.protocol_types` from
 * sidecar/lsp/view/shapes.py, sidecar/lsp/flows/primitives.py and sidecar/lsp/options.py.
 */

/** `codexSidecar/state`: everything, or what has changed since the message with the `seq` before. */
export interface StateMessage {
  seq: number;
  full?: Full;
  changed?: (RowItem | MarkItem | SummaryItem | JobItem | RunItem | LimitsItem | ConflictItem)[];
  removed?: Removed[];
}

/** Everything that is drawn. */
export interface Full {
  rows: Row[];
  marks: Mark[];
  summary: Summary;
}

/** One row of the tree. See docs/protocol.md. */
export interface Row {
  id: string;
  label: string;
  context: string;
  aria: string;
  target: Target;
  description: string;
  icon?: string;
  color?: string;
  path?: string;
  tooltip?: string;
  command?: string;
  collapsed?: boolean;
  children?: string[];
  lazy?: boolean;
  files?: string;
}

/** What an action on a row is about. `path` is relative to the repository, `/`-separated. */
export interface Target {
  jobId?: string;
  conflictId?: string;
  path?: string;
  commit?: string;
}

/** A mark on a file; `id` is its path. Editors show no badge of more than two characters. */
export interface Mark {
  id: string;
  badge: string;
  tooltip: string;
  conflict: boolean;
}

/** What the whole repository comes to. */
export interface Summary {
  id: "summary";
  roots: string[];
  counts: Counts;
  message: string | null;
  badge: Badge | null;
  status: Status | null;
  menu: string;
  baseline: boolean;
  setup: "noCodex" | "notLoggedIn" | null;
}

/** How many there are of what a command or a menu depends on. */
export interface Counts {
  running: number;
  queued: number;
  done: number;
  conflicts: number;
  notes: number;
  attention: number;
  ended: number;
  changedFiles: number;
  snapshots: number;
}

/** The number at the view, and what it counts. */
export interface Badge {
  value: number;
  tooltip: string;
}

/** The item of the status bar. Of several repositories the highest `level` decides about the icon. */
export interface Status {
  text: string;
  icon: string;
  level: 0 | 1 | 2;
}

/** A row that is new or different. */
export interface RowItem {
  kind: "row";
  id: string;
  label: string;
  context: string;
  aria: string;
  target: Target;
  description: string;
  icon?: string;
  color?: string;
  path?: string;
  tooltip?: string;
  command?: string;
  collapsed?: boolean;
  children?: string[];
  lazy?: boolean;
  files?: string;
}

/** A mark that is new or different. */
export interface MarkItem {
  kind: "mark";
  id: string;
  badge: string;
  tooltip: string;
  conflict: boolean;
}

/** The summary, where it is different. */
export interface SummaryItem {
  kind: "summary";
  id: "summary";
  roots: string[];
  counts: Counts;
  message: string | null;
  badge: Badge | null;
  status: Status | null;
  menu: string;
  baseline: boolean;
  setup: "noCodex" | "notLoggedIn" | null;
}

/** See docs/protocol.md, as for the next three. */
export interface JobItem {
  kind: "job";
  id: string;
}

/** The open run. */
export interface RunItem {
  kind: "run";
  id: string;
}

/** How many workers run and wait. */
export interface LimitsItem {
  kind: "limits";
  id: string;
}

/** An open conflict. */
export interface ConflictItem {
  kind: "conflict";
  id: string;
}

/** The item that is no more. */
export interface Removed {
  kind: "conflict" | "job" | "limits" | "mark" | "row" | "run" | "summary";
  id: string;
}

/** Whose some neighbouring lines are. Lines count from 0, both ends are included. */
export interface Owned {
  start: number;
  end: number;
  text: string;
}

/** What the client shows by itself; false means that plain LSP does it. */
export interface Ui {
  state?: boolean;
  ownsProgress?: boolean;
  dialogs?: boolean;
  mergeEditor?: boolean;
  virtualDocs?: boolean;
  events?: boolean;
}

/** Answered by `{id}`, with `many` by `{ids}`. */
export interface PickRequest {
  kind: "pick";
  title: string;
  items: Item[];
  placeholder?: string;
  many?: boolean;
}

/** One line of a pick. A label may begin with `$(icon)`. */
export interface Item {
  id: string;
  label: string;
  description?: string;
  detail?: string;
  picked?: boolean;
}

/** Answered by `{value}` or `{button}`. A loss of focus does not close it. */
export interface InputRequest {
  kind: "input";
  title: string;
  placeholder?: string;
  prompt?: string;
  value?: string;
  button?: IconButton;
}

/** The button beside an input. */
export interface IconButton {
  id: string;
  icon: string;
  tooltip: string;
}

/** Answered by `{id}`; the client adds Cancel. */
export interface ModalRequest {
  kind: "modal";
  message: string;
  buttons: Button[];
  detail?: string;
}

/** A button of a question; the first one is what Enter means. */
export interface Button {
  id: string;
  label: string;
}

/** Answered by `{id}`; null at once where it is not shown. */
export interface ToastRequest {
  kind: "toast";
  severity: "error" | "info" | "warning";
  message: string;
  buttons?: Button[];
  unlessFocused?: boolean;
}

/** Opens a document, at a line (from 0) or at its end. */
export interface OpenRequest {
  kind: "open";
  uri: string;
  preview: boolean;
  line?: number;
  end?: boolean;
}

/** Shows a difference; null: nothing there. */
export interface DiffRequest {
  kind: "diff";
  left: string | null;
  right: string | null;
  title: string;
}

/** Shows several differences in one view. */
export interface ChangesRequest {
  kind: "changes";
  title: string;
  files: [string, string | null, string | null][];
}

/** Opens a new document for tasks. */
export interface UntitledRequest {
  kind: "untitled";
  languageId: string;
  content: string;
}

/** Fills the clipboard. */
export interface ClipboardRequest {
  kind: "clipboard";
  text: string;
}

/** Runs a program in a terminal of its own. */
export interface TerminalRequest {
  kind: "terminal";
  name: string;
  program: string;
  args: string[];
  cwd?: string;
}

/** Opens the merge editor on a file in memory that begins as `marked`. */
export interface MergeRequest {
  kind: "merge";
  conflictId: string;
  jobIds: string[];
  path: string;
  base: string;
  inputs: MergeSide[];
  output: string;
  marked: string;
  expectedHash: string;
  title?: string;
}

/** One of the two versions that a merge editor joins. */
export interface MergeSide {
  uri: string;
  title: string;
  description: string;
  detail: string;
}

/** Writes a setting; a client refuses a name outside `codexSidecar.`. */
export interface SettingRequest {
  kind: "setting";
  name: string;
  value: string;
  target: "user" | "workspace";
}

/** Shows a part of the editor. */
export interface ViewRequest {
  kind: "view";
  name: "log" | "newWindowFolder" | "scm" | "settings" | "walkthrough" | "workers";
  query?: string;
}

/** All that the server asks its client for. */
export type UiRequest =
  | PickRequest
  | InputRequest
  | ModalRequest
  | ToastRequest
  | OpenRequest
  | DiffRequest
  | ChangesRequest
  | UntitledRequest
  | ClipboardRequest
  | TerminalRequest
  | MergeRequest
  | SettingRequest
  | ViewRequest;

/** What can be new or different. */
export type StateItem =
  | RowItem
  | MarkItem
  | SummaryItem
  | JobItem
  | RunItem
  | LimitsItem
  | ConflictItem;

/** Of a repository that nothing is known of. */
export const EMPTY: Summary = {
  "id": "summary",
  "roots": [],
  "counts": {
    "running": 0,
    "queued": 0,
    "done": 0,
    "conflicts": 0,
    "notes": 0,
    "attention": 0,
    "ended": 0,
    "changedFiles": 0,
    "snapshots": 0
  },
  "message": null,
  "badge": null,
  "status": null,
  "menu": "",
  "baseline": false,
  "setup": null
};

/** The actions that links run: an editor lets Markdown run what it knows to be wanted. */
export const LINKS = ["codexSidecar.spawn", "codexSidecar.nextAttention", "codexSidecar.cancelAll", "codexSidecar.cancel", "codexSidecar.openTranscript", "codexSidecar.openChanges", "codexSidecar.openResult", "codexSidecar.showServerLog"];

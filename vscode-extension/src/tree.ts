/** The view "Workers". */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import type { Repository } from "./repository";
import { merged, timed, type Change, type Row } from "./view";

export interface Node {
  row: Row;
  repository: Repository;
  /** The description as it was last drawn. */
  shown?: string;
}

const TICK_MS = 5_000;
const LINKS = ["openTranscript", "openChanges", "openResult", "cancel"].map((name) => `codexSidecar.${name}`);

export class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Node[] | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  /** By id. VS Code refreshes a row only when it is told of the very object that it was given. */
  private readonly nodes = new Map<string, Node>();
  private readonly view: vscode.TreeView<Node>;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly repositories: Repositories) {
    this.view = vscode.window.createTreeView("codexSidecar.workers", { treeDataProvider: this, showCollapseAll: true });
    this.timer = setInterval(() => {
      this.tick();
    }, TICK_MS);
    repositories.onDidChange(({ repository, change }) => {
      this.refresh(repository, change);
      const { badge, message } = merged(repositories.all.map((one) => one.view.summary));
      this.view.badge = badge ?? undefined;
      this.view.message = message ?? undefined;
    });
  }

  /** Why there is no server. Not the view's message: with one of those VS Code hides the welcome text. */
  set problem(text: string | undefined) {
    this.view.description = text;
  }

  get selected(): Node | undefined {
    return this.view.selection[0];
  }

  async getChildren(node?: Node): Promise<Node[]> {
    if (node?.row.lazy) {
      return (await node.repository.rows(node.row.id)).map((row) => this.node(node.repository, row));
    }
    if (node) {
      return node.repository.view.children(node.row.children ?? []).map((row) => this.node(node.repository, row));
    }
    const used = this.repositories.all.filter(({ view }) => view.summary.roots.length > 0);
    if (used.length > 1) {
      return used.map((repository) => this.node(repository, repositoryRow(repository)));
    }
    return used.flatMap((one) => one.view.children(one.view.summary.roots).map((row) => this.node(one, row)));
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const { row, repository } = node;
    const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
    const state = row.children?.length || row.lazy ? (row.collapsed ? Collapsed : Expanded) : None;
    const item = new vscode.TreeItem(row.label, state);
    item.id = keyOf(repository, row);
    item.description = node.shown = timed(row.description ?? "", row.since, Date.now());
    item.contextValue = row.context;
    if (row.tooltip) {
      const tooltip = new vscode.MarkdownString(row.tooltip, true);
      tooltip.isTrusted = { enabledCommands: LINKS };
      item.tooltip = tooltip;
    }
    item.accessibilityInformation = { label: timed(row.aria, row.since, Date.now()) };
    if (row.icon) {
      item.iconPath = new vscode.ThemeIcon(row.icon, row.color ? new vscode.ThemeColor(row.color) : undefined);
    } else if (row.path) {
      item.resourceUri = repository.uri(row.path);
      item.iconPath = vscode.ThemeIcon.File;
    }
    if (row.command) {
      item.command = { command: `codexSidecar.${row.command}`, title: row.label, arguments: [node] };
    }
    return item;
  }

  private node(repository: Repository, row: Row): Node {
    const key = keyOf(repository, row);
    const node = this.nodes.get(key) ?? { repository, row };
    node.row = row;
    this.nodes.set(key, node);
    return node;
  }

  private refresh(repository: Repository | undefined, change: Change): void {
    if (!repository || change.structure) {
      this.nodes.clear();
      this.changed.fire(undefined);
      return;
    }
    const nodes = repository.view.children(change.rows).flatMap((row) => {
      const node = this.nodes.get(keyOf(repository, row));
      return node ? [Object.assign(node, { row })] : [];
    });
    if (nodes.length) {
      this.changed.fire(nodes);
    }
  }

  /** Time goes on in rows that run, but not under the finger of somebody to whom each change is read out. */
  private tick(): void {
    const reading = vscode.workspace.getConfiguration("editor").get("accessibilitySupport") === "on";
    if (!this.view.visible || reading) {
      return;
    }
    const now = Date.now();
    const late = [...this.nodes.values()].filter(
      ({ row, shown }) => shown !== undefined && row.since && timed(row.description ?? "", row.since, now) !== shown,
    );
    if (late.length) {
      this.changed.fire(late);
    }
  }

  dispose(): void {
    clearInterval(this.timer);
    this.view.dispose();
    this.changed.dispose();
  }
}

const keyOf = (repository: Repository, row: Row): string => `${repository.top}:${row.id}`;

function repositoryRow({ name, top, view }: Repository): Row {
  const children = view.summary.roots;
  return { id: "repository", label: name, tooltip: top, icon: "repo", context: "repository", aria: name, children };
}

/** The view "Workers". */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";
import type { Repository } from "./repository";
import { rows, type Row } from "./rows";

export interface Node {
  row: Row;
  repository: Repository;
  parent?: Node;
}

const TICK_MS = 5_000;

export class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  private readonly view: vscode.TreeView<Node>;
  private readonly timer: NodeJS.Timeout;
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly repositories: Repositories) {
    this.view = vscode.window.createTreeView("codexSidecar.workers", { treeDataProvider: this, showCollapseAll: true });
    this.timer = setInterval(() => {
      if (this.view.visible && this.repositories.totals.running) {
        this.changed.fire(undefined);
      }
    }, TICK_MS);
    repositories.onDidChange(() => {
      this.changed.fire(undefined);
      this.decorate();
    });
  }

  getChildren(node?: Node): Node[] {
    if (node) {
      return (node.row.children ?? []).map((row) => ({ row, repository: node.repository, parent: node }));
    }
    const all = this.repositories.all.map((repository) => ({
      repository,
      found: rows(repository.model, this.repositories.cleared, Date.now()),
    }));
    const used = all.filter(({ found }) => found.length > 0);
    if (used.length > 1) {
      return used.map(({ repository, found }) => ({ repository, row: repositoryRow(repository, found) }));
    }
    return used.flatMap(({ repository, found }) => found.map((row) => ({ row, repository })));
  }

  getParent(node: Node): Node | undefined {
    return node.parent;
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const { row, repository } = node;
    const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
    const state = row.children ? (row.collapsed ? Collapsed : Expanded) : None;
    const item = new vscode.TreeItem(row.label, state);
    item.id = `${repository.top}:${row.id}`;
    item.description = row.description;
    item.contextValue = row.context;
    item.tooltip = row.tooltip;
    item.accessibilityInformation = { label: row.aria };
    if (row.icon) {
      item.iconPath = new vscode.ThemeIcon(row.icon, row.color ? new vscode.ThemeColor(row.color) : undefined);
    } else if (row.path) {
      item.resourceUri = repository.uri(row.path);
      item.iconPath = vscode.ThemeIcon.File;
    }
    const open = row.context.startsWith("worker.file")
      ? "codexSidecar.openFileChange"
      : row.context.startsWith("worker.")
        ? "codexSidecar.openTranscript"
        : row.path && "codexSidecar.openConflict";
    if (open) {
      item.command = { command: open, title: vscode.l10n.t("Open"), arguments: [node] };
    }
    return item;
  }

  private decorate(): void {
    const { attention, conflicts } = this.repositories.totals;
    const tooltip = vscode.l10n.t("{0} need attention, {1} of them conflicts", attention, conflicts);
    this.view.badge = attention ? { value: attention, tooltip } : undefined;
    const run = this.repositories.all.map((one) => one.model.run).find(Boolean);
    const head = run?.head?.slice(0, 7) ?? vscode.l10n.t("no commit");
    this.view.message =
      run && this.getChildren().length
        ? vscode.l10n.t("Baseline {0}, {1}", head, new Date(run.recordedAt).toLocaleTimeString())
        : undefined;
  }

  dispose(): void {
    clearInterval(this.timer);
    this.view.dispose();
    this.changed.dispose();
  }
}

function repositoryRow(repository: Repository, children: Row[]): Row {
  const { name, top } = repository;
  return { id: "repository", label: name, tooltip: top, icon: "repo", context: "repository", aria: name, children };
}

/** The view "Workers". */

import * as vscode from "vscode";
import { LINKS, type Row } from "./protocol";
import type { Repositories } from "./repositories";
import type { Repository } from "./repository";
import type { Change } from "./view";

export interface Node {
  row: Row;
  repository: Repository;
}

export class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Node[] | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  /** By id. VS Code refreshes a row only when it is told of the very object that it was given. */
  private readonly nodes = new Map<string, Node>();
  private readonly view = vscode.window.createTreeView("codexSidecar.workers", { treeDataProvider: this, showCollapseAll: true });

  constructor(private readonly repositories: Repositories) {
    repositories.onDidChange(({ repository, change }) => {
      this.refresh(repository, change);
      const summaries = repositories.all.map((one) => one.view.summary);
      const badges = summaries.flatMap(({ badge }) => badge ?? []);
      const value = badges.reduce((sum, badge) => sum + badge.value, 0);
      this.view.badge = badges.length ? { value, tooltip: badges.map(({ tooltip }) => tooltip).join("\n") } : undefined;
      this.view.message = (summaries.length === 1 && summaries[0]?.message) || undefined;
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
    if (node) {
      const { row, repository } = node;
      const below = row.lazy ? await repository.rows(row.id) : repository.view.children(row.children ?? []);
      return below.map((one) => this.node(repository, one));
    }
    const used = this.repositories.all.filter(({ view }) => view.summary.roots.length > 0);
    return used.flatMap((one) => {
      const top = used.length > 1 ? [repositoryRow(one)] : one.view.children(one.view.summary.roots);
      return top.map((row) => this.node(one, row));
    });
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const { row, repository } = node;
    const { None, Collapsed, Expanded } = vscode.TreeItemCollapsibleState;
    const state = !row.lazy && !row.children?.length ? None : row.collapsed ? Collapsed : Expanded;
    const color = row.color ? new vscode.ThemeColor(row.color) : undefined;
    return Object.assign(new vscode.TreeItem(row.label, state), {
      id: keyOf(repository, row),
      description: row.description,
      contextValue: row.context,
      tooltip: row.tooltip ? trusted(row.tooltip) : undefined,
      accessibilityInformation: { label: row.aria },
      iconPath: row.icon ? new vscode.ThemeIcon(row.icon, color) : row.path ? vscode.ThemeIcon.File : undefined,
      resourceUri: row.path ? repository.uri(row.path) : undefined,
      command: row.command ? { command: `codexSidecar.${row.command}`, title: row.label, arguments: [node] } : undefined,
    });
  }

  private node(repository: Repository, row: Row): Node {
    const key = keyOf(repository, row);
    const node = Object.assign(this.nodes.get(key) ?? { repository }, { row });
    this.nodes.set(key, node);
    return node;
  }

  private refresh(repository: Repository | undefined, change: Change): void {
    if (!repository || change.structure) {
      this.nodes.clear();
      this.changed.fire(undefined);
      return;
    }
    const known = repository.view.children(change.rows).filter((row) => this.nodes.has(keyOf(repository, row)));
    if (known.length) {
      this.changed.fire(known.map((row) => this.node(repository, row)));
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.view, this.changed).dispose();
  }
}

/** The server's Markdown, whose links may run the actions that the server links. */
export function trusted(markdown: string): vscode.MarkdownString {
  const made = new vscode.MarkdownString(markdown, true);
  made.isTrusted = { enabledCommands: LINKS };
  return made;
}

const keyOf = (repository: Repository, row: Row): string => `${repository.top}:${row.id}`;

function repositoryRow({ name, top, view }: Repository): Row {
  const { roots } = view.summary;
  return { id: "repository", label: name, description: "", tooltip: top, icon: "repo", context: "repository", aria: name, target: {}, children: roots };
}

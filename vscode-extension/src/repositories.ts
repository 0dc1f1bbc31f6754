/** All repositories of the window. Apart from the language client, which takes long to load. */

import * as vscode from "vscode";
import type { Repository } from "./repository";
import type { UiRequest } from "./protocol";
import { EVERYTHING, type Change } from "./view";

/** What went wrong, in the server's words. */
export function sentence(error: unknown): string {
  const data = (error as { data?: { message?: string; hint?: string } } | undefined)?.data;
  const said = [data?.message, data?.hint].filter(Boolean).join(" ");
  return said || (error instanceof Error ? error.message : String(error));
}

/** What a repository tells the window. */
export interface Host {
  /** After every change of the picture, and when the server starts or stops. */
  changed(repository: Repository, change: Change): void;
  /** A document of the server has new content. */
  renewed(uri: vscode.Uri): void;
  ui(repository: Repository, request: UiRequest): Promise<unknown>;
}

export class Repositories implements vscode.Disposable {
  readonly changed = new vscode.EventEmitter<{ repository?: Repository; change: Change }>();
  readonly onDidChange = this.changed.event;
  private readonly byTop = new Map<string, Repository>();

  get all(): Repository[] {
    return [...this.byTop.values()];
  }

  add(repository: Repository): void {
    this.byTop.set(repository.top, repository);
    this.changed.fire({ change: EVERYTHING });
  }

  remove(top: string): void {
    this.byTop.get(top)?.dispose();
    this.byTop.delete(top);
    this.changed.fire({ change: EVERYTHING });
  }

  at(top: unknown): Repository | undefined {
    return typeof top === "string" ? this.byTop.get(top) : undefined;
  }

  /** The innermost repository that a file lies in. */
  of(uri: vscode.Uri): Repository | undefined {
    const holding = this.all.filter((one) => one.relative(uri) !== undefined);
    return holding.sort((a, b) => b.top.length - a.top.length)[0];
  }

  /** The only repository, or the one that the person chooses. */
  async pick(fits: (repository: Repository) => boolean = () => true): Promise<Repository | undefined> {
    const fitting = this.all.filter(fits);
    const offered = fitting.length ? fitting : this.all;
    const items = offered.map((repository) => ({ label: repository.name, description: repository.top, repository }));
    const title = vscode.l10n.t("Which repository?");
    return (items.length < 2 ? items[0] : await vscode.window.showQuickPick(items, { title }))?.repository;
  }

  dispose(): void {
    vscode.Disposable.from(...this.all, this.changed).dispose();
  }
}

/** Marks in the Explorer: files in conflict, and, if wanted, files that workers touched. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";

export class Decorations implements vscode.FileDecorationProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeFileDecorations = this.changed.event;
  private readonly parts: vscode.Disposable[];

  constructor(private readonly repositories: Repositories) {
    this.parts = [
      vscode.window.registerFileDecorationProvider(this),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("codexSidecar.decorations.files")) {
          this.changed.fire(undefined);
        }
      }),
      repositories.onDidChange(({ change }) => {
        if (change.marks) {
          this.changed.fire(undefined);
        }
      }),
    ];
  }

  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    const wanted = vscode.workspace.getConfiguration("codexSidecar").get<string>("decorations.files", "conflicts");
    const repository = this.repositories.of(uri);
    const mark = repository?.view.marks.get(repository.relative(uri) ?? "");
    if (!mark || wanted === "off" || (wanted === "conflicts" && !mark.conflict)) {
      return undefined;
    }
    const color = mark.conflict ? new vscode.ThemeColor("list.warningForeground") : undefined;
    // A badge of more than two characters is not shown at all.
    const shown = new vscode.FileDecoration(mark.badge.slice(0, 2), mark.tooltip, color);
    shown.propagate = mark.conflict ?? false;
    return shown;
  }

  dispose(): void {
    vscode.Disposable.from(...this.parts, this.changed).dispose();
  }
}

/** Marks in the Explorer: files in conflict, and, if wanted, files that workers touched. */

import * as vscode from "vscode";
import type { Repositories } from "./repositories";

export function decorations(repositories: Repositories): vscode.Disposable {
  const changed = new vscode.EventEmitter<undefined>();
  repositories.onDidChange(({ change }) => {
    if (change.marks) {
      changed.fire(undefined);
    }
  });
  const provideFileDecoration = (uri: vscode.Uri): vscode.FileDecoration | undefined => {
    const repository = repositories.of(uri);
    const mark = repository?.view.marks.get(repository.relative(uri) ?? "");
    const color = mark?.conflict ? new vscode.ThemeColor("list.warningForeground") : undefined;
    return mark && Object.assign(new vscode.FileDecoration(mark.badge, mark.tooltip, color), { propagate: mark.conflict });
  };
  const provider = { onDidChangeFileDecorations: changed.event, provideFileDecoration };
  return vscode.Disposable.from(vscode.window.registerFileDecorationProvider(provider), changed);
}
